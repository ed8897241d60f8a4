"""Claimed jobs end as they should in a real ledger and spool, with real children; the model alone is a fake."""

import threading
from io import BytesIO

import pydicom
import pytest
from pydicom.uid import generate_uid

from dicom_node.analyse.examine import BATCH, Examiner
from dicom_node.analyse.order import Encodes, Kept, Order
from dicom_node.domain import InstanceState, JobState, Kind, Profile, Reason
from dicom_node.errors import OutOfRoom
from dicom_node.ledger import findings, instances, jobs, results, studies
from dicom_node.spool import Part, Spool
from model.contract import ModelError
from tests import datasets
from tests.analyse import bad_files
from tests.analyse.bench import NOW, Bench
from tests.analyse.conftest import Node, with_lesion
from tests.waiting import wait_for


def test_a_chest_ends_as_findings_and_results(bench: Bench):
    dataset = with_lesion()
    arrived = bench.node.arrive(dataset)
    bench.work()
    ended = bench.job(arrived.instance_id)
    assert (ended.state, ended.score, ended.attempts) == (JobState.DONE, 0.9, 1)
    assert bench.instance(arrived.instance_id).picture_digest
    with bench.node.ledger.reading() as tx:
        (found,) = findings.of_job(tx, ended.job_id)
        stored = results.of_study(tx, arrived.study_id)
    assert found.box == (14, 20, 24, 32)
    assert found.area_mm2 == pytest.approx(120 * 0.15**2)
    assert [(row.kind, row.profile) for row in stored] == [(Kind.SEG, Profile.STRICT), (Kind.SC, Profile.STRICT)]
    for row in stored:
        result = pydicom.dcmread(BytesIO(bench.node.spool.read(row.spool_key)))
        assert result.SOPInstanceUID == row.sop_instance_uid
        assert result.PatientID == dataset.PatientID
        assert result.StudyInstanceUID == dataset.StudyInstanceUID


