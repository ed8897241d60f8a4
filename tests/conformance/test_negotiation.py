"""Every row of the statement's network tables, against associations with the node as it runs."""

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    SegmentationStorage,
    UID_dictionary,
    generate_uid,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation

from dicom_node.deliver.kinds import destination_of
from dicom_node.deliver.statuses import STORE_STATUSES, judge
from dicom_node.dimse.association import open_association
from dicom_node.dimse.contexts import MOST_CONTEXTS, proposed_contexts
from dicom_node.domain import Kind, Profile
from dicom_node.errors import NothingAccepted
from dicom_node.peer import PeerSection
from dicom_node.receive.scp import StoreSCP
from dicom_node.sections import DeliverSection
from dicom_node.spool import Spool
from tests import datasets
from tests.conformance.conftest import Receiver, Start, rows
from tests.dimse.raw import RawSender, associate_request
from tests.peers import association, requestor
from tests.receive.conftest import PEERS

COMMITMENT = "1.2.840.10008.1.20.1"
DX = str(DigitalXRayImageStorageForPresentation)
NAMED = {name: uid for uid, (name, *_) in UID_dictionary.items()}


def of_type(kind: str) -> list[str]:
    """Every UID of PS3.6 of this type."""
    return [uid for uid, entry in UID_dictionary.items() if entry[1] == kind]


