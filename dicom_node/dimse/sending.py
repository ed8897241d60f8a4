"""Sending files: what to propose for them, and one outcome each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.dimse.association import OpenAssociation, Timeouts, open_association
from dicom_node.dimse.contexts import MOST_CONTEXTS, proposed_contexts
from dicom_node.dimse.part10 import LONGEST_META, FileMeta, read_file_meta
from dicom_node.dimse.status import is_stored
from dicom_node.dimse.tls import Wraps
from dicom_node.errors import Refused, Unreadable


@dataclass(frozen=True, kw_only=True)
class SentFile:
    """What became of one file."""

    path: Path
    stored: bool
    #: what the peer said, or why it was not sent; empty where it was stored without a comment
    detail: str = ""


def send_files(
    paths: Sequence[Path],
    host: str,
    port: int,
    *,
    called: str,
    calling: str,
    timeouts: Timeouts | None = None,
    tls: Wraps | None = None,
) -> Iterator[SentFile]:
    """Send DICOM files in their own transfer syntaxes, over as few associations as their classes need.

    Yields one SentFile each, as soon as it is known. Raises PeerUnavailable and Refused where an association can't
    be had or breaks: what was not yielded by then was not stored, as far as anyone knows.
    """
    readable: list[tuple[Path, FileMeta]] = []
    for path in paths:
        try:
            readable.append((path, _meta(path)))
        except (Unreadable, OSError) as error:
            yield SentFile(path=path, stored=False, detail=str(error))
    for batch in _batches(readable):
        contexts = proposed_contexts((meta.sop_class_uid, meta.transfer_syntax_uid) for _, meta in batch)
        with open_association(
            host, port, called=called, calling=calling, contexts=contexts, timeouts=timeouts, tls=tls
        ) as opened:
            for path, _ in batch:
                yield _send(opened, path)


def _send(opened: OpenAssociation, path: Path) -> SentFile:
    try:
        answer = opened.store(path)
    except (Refused, Unreadable, OSError) as error:
        return SentFile(path=path, stored=False, detail=str(error))
    said = f"status {answer.status:04X} {answer.comment}".strip() if answer.status else ""
    return SentFile(path=path, stored=is_stored(answer.status), detail=said)


def _meta(path: Path) -> FileMeta:
    with path.open("rb") as file:
        return read_file_meta(file.read(LONGEST_META))


def _batches(readable: Sequence[tuple[Path, FileMeta]]) -> Iterator[list[tuple[Path, FileMeta]]]:
    """Runs of files whose classes and syntaxes fit one association."""
    batch: list[tuple[Path, FileMeta]] = []
    wanted: set[tuple[str, str]] = set()
    for path, meta in readable:
        needed = (meta.sop_class_uid, meta.transfer_syntax_uid)
        if batch and len(wanted | {needed}) > MOST_CONTEXTS:
            yield batch
            batch, wanted = [], set()
        batch.append((path, meta))
        wanted.add(needed)
    if batch:
        yield batch