def test_what_is_declined_or_unreadable_says_why(bench: Bench):
    hip = bench.node.arrive(datasets.chest(BodyPartExamined="HIP"))
    empty = bench.node.arrive(datasets.chest(PixelData=None))
    inverted = bench.node.arrive(
        datasets.chest(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    )
    bench.work()
    ended = [bench.job(arrived.instance_id) for arrived in (hip, empty, inverted)]
    assert [(one.state, one.reason) for one in ended] == [
        (JobState.DECLINED, Reason.NOT_A_CHEST),
        (JobState.UNREADABLE, Reason.NO_PIXELS),
        (JobState.DECLINED, Reason.LOOKS_UNLIKE_A_FRONTAL_CHEST),
    ]
    assert ended[0].detail == "BodyPartExamined is HIP"
    assert bench.instance(inverted.instance_id).picture_digest, "a later version can be compared with it"


def test_an_image_whose_results_could_refer_to_nothing(bench: Bench):
    arrived = bench.node.arrive(with_lesion(SeriesInstanceUID=None))
    bench.work()
    ended = bench.job(arrived.instance_id)
    assert (ended.state, ended.reason) == (JobState.UNREADABLE, Reason.NOT_DICOM)
    assert "SeriesInstanceUID" in ended.detail


def test_the_same_picture_again_is_not_looked_at_again(bench: Bench):
    dataset = with_lesion()
    first = bench.node.arrive(dataset)
    bench.work()
    looked = len(bench.predictor.batches)
    dataset.ImageComments = "sent again by a router that adds a comment"
    second = bench.node.arrive(dataset)
    bench.work()
    assert bench.job(second.instance_id).state is JobState.DONE
    assert bench.instance(second.instance_id).is_current
    assert not bench.instance(first.instance_id).is_current
    assert len(bench.predictor.batches) == looked
    with bench.node.ledger.reading() as tx:
        stored = results.of_study(tx, first.study_id)
        assert len(findings.of_job(tx, bench.job(second.instance_id).job_id)) == 1
    assert len(stored) == 2
    assert {row.job_id for row in stored} == {bench.job(first.instance_id).job_id}


def test_a_corrected_header_re_encodes_and_supersedes(bench: Bench):
    dataset = with_lesion()
    first = bench.node.arrive(dataset)
    bench.work()
    with bench.node.ledger.reading() as tx:
        before = {row.kind: row for row in results.of_study(tx, first.study_id)}
    looked = len(bench.predictor.batches)
    dataset.AccessionNumber = "A-2002"
    dataset.PatientID = "Grün"
    bench.node.arrive(dataset)
    bench.work()
    assert len(bench.predictor.batches) == looked
    with bench.node.ledger.reading() as tx:
        after = {row.kind: row for row in results.of_study(tx, first.study_id)}
        study = studies.get(tx, first.study_id)
    assert (study.accession_number, study.patient_id) == ("A-2002", "Grün")
    assert set(after) == {Kind.SEG, Kind.SC}
    for kind, row in after.items():
        assert row.predecessor == before[kind].sop_instance_uid
        result = pydicom.dcmread(BytesIO(bench.node.spool.read(row.spool_key)))
        assert (result.AccessionNumber, result.PatientID) == ("A-2002", "Grün")


def test_another_picture_under_the_same_uid_is_quarantined_until_a_person_accepts_it(bench: Bench):
    dataset = with_lesion()
    first = bench.node.arrive(dataset)
    bench.work()
    dataset.PixelData = datasets.film(100, 90).tobytes()
    second = bench.node.arrive(dataset)
    bench.work()
    quarantined = bench.instance(second.instance_id)
    assert (quarantined.state, quarantined.reason) == (InstanceState.QUARANTINED, Reason.DIFFERENT_PICTURE)
    assert bench.instance(first.instance_id).is_current
    with bench.node.ledger.transaction() as tx:
        assert instances.accept(tx, second.instance_id, bench.now)
    bench.work()
    assert bench.job(second.instance_id).state is JobState.DONE
    with bench.node.ledger.reading() as tx:
        assert [row.kind for row in results.of_study(tx, first.study_id)] == [Kind.SC], "no lesion, no SEG"


def test_a_version_waits_for_the_one_before_it(bench: Bench):
    dataset = with_lesion()
    bench.node.arrive(dataset)
    dataset.ImageComments = "at once"
    second = bench.node.arrive(dataset)
    bench.work()
    bench.now += 5
    bench.work()
    assert bench.job(second.instance_id).state is JobState.DONE
    assert bench.job(second.instance_id).attempts == 1, "waiting is no attempt"


def test_a_file_that_ends_its_child_does_not_keep_the_others_from_being_read(bench: Bench):
    arrived = [bench.node.arrive(datasets.chest(100, 90)) for _ in range(3)]
    bomb = datasets.chest()
    folder = bench.node.settings.node.folder
    poison = bench.node.arrive_bytes(bad_files.empty_items(folder, 2_000_000).read_bytes(), bomb)
    arrived += [bench.node.arrive(datasets.chest(100, 90)) for _ in range(3)]
    bench.work()
    assert bench.job(poison.instance_id).state is JobState.UNREADABLE
    assert bench.job(poison.instance_id).reason is Reason.DECODE_LIMIT
    assert {bench.job(one.instance_id).state for one in arrived} == {JobState.DONE}


def test_what_another_worker_took_over_is_discarded(bench: Bench):
    arrived = bench.node.arrive(with_lesion())
    bench.worker.step(0)
    with bench.node.ledger.transaction() as tx:
        late = bench.now + bench.node.settings.analyse.lease + 1
        assert jobs.reclaim_expired(tx, now=late, attempts_allowed=4) == 1
        (other,) = jobs.claim(tx, owner="other", now=late, lease=60, limit=1)
    bench.work()
    assert bench.job(arrived.instance_id).state is JobState.RUNNING
    with bench.node.ledger.reading() as tx:
        assert results.of_study(tx, arrived.study_id) == []
    with bench.node.ledger.transaction() as tx:
        assert jobs.extend(tx, other, now=late, lease=60), "it is the other's still"


def test_a_lease_is_extended_while_work_goes_on(bench: Bench):
    arrived = bench.node.arrive(with_lesion())
    bench.worker.step(0)
    bench.now += bench.node.settings.analyse.lease * 0.9
    bench.worker._extend()
    bench.now += bench.node.settings.analyse.lease * 0.9
    with bench.node.ledger.transaction() as tx:
        assert jobs.reclaim_expired(tx, now=bench.now, attempts_allowed=4) == 0
    bench.work()
    assert bench.job(arrived.instance_id).state is JobState.DONE


def test_a_job_that_was_tried_before_runs_alone(bench: Bench):
    tried = bench.node.arrive(with_lesion())
    with bench.node.ledger.transaction() as tx:
        jobs.claim(tx, owner="dead", now=NOW, lease=10, limit=1)
        jobs.reclaim_expired(tx, now=NOW + 20, attempts_allowed=4)
    bench.now += 30
    fresh = [bench.node.arrive(with_lesion()) for _ in range(2)]
    bench.work()
    assert bench.job(tried.instance_id).attempts == 2
    assert {bench.job(one.instance_id).state for one in (tried, *fresh)} == {JobState.DONE}
    assert bench.predictor.batches[-1] == 1, "it came last, with nobody beside it"


def test_a_disk_that_cannot_be_read_is_tried_again_and_then_is_somebody_s_to_mend(bench: Bench):
    arrived = bench.node.arrive(with_lesion())
    bench.node.spool.path(bench.instance(arrived.instance_id).spool_key).unlink()
    states = []
    for _ in range(bench.node.settings.analyse.attempts):
        bench.work()
        states.append(bench.job(arrived.instance_id).state)
        bench.now += 1000
    assert states == [JobState.QUEUED] * 3 + [JobState.FAILED]
    assert bench.job(arrived.instance_id).reason is Reason.ATTEMPTS_SPENT


def test_a_model_that_fails_ends_the_process_and_counts_an_attempt(bench: Bench):
    arrived = bench.node.arrive(with_lesion())
    bench.predictor.broken = True
    with pytest.raises(ModelError):
        bench.work()
    ended = bench.job(arrived.instance_id)
    assert (ended.state, ended.attempts) == (JobState.QUEUED, 1)
    assert "the device is gone" in ended.last_error
    assert not bench.worker.busy


def test_it_claims_no_more_than_may_be_in_memory_and_goes_on_while_the_model_is_busy(bench: Bench):
    bench.predictor.go.clear()
    arrived = [bench.node.arrive(with_lesion()) for _ in range(2 * bench.worker._most)]
    bench.worker.step(0)
    wait_for("all that was claimed to be read", lambda: (bench.worker.step(0), not bench.examiner._decoding)[1])
    assert len(bench.worker._held) == bench.examiner.most
    bench.predictor.go.set()
    bench.work()
    assert {bench.job(one.instance_id).state for one in arrived} == {JobState.DONE}
    assert max(bench.predictor.batches) == BATCH


class Breaks:
    """Encodes nothing, for a reason that nobody foresaw."""

    def encode(self, order: Order) -> Kept:
        raise KeyError(str(order.header.PatientName))


def test_results_that_cannot_be_made_cost_their_own_job_an_attempt_and_no_other(bench: Bench):
    arrived = bench.node.arrive(with_lesion())
    encoders, bench.worker._finisher._encoders = bench.worker._finisher._encoders, Breaks()
    bench.work()
    job = bench.job(arrived.instance_id)
    assert (job.state, job.attempts) == (JobState.QUEUED, 1)
    assert job.last_error == "its results cannot be made (KeyError)", "and it quotes nobody"
    bench.worker._finisher._encoders = encoders
    other = bench.node.arrive(with_lesion())
    bench.now += 1000
    bench.work()
    assert {bench.job(one.instance_id).state for one in (arrived, other)} == {JobState.DONE}


class Slow:
    """Encodes when told to."""

    def __init__(self, encoders: Encodes) -> None:
        self._encoders = encoders
        self.go = threading.Event()
        self.asked = 0

    def encode(self, order: Order) -> Kept:
        self.asked += 1
        assert self.go.wait(20)
        return self._encoders.encode(order)


def test_while_one_image_is_encoded_the_model_looks_at_the_next(bench: Bench):
    slow = Slow(bench.worker._finisher._encoders)
    bench.worker._finisher._encoders = slow
    first = bench.node.arrive(with_lesion())
    wait_for("the first to be encoded", lambda: (bench.worker.step(0), slow.asked)[1])
    second = bench.node.arrive(with_lesion())
    wait_for("the second to be predicted", lambda: (bench.worker.step(0), bench.predictor.batches == [1, 1])[1])
    assert bench.job(first.instance_id).state is JobState.RUNNING
    slow.go.set()
    bench.work()
    assert {bench.job(one.instance_id).state for one in (first, second)} == {JobState.DONE}


def test_what_runs_alone_waits_for_what_is_being_encoded(bench: Bench):
    slow = Slow(bench.worker._finisher._encoders)
    bench.worker._finisher._encoders = slow
    bench.node.arrive(with_lesion())
    wait_for("the first to be encoded", lambda: (bench.worker.step(0), slow.asked)[1])
    tried = bench.node.arrive(with_lesion())
    with bench.node.ledger.transaction() as tx:
        jobs.claim(tx, owner="dead", now=NOW, lease=10, limit=1)
        jobs.reclaim_expired(tx, now=NOW + 20, attempts_allowed=4)
    bench.now += 30
    for _ in range(20):
        bench.worker.step(0.01)
    assert bench.predictor.batches == [1], "the second is claimed, and not begun"
    assert len(bench.worker._alone) == 1
    slow.go.set()
    bench.work()
    assert bench.job(tried.instance_id).state is JobState.DONE


class FullSpool(Spool):
    """A spool on a disk that is full for whoever writes."""

    full = True

    def new(self, *, expected: int | None = None) -> Part:
        if self.full:
            raise OutOfRoom("no room: make room")
        return super().new(expected=expected)


def test_a_full_disk_costs_no_attempt(node: Node, examiner: Examiner[int]):
    spool = FullSpool(node.settings.node.folder / "spool")
    bench = Bench(node, examiner, spool=spool)
    arrived = node.arrive(with_lesion())
    for _ in range(6):
        bench.work()
        bench.now += 100
    assert (bench.job(arrived.instance_id).state, bench.job(arrived.instance_id).attempts) == (JobState.QUEUED, 0)
    spool.full = False
    bench.work()
    assert bench.job(arrived.instance_id).state is JobState.DONE


def test_draining_finishes_or_gives_back(bench: Bench):
    arrived = [bench.node.arrive(with_lesion()) for _ in range(3)]
    bench.worker.step(0)
    bench.worker.drain(20)
    assert {bench.job(one.instance_id).state for one in arrived} == {JobState.DONE}
    late = bench.node.arrive(with_lesion())
    bench.worker.step(0)
    bench.worker.drain(0)
    assert (bench.job(late.instance_id).state, bench.job(late.instance_id).attempts) == (JobState.QUEUED, 0)
    assert not bench.worker.busy


def test_a_moved_study_is_another_identity(bench: Bench):
    dataset = with_lesion()
    first = bench.node.arrive(dataset)
    bench.work()
    dataset.StudyInstanceUID = generate_uid()
    second = bench.node.arrive(dataset)
    bench.work()
    with bench.node.ledger.reading() as tx:
        assert results.of_study(tx, first.study_id) == []
        assert len(results.of_study(tx, second.study_id)) == 2