def accepted(port: int, contexts: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of `contexts` the node accepts, each proposed on its own."""
    found = set()
    for start in range(0, len(contexts), MOST_CONTEXTS):
        batch = contexts[start : start + MOST_CONTEXTS]
        try:
            with open_association(
                "127.0.0.1", port, called="CHEXNODE", calling="SENDER", contexts=proposed_contexts(batch)
            ) as opened:
                found |= {context for context in batch if opened.accepts(*context)}
        except NothingAccepted:
            continue
    return found


def test_exactly_the_stated_classes_are_accepted(receiver: Receiver, text: str) -> None:
    stated = {row[1] for row in (*rows(text, "5.1.1"), *rows(text, "5.1.2"))}
    known = stated | set(of_type("SOP Class")) | set(of_type("Meta SOP Class"))
    assert len(known) > len(stated) + 100
    found = accepted(receiver.port, [(uid, str(ExplicitVRLittleEndian)) for uid in sorted(known)])
    assert {uid for uid, _ in found} == stated


def test_every_stated_class_is_accepted_in_every_stated_syntax(receiver: Receiver, text: str) -> None:
    classes = [uid for _, uid in rows(text, "5.1.2")]
    syntaxes = [uid for _, uid in rows(text, "5.1.3")]
    contexts = [(sop_class, syntax) for sop_class in classes for syntax in syntaxes]
    assert accepted(receiver.port, contexts) == set(contexts)


def test_no_other_syntax_is_accepted(receiver: Receiver, text: str) -> None:
    stated = {(DX, uid) for _, uid in rows(text, "5.1.3")}
    for _, uid, names in rows(text, "5.1.1"):
        stated |= {(uid, NAMED[name]) for name in _names(names)}
    contexts = [(sop_class, uid) for sop_class in {one for one, _ in stated} for uid in of_type("Transfer Syntax")]
    assert accepted(receiver.port, contexts) == stated


def test_of_several_syntaxes_the_first_stated_one_is_taken(receiver: Receiver, text: str) -> None:
    stated = [uid for _, uid in rows(text, "5.1.3")]
    for position in range(len(stated)):
        least_wanted_first = stated[position:][::-1]
        with association(receiver.port, (DX, least_wanted_first)) as sender:
            assert sender.accepted_contexts[0].transfer_syntax[0] == stated[position]


def test_roles_are_negotiated_for_commitment_alone_and_windows_never(receiver: Receiver) -> None:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 4
    sender = requestor([(DX, str(ExplicitVRLittleEndian)), (COMMITMENT, str(ExplicitVRLittleEndian))])
    roles = [build_role(uid, scu_role=True, scp_role=True) for uid in (DX, COMMITMENT)]
    opened = sender.associate("127.0.0.1", receiver.port, ae_title="CHEXNODE", ext_neg=[*roles, window])
    try:
        assert opened.is_established
        assert opened.acceptor.role_selection.keys() == {COMMITMENT}
        assert opened.acceptor.asynchronous_operations in ((1, 1), None)
    finally:
        opened.release()


def test_who_the_node_says_that_it_is(receiver: Receiver, text: str) -> None:
    stated = {row[0]: row[1] for row in rows(text, "7.1")}
    with association(receiver.port, (DX, str(ExplicitVRLittleEndian))) as opened:
        assert opened.acceptor.implementation_class_uid == stated["implementation class UID"]
        assert opened.acceptor.implementation_version_name == stated["implementation version name"]
        assert str(opened.acceptor.maximum_length) == stated["maximum PDU that is taken, bytes"]


def _other_instance(raw: RawSender, dataset: Any) -> int:
    return raw.store(dataset.SOPClassUID, generate_uid(), datasets.data_set_bytes(dataset))


def _other_class(raw: RawSender, dataset: Any) -> int:
    return raw.store(SegmentationStorage, dataset.SOPInstanceUID, datasets.data_set_bytes(dataset))


def _rubbish(raw: RawSender, dataset: Any) -> int:
    return raw.store(dataset.SOPClassUID, dataset.SOPInstanceUID, b"\xff" * 1000)


def _too_large(raw: RawSender, dataset: Any) -> int:
    large = datasets.data_set_bytes(dataset) + bytes(1 << 20)
    return raw.store(dataset.SOPClassUID, dataset.SOPInstanceUID, large)


def _as_it_should_be(raw: RawSender, dataset: Any) -> int:
    return raw.store(dataset.SOPClassUID, dataset.SOPInstanceUID, datasets.data_set_bytes(dataset))


def test_every_stated_status_is_answered_and_no_other(start: Start, text: str) -> None:
    stated = {int(row[0], 16) for row in rows(text, "7.3")}
    receiver, answered = start(max_object_size=1 << 20), set()
    provocations: tuple[Callable[[RawSender, Any], int], ...] = (
        _other_instance,
        _other_class,
        _rubbish,
        _too_large,
        _as_it_should_be,
    )
    for provoke in provocations:
        with RawSender(receiver.port, [(DX, str(ExplicitVRLittleEndian))]) as raw:
            answered.add(provoke(raw, datasets.chest()))
    only_reports = PEERS[0].model_copy(update={"sends": False, "commitment": True})
    with RawSender(start(peers=(only_reports,)).port, [(DX, str(ExplicitVRLittleEndian))]) as raw:
        answered.add(_as_it_should_be(raw, datasets.chest()))
    assert answered == stated


def test_every_stated_rejection_is_sent(start: Start, text: str) -> None:
    stated = {tuple(int(cell.split()[0]) for cell in row[:3]) for row in rows(text, "7.2")}
    sent = set()
    receiver = start(max_associations_per_peer=1)
    for calling, called in (("STRANGER", "CHEXNODE"), ("SENDER", "OTHER")):
        sent.add(_rejection(receiver.scp, calling=calling, called=called))
    with association(receiver.port, (DX, str(ExplicitVRLittleEndian))):
        sent.add(_rejection(receiver.scp))
    sent.add(_rejection(start(low_watermark=1 << 60).scp))
    with_user = PEERS[0].model_copy(update={"user": "modality", "user_secret": "env:NOBODY"})
    sent.add(_rejection(start(peers=(with_user,)).scp))
    assert sent == stated


def _rejection(scp: StoreSCP, *, calling: str = "SENDER", called: str = "CHEXNODE") -> tuple[int, ...]:
    """Result, source and reason of the A-ASSOCIATE-RJ (PS3.8 9.3.4), off the wire: pynetdicom may see the end first."""
    request = associate_request([(DX, str(ExplicitVRLittleEndian))], calling=calling, called=called)
    with socket.create_connection(("127.0.0.1", scp.port), timeout=20) as connection:
        connection.sendall(request)
        answer = connection.recv(10, socket.MSG_WAITALL)
    assert answer[0] == 0x03
    return tuple(answer[7:10])


@dataclass(frozen=True, kw_only=True)
class Result:
    """A Sendable that nobody will take."""

    kind: Kind
    profile: Profile
    sop_class_uid: str
    sop_instance_uid: str = "1.2.3"
    transfer_syntax_uid: str = str(ExplicitVRLittleEndian)
    spool_key: str = ""


@pytest.fixture
def listening() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """An archive that accepts none of our classes, and what was proposed to it."""
    proposed: list[tuple[str, str]] = []

    def note(event: Event) -> None:
        proposed.extend(
            (str(context.abstract_syntax), str(syntax))
            for context in event.assoc.requestor.requested_contexts
            for syntax in context.transfer_syntax
        )

    ae = AE("ARCHIVE")
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.2")
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_REQUESTED, note)])
    assert server is not None
    yield server.socket.getsockname()[1], proposed
    server.shutdown()


@pytest.mark.parametrize("profile", list(Profile))
def test_what_is_proposed_to_a_destination_is_what_is_stated(
    listening: tuple[int, list[tuple[str, str]]], text: str, tmp_path: Path, profile: Profile
) -> None:
    port, proposed = listening
    stated = [
        (uid, NAMED[name]) for _, uid, names in rows(text, f"Profile `{profile.value}`") for name in _names(names)
    ]
    kinds = dict.fromkeys(uid for uid, _ in stated)
    peer = PeerSection(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port, profile=profile)
    results = [Result(kind=_kind(uid), profile=profile, sop_class_uid=uid) for uid in kinds]
    destination = destination_of(peer, calling="CHEXNODE", section=DeliverSection(), spool=Spool(tmp_path))
    assert {outcome.verdict.value for outcome in destination.send(results)} == {"refused"}
    assert proposed == stated


def _names(cell: str) -> list[str]:
    """The transfer syntaxes of a cell; some names have commas of their own."""
    found: list[str] = []
    for part in cell.split(", "):
        if found and found[-1] not in NAMED:
            found[-1] += f", {part}"
        else:
            found.append(part)
    return found


def _kind(sop_class_uid: str) -> Kind:
    words = {"Secondary": Kind.SC, "Segmentation": Kind.SEG, "Grayscale": Kind.GSPS, "Comprehensive": Kind.SR}
    return words.get(UID(sop_class_uid).name.split()[0], Kind.KOS)


def test_what_is_stated_of_a_status_is_what_becomes_of_the_result(text: str) -> None:
    words = {"stored": "stored", "retry": "sent again", "refused": "failed"}
    stated = {row[0]: row[2] for row in rows(text, "7.4")}
    assert len(stated) == len(STORE_STATUSES)
    for row in STORE_STATUSES:
        status = int(row.code.replace("x", "7"), 16) if row.mask else 0x1234
        said = stated[row.code if row.mask else "other"]
        assert said.startswith(words[judge(status).verdict.value])
