"""The intake without a network: what disk and ledger do wrong becomes a status, never a success."""

import errno
import os
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from sqlalchemy import select

from dicom_node.dimse.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.dimse.status import Status
from dicom_node.domain import Kind, Profile
from dicom_node.encode import marks
from dicom_node.ledger import jobs
from dicom_node.ledger.rows import StoredResult
from dicom_node.ledger.schema import job
from dicom_node.precedence import PriorityRule, PrioritySection
from dicom_node.receive.intake import Intake
from tests import datasets
from tests.receive.conftest import PARAMETERS, Receiver, Start


def _take(receiver: Receiver, dataset: Dataset, *, step: int = 5000, priority: int = 0) -> tuple[Status, str]:
    incoming = receiver.intake.begin(
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        calling_ae_title="SENDER",
        priority=priority,
    )
    body = datasets.data_set_bytes(dataset)
    for start in range(0, len(body), step):
        incoming.write(memoryview(body)[start : start + step])
    return incoming.finish()


@pytest.mark.parametrize("step", [1, 777, 100_000])
def test_pieces_of_any_size(receiver: Receiver, step: int) -> None:
    dataset = datasets.chest(20, 20)
    assert _take(receiver, dataset, step=step) == (Status.SUCCESS, "")
    assert receiver.kept(dataset).endswith(datasets.data_set_bytes(dataset))


def test_a_head_that_comes_late_is_found(receiver: Receiver) -> None:
    """A private element of 500 KB stands before Study Instance UID: the first look is too early."""
    dataset = datasets.chest()
    dataset.add_new(0x00190010, "LO", "PRIVATE")
    dataset.add_new(0x00191001, "OB", bytes(500_000))
    assert _take(receiver, dataset) == (Status.SUCCESS, "")
    row = receiver.current(dataset)
    assert row is not None
    assert row.study_instance_uid == dataset.StudyInstanceUID


def test_one_that_comes_too_late_is_not(receiver: Receiver) -> None:
    dataset = datasets.chest()
    dataset.add_new(0x00190010, "LO", "PRIVATE")
    dataset.add_new(0x00191001, "OB", bytes(2 << 20))
    status, comment = _take(receiver, dataset)
    assert status == Status.CANNOT_UNDERSTAND
    assert "Study Instance UID" in comment
    assert receiver.files() == []


