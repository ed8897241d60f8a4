"""The sheet of a handshake: plain text to paste into a ticket, with what only people can answer."""

import textwrap
from collections.abc import Iterator, Sequence

from pydicom.uid import UID

from dicom_node import __version__
from dicom_node.doctor import specimen
from dicom_node.doctor.check import Check, Health, passed
from dicom_node.doctor.handshake import Handshake
from dicom_node.peer import Transport

#: columns of the sheet
WIDTH = 100

WORDS = {Health.OK: "PASS", Health.WARNING: "NOTE", Health.FAILED: "FAIL"}

#: what no protocol tells, and what has surprised hospitals
QUESTIONS = (
    "Does the new series reset the study's read status, or bring a reported study back onto a worklist?",
    "Does it change 'modalities in study' (SEG, SR, OT, PR beside DX), and does a worklist or a rule filter by that?",
    "Does the image count change, and does anything (billing, completeness checks) rely on it?",
    "Does the hanging protocol still show the original film first, and where do the AI series appear?",
    "Which of the objects does your viewer show: Secondary Capture, SEG, SR, presentation state?",
    "Are series whose description begins with 'AI RESEARCH' kept off portals, discs, teaching files and exports?",
    "Does the archive route what it stores to other systems, and do those take these SOP classes?",
    "Does it compress, coerce or quarantine what we send, and who sees the quarantine?",
)


def sheet(trial: Handshake, checks: Sequence[Check], *, when: str, sent: bool) -> str:
    """The whole sheet; `when` in words, `sent` whether the test study was sent."""
    return "\n".join(line.rstrip() for line in _lines(trial, checks, when=when, sent=sent)) + "\n"


def _lines(trial: Handshake, checks: Sequence[Check], *, when: str, sent: bool) -> Iterator[str]:
    yield f"chexnode handshake: {trial.peer.name}"
    yield ""
    for name, value in _facts(trial, when):
        yield f"{name:<14} {value}"
    yield f"{'result':<14} {verdict(checks, sent=sent)}"
    yield ""
    for check in checks:
        yield from _wrapped(f"{WORDS[check.health]}  ", f"{check.what}: {check.said}")
        if check.advice:
            yield from _wrapped("      -> ", check.advice)
    yield from _matrix(trial)
    yield ""
    yield "To ask the people of the PACS"
    yield ""
    for question in QUESTIONS:
        yield from _wrapped("[ ]  ", question)
    if sent:
        yield ""
        yield "To delete the test study"
        yield ""
        yield from _wrapped("", deletion())


def verdict(checks: Sequence[Check], *, sent: bool) -> str:
    """In words."""
    count = sum(check.health is Health.FAILED for check in checks)
    if not passed(checks):
        return f"FAILED: {count} of {len(checks)} checks"
    return "PASSED" if sent else "NOT FINISHED: nothing was sent"


def deletion() -> str:
    """How the test study is removed. The node itself deletes nothing in anybody's archive."""
    return (
        f"It is the study of patient {specimen.PATIENT_NAME}, ID {specimen.PATIENT_ID}, accession number "
        f"{specimen.ACCESSION_NUMBER}, Study Instance UID {specimen.STUDY_INSTANCE_UID}. Delete it in the "
        "administration of the PACS, wherever it was routed to, too; chexnode deletes nothing in an archive. "
        "Another handshake sends the same UIDs again."
    )


def _facts(trial: Handshake, when: str) -> Iterator[tuple[str, str]]:
    peer = trial.peer
    yield "when", when
    yield "node", f"{trial.settings.node.ae_title}, chexnode {__version__}"
    if peer.host:
        yield "destination", f"{peer.ae_title} at {peer.host}:{peer.port}{' over TLS' if peer.tls else ''}"
    if peer.dicomweb_url:
        yield "DICOMweb", peer.dicomweb_url
    yield "results by", "STOW-RS" if peer.transport is Transport.STOW_RS else "C-STORE"
    yield "profile", f"{peer.profile.value}: {', '.join(each.name for each in trial.specimens if each.kind)}"


def _matrix(trial: Handshake) -> Iterator[str]:
    """Which SOP class is accepted in which transfer syntax."""
    if not trial.negotiated:
        return
    yield ""
    yield "Negotiated"
    yield ""
    for row in trial.negotiated:
        yield UID(row.sop_class_uid).name
        for syntax, accepted in row.accepted.items():
            yield f"     {'yes' if accepted else 'no':<4} {UID(syntax).name}"


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
