"""C-STORE of frozen bytes to real archives, and what their answers mean."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage

from dicom_node.deliver.destination import Outcome, Verdict
from dicom_node.deliver.dicom import DicomDestination
from dicom_node.deliver.statuses import judge
from dicom_node.dimse.association import Timeouts
from dicom_node.domain import Kind
from dicom_node.ledger.rows import StoredResult
from dicom_node.peer import PeerSection
from tests.datasets import data_set_bytes, file_bytes
from tests.deliver.archives import Archive, StoreSCP
from tests.deliver.node import Node, peer, settings_of
from tests.deliver.wire import AwkwardWire, Manner
from tests.peers import free_port

STUDY = "1.2.3"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path))
    yield node
    node.close()


def destination(node: Node, port: int, *, ae_title: str = "ARCHIVE") -> DicomDestination:
    section = PeerSection.model_validate({**peer("archive", port), "ae_title": ae_title})
    return DicomDestination(section, calling="CHEXNODE", timeouts=Timeouts(connect=2, response=1), spool=node.spool)


def send(node: Node, port: int, *results: StoredResult, ae_title: str = "ARCHIVE") -> list[Outcome]:
    return list(destination(node, port, ae_title=ae_title).send(results))


def verdicts(outcomes: list[Outcome]) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes]


def test_several_results_go_over_one_association_octet_for_octet(node: Node) -> None:
    results = [node.result(STUDY), node.result(STUDY, Kind.SEG), node.result(STUDY)]
    with Archive() as archive:
        outcomes = send(node, archive.port, *results)
        assert verdicts(outcomes) == [Verdict.STORED] * 3
        assert archive.associations == 1
        for result in results:
            data, syntax = archive.kept[result.sop_instance_uid]
            assert syntax == ExplicitVRLittleEndian
            assert node.spool.read(result.spool_key).endswith(data)
            assert len(data) > 1000


def test_an_archive_that_takes_implicit_only_gets_implicit(node: Node) -> None:
    result = node.result(STUDY)
    with Archive(transfer_syntaxes=[ImplicitVRLittleEndian]) as archive:
        assert verdicts(send(node, archive.port, result)) == [Verdict.STORED]
        data, syntax = archive.kept[result.sop_instance_uid]
    assert syntax == ImplicitVRLittleEndian
    original = dcmread(node.spool.path(result.spool_key))
    original.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert data == data_set_bytes(original)


def test_dcmtk_keeps_what_it_is_sent(node: Node, tmp_path: Path) -> None:
    results = [node.result(STUDY), node.result(STUDY, Kind.SEG)]
    with StoreSCP(tmp_path / "dcmtk", free_port(), "+xa") as archive:
        assert verdicts(send(node, archive.port, *results)) == [Verdict.STORED] * 2
        assert archive.uids() == sorted(result.sop_instance_uid for result in results)


def test_a_class_that_is_not_accepted_is_refused_and_the_others_are_stored(node: Node) -> None:
    results = [node.result(STUDY), node.result(STUDY, Kind.SEG), node.result(STUDY)]
    with Archive(classes=[SecondaryCaptureImageStorage]) as archive:
        outcomes = send(node, archive.port, *results)
    assert verdicts(outcomes) == [Verdict.STORED, Verdict.REFUSED, Verdict.STORED]
    assert results[1].sop_class_uid in outcomes[1].detail


def test_an_archive_that_accepts_no_class_of_ours_refuses_for_good(node: Node) -> None:
    with Archive(classes=["1.2.840.10008.5.1.4.1.1.2"]) as archive:
        outcomes = send(node, archive.port, node.result(STUDY), node.result(STUDY, Kind.SEG))
    assert verdicts(outcomes) == [Verdict.REFUSED] * 2


def test_nobody_at_the_address_is_tried_again(node: Node) -> None:
    outcomes = send(node, free_port(), node.result(STUDY), node.result(STUDY))
    assert verdicts(outcomes) == [Verdict.RETRY] * 2
    assert "cannot connect" in outcomes[0].detail


def test_a_rejected_association_is_tried_again_for_it_is_somebodys_configuration(node: Node) -> None:
    with Archive(ae_title="OTHER") as archive:
        outcomes = send(node, archive.port, node.result(STUDY))
    assert verdicts(outcomes) == [Verdict.RETRY]
    assert "is ARCHIVE its AE title?" in outcomes[0].detail


def test_an_archive_that_stores_and_drops_leaves_the_next_ones_untried(node: Node) -> None:
    results = [node.result(STUDY) for _ in range(3)]
    with Archive() as archive, AwkwardWire(archive.port, Manner.DROP_ANSWER) as wire:
        outcomes = send(node, wire.port, *results)
        assert archive.came[results[0].sop_instance_uid] == 1
    assert verdicts(outcomes) == [Verdict.RETRY, Verdict.UNTRIED, Verdict.UNTRIED]


@pytest.mark.parametrize("rows", [64, 60000])
def test_an_archive_that_stops_reading_is_given_up_in_time(node: Node, rows: int) -> None:
    results = [node.result(STUDY, rows=rows), node.result(STUDY)]
    with Archive() as archive, AwkwardWire(archive.port, Manner.STALL) as wire:
        outcomes = send(node, wire.port, *results)
        assert wire.spoilt == 1
    assert verdicts(outcomes) == [Verdict.RETRY, Verdict.UNTRIED]


def test_an_archive_that_never_answers_is_given_up_in_time(node: Node) -> None:
    with Archive() as archive:
        archive.answers.clear()
        assert verdicts(send(node, archive.port, node.result(STUDY))) == [Verdict.RETRY]


def test_closing_the_outcomes_closes_the_association(node: Node) -> None:
    results = [node.result(STUDY) for _ in range(3)]
    with Archive() as archive:
        outcomes = destination(node, archive.port).send(results)
        assert next(outcomes).verdict is Verdict.STORED
        outcomes.close()
        assert sum(archive.came.values()) == 1


def test_bytes_that_are_gone_or_damaged_are_said_to_be(node: Node) -> None:
    gone, damaged, whole = (node.result(STUDY) for _ in range(3))
    node.spool.remove(gone.spool_key)
    node.spool.path(damaged.spool_key).write_bytes(b"not DICOM at all" * 100)
    with Archive() as archive:
        outcomes = send(node, archive.port, gone, damaged, whole)
    assert verdicts(outcomes) == [Verdict.RETRY, Verdict.REFUSED, Verdict.STORED]
    assert "damaged" in outcomes[1].detail


def test_the_error_comment_of_a_peer_goes_nowhere(node: Node) -> None:
    with Archive(statuses=[0xC001], comment="patient Probe^Petra is unknown") as archive:
        (outcome,) = send(node, archive.port, node.result(STUDY))
    assert outcome.verdict is Verdict.REFUSED
    assert "C001" in outcome.detail
    assert "Petra" not in outcome.detail


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.STORED),
        (0xB000, Verdict.STORED),
        (0xB006, Verdict.STORED),
        (0xB007, Verdict.STORED),
        (0x0111, Verdict.STORED),
        (0xA700, Verdict.RETRY),
        (0xA7FF, Verdict.RETRY),
        (0x0110, Verdict.RETRY),
        (0x0211, Verdict.RETRY),
        (0xFE00, Verdict.RETRY),
        (0x0117, Verdict.REFUSED),
        (0x0122, Verdict.REFUSED),
        (0x0124, Verdict.REFUSED),
        (0xA900, Verdict.REFUSED),
        (0xA9FF, Verdict.REFUSED),
        (0xC000, Verdict.REFUSED),
        (0xCFFF, Verdict.REFUSED),
    ],
)
def test_every_status_has_its_verdict(status: int, verdict: Verdict) -> None:
    outcome = judge(status)
    assert outcome.verdict is verdict
    assert (f"{status:04X}" in outcome.detail) == (status != 0)


def picture(node: Node, *, noisy: bool) -> StoredResult:
    """An overlay of 8 bits."""
    kept = node.result(STUDY)
    dataset = dcmread(node.spool.path(kept.spool_key))
    count = dataset.Rows * dataset.Columns
    noise = np.random.default_rng(1).integers(0, 256, count, dtype=np.uint8)
    pixels = noise if noisy else np.linspace(0, 255, count).astype(np.uint8)
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    return replace(kept, spool_key=node.spool.put(file_bytes(dataset)))


@pytest.mark.parametrize(("noisy", "syntax"), [(False, RLELossless), (True, ExplicitVRLittleEndian)])
def test_a_picture_goes_compressed_where_that_makes_it_smaller(node: Node, noisy: bool, syntax: UID) -> None:
    result = picture(node, noisy=noisy)
    with Archive(transfer_syntaxes=[ExplicitVRLittleEndian, RLELossless]) as archive:
        assert verdicts(send(node, archive.port, result)) == [Verdict.STORED]
    assert archive.kept[result.sop_instance_uid][1] == syntax


def test_where_only_compressed_is_taken_noise_goes_compressed_too(node: Node) -> None:
    result, seg = picture(node, noisy=True), node.result(STUDY, Kind.SEG)
    with Archive(transfer_syntaxes=[RLELossless]) as archive:
        assert verdicts(send(node, archive.port, result, seg)) == [Verdict.STORED, Verdict.REFUSED]
    assert archive.kept[result.sop_instance_uid][1] == RLELossless
