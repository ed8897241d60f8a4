"""What is delivered stands in the audit trail: over real associations, read back from its file."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from dicom_node.audit import Trail
from dicom_node.config import PeerSection
from dicom_node.deliver.audited import Audited, Whose
from dicom_node.deliver.destination import Outcome, Verdict
from dicom_node.deliver.dicom import DicomDestination
from dicom_node.dimse.association import Timeouts
from dicom_node.domain import Kind
from dicom_node.errors import LedgerUnavailable
from dicom_node.ledger import lookup
from dicom_node.ledger.rows import StoredResult, StudyRow
from dicom_node.security import AuditSection, TLSSection
from tests.audit.reading import Told, told
from tests.deliver.archives import Archive
from tests.deliver.node import Node, peer, settings_of
from tests.peers import free_port

SC, SEG = str(SecondaryCaptureImageStorage), "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path / "node"))
    yield node
    node.close()


def _study(node: Node, *kinds: Kind) -> tuple[str, list[StoredResult]]:
    """A study with an image that was analysed, one job; its UID and its results."""
    uid = str(generate_uid())
    node.arrive(uid)
    results = [node.result(uid, kind) for kind in kinds]
    node.analyse(*results)
    return uid, results


def _send(
    node: Node, port: int, results: list[StoredResult], folder: Path, whose: Whose | None = None
) -> tuple[list[Outcome], list[Told]]:
    """The outcomes, and what the trail says."""

    def of_ledger(sop_instance_uid: str) -> StudyRow | None:
        with node.ledger.reading() as tx:
            return lookup.study_of_result(tx, sop_instance_uid)

    trail = Trail(AuditSection(file=folder / "audit.xml"), tls=TLSSection(), ae_title="CHEXNODE")
    section = PeerSection.model_validate(peer("archive", port))
    real = DicomDestination(section, calling="CHEXNODE", timeouts=Timeouts(connect=2, response=1), spool=node.spool)
    outcomes = list(Audited(real, section, trail=trail, whose=whose or of_ledger).send(results))
    trail.close(20)
    lines = (folder / "audit.xml").read_text().splitlines() if (folder / "audit.xml").exists() else []
    return outcomes, [told(line) for line in lines]


def test_a_message_a_study_and_failures_in_their_own(node: Node, tmp_path: Path) -> None:
    one, of_one = _study(node, Kind.SC, Kind.SEG)
    other, of_other = _study(node, Kind.SC)
    with Archive(classes=[SC]) as archive:
        outcomes, said = _send(node, archive.port, [*of_one, *of_other], tmp_path)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.STORED, Verdict.REFUSED, Verdict.STORED]
    assert [(each.objects["110180"], each.outcome, each.sop_classes) for each in said] == [
        (one, "0", {SC: 1}),
        (one, "4", {SEG: 1}),
        (other, "0", {SC: 1}),
    ]
    assert {(each.event, each.action, each.objects["2"]) for each in said} == {("110104", "R", "P-2002")}
    assert said[0].participants == [("CHEXNODE", "110153", True), ("ARCHIVE", "110152", False)]


def test_what_nobody_took_is_told_once_a_batch_and_what_had_no_turn_is_not(node: Node, tmp_path: Path) -> None:
    uid, results = _study(node, Kind.SC, Kind.SEG)
    outcomes, said = _send(node, free_port(), results, tmp_path)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY] * 2
    (failed,) = said
    assert (failed.outcome, failed.objects["110180"], failed.sop_classes) == ("4", uid, {SC: 1, SEG: 1})


def test_a_ledger_that_is_away_holds_up_no_delivery(node: Node, tmp_path: Path) -> None:
    def away(_: str) -> StudyRow | None:
        raise LedgerUnavailable("away")

    _, results = _study(node, Kind.SC)
    with Archive() as archive:
        outcomes, said = _send(node, archive.port, results, tmp_path, whose=away)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.STORED]
    assert [(each.outcome, each.objects["110180"]) for each in said] == [("0", "")]