@pytest.mark.parametrize("failing", ["writev", "fsync", "fdatasync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_is_no_success(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, failing: str, code: int
) -> None:
    dataset = datasets.chest()
    with monkeypatch.context() as faulty:

        def fail(*_arguments: object) -> int:
            raise OSError(code, os.strerror(code))

        faulty.setattr(os, failing, fail)
        status, _ = _take(receiver, dataset)
    assert status == Status.OUT_OF_RESOURCES
    assert receiver.files() == []
    assert receiver.current(dataset) is None
    assert _take(receiver, dataset) == (Status.SUCCESS, ""), "once the disk works again"


def test_a_ledger_that_is_away_is_no_success(receiver: Receiver) -> None:
    dataset = datasets.chest()
    wal = receiver.folder / "ledger.sqlite"
    away = Path(f"{wal}.away")
    receiver.ledger.close()
    wal.rename(away)
    wal.mkdir()
    try:
        status, _ = _take(receiver, dataset)
    finally:
        wal.rmdir()
        away.rename(wal)
    assert status == Status.OUT_OF_RESOURCES
    assert _take(receiver, dataset) == (Status.SUCCESS, "")


def test_no_room_is_said_before_a_byte_is_written(start: Start) -> None:
    receiver = start()
    full = Intake(
        receiver.spool, receiver.ledger, parameters=PARAMETERS, low_watermark=1 << 60, max_object_size=1 << 30
    )
    incoming = full.begin(
        sop_class_uid="1.2.3", sop_instance_uid="1.2.4", transfer_syntax_uid="1.2.5", calling_ae_title="SENDER"
    )
    assert receiver.files() == []
    incoming.write(b"dropped")
    assert incoming.finish()[0] == Status.OUT_OF_RESOURCES


def test_what_is_abandoned_leaves_nothing(receiver: Receiver) -> None:
    dataset = datasets.chest()
    incoming = receiver.intake.begin(
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        calling_ae_title="SENDER",
    )
    incoming.write(datasets.data_set_bytes(dataset))
    assert len(receiver.files()) == 1
    incoming.abandon()
    assert receiver.files() == []


def test_priority_sorts_the_jobs(receiver: Receiver) -> None:
    low, medium, high = datasets.chest(), datasets.chest(), datasets.chest()
    for dataset, priority in ((low, 2), (medium, 0), (high, 1)):
        _take(receiver, dataset, priority=priority)
    with receiver.ledger.transaction() as tx:
        claimed = jobs.claim(tx, owner="test", now=1e12, lease=60, limit=10)
    order = [claim.instance.sop_instance_uid for claim in claimed]
    assert order == [high.SOPInstanceUID, medium.SOPInstanceUID, low.SOPInstanceUID]


def test_a_rule_of_the_site_goes_before_what_the_sender_asks_for(receiver: Receiver) -> None:
    rules = (PriorityRule(priority=-6, descriptions=("prior",)), PriorityRule(priority=3, requested=("STAT",)))
    receiver.intake.renew(
        parameters=PARAMETERS, parameters_by_source={}, priority=PrioritySection(level=100, rules=rules)
    )
    old, urgent, high = (
        datasets.chest(StudyDescription="Prior chest", RequestedProcedurePriority="STAT"),
        datasets.chest(RequestedProcedurePriority="STAT"),
        datasets.chest(),
    )
    for dataset, dimse in ((high, 1), (old, 1), (urgent, 2)):
        _take(receiver, dataset, priority=dimse)
    with receiver.ledger.transaction() as tx:
        claimed = jobs.claim(tx, owner="test", now=1e12, lease=60, limit=10)
        ranks = dict(tx.execute(select(job.c.id, job.c.rank - job.c.created_at)).all())
    assert [claim.instance.sop_instance_uid for claim in claimed] == [
        each.SOPInstanceUID for each in (urgent, high, old)
    ]
    assert [ranks[claim.job_id] for claim in claimed] == pytest.approx([-300, -100, 600])


def test_marks_of_others_are_no_marks(receiver: Receiver) -> None:
    """Only both marks together make a result: a modality's maker may be called anything."""
    for attributes in ({"Manufacturer": "chexnode"}, {"ManufacturerModelName": "chexnode"}):
        dataset = datasets.chest(SOPClassUID=SecondaryCaptureImageStorage, **attributes)
        assert _take(receiver, dataset) == (Status.SUCCESS, "")
        assert receiver.current(dataset) is not None


def test_the_node_has_one_name_in_files_and_on_the_wire() -> None:
    assert IMPLEMENTATION_CLASS_UID == marks.IMPLEMENTATION_CLASS_UID
    assert IMPLEMENTATION_VERSION_NAME == marks.IMPLEMENTATION_VERSION_NAME


def test_a_result_that_lost_its_marks_is_known_by_its_uid(receiver: Receiver) -> None:
    """Archives coerce headers; a result that comes back so must not be read as an image."""
    source = datasets.chest()
    _take(receiver, source)
    result = datasets.secondary_capture(Manufacturer="Coercing Archive")
    with receiver.ledger.transaction() as tx:
        (claim,) = jobs.claim(tx, owner="test", now=1e12, lease=60, limit=1)
        stored = StoredResult(
            kind=Kind.SC,
            profile=Profile.STRICT,
            sop_class_uid=result.SOPClassUID,
            sop_instance_uid=result.SOPInstanceUID,
            series_instance_uid=result.SeriesInstanceUID,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            encoder_version="1",
            spool_key=receiver.spool.put(b"result"),
            digest="0" * 64,
        )
        jobs.finish_done(tx, claim, now=1e12, score=0.5, findings=[], results=[stored])
    files = receiver.files()
    assert _take(receiver, result) == (Status.SUCCESS, "")
    assert receiver.current(result) is None
    assert receiver.files() == files
