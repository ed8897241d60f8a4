"""Source images that a rejection note names: whatever came first, nothing is made of them, and what was is recalled."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import select

from dicom_node.domain import InstanceState, JobState, Reason, RejectionTitle, StudyState
from dicom_node.errors import LostRace
from dicom_node.ledger import (
    Ledger,
    Tx,
    deliveries,
    findings,
    instances,
    jobs,
    models,
    rejections,
    studies,
    versions,
    withdrawals,
)
from dicom_node.ledger.rejections import Effect
from dicom_node.ledger.rows import JobRow, job_row
from dicom_node.ledger.schema import job
from tests.contract.world import ATTEMPTS, MODEL, PARAMETERS, World, arrival, stored

IMAGE = "1.2.826.0.1.1"
NOTHING = Effect(images=0, jobs=0, results=0)


def _reject(world: World, *uids: str, title: RejectionTitle = RejectionTitle.QUALITY, now: float = 30.0) -> Effect:
    with world.ledger.transaction() as tx:
        return rejections.enter(tx, uids, title=title, note="1.2.3", study_id=1, now=now)


def _jobs(world: World) -> list[JobRow]:
    with world.ledger.reading() as tx:
        return [job_row(row) for row in tx.execute(select(job).order_by(job.c.id)).mappings()]


def _declined(world: World) -> list[bool]:
    return [one.state is JobState.DECLINED and one.reason is Reason.REJECTED for one in _jobs(world)]


def test_a_queued_job_is_cancelled(world: World) -> None:
    world.receive(arrival(1), arrival(2))
    assert _reject(world, IMAGE) == Effect(images=1, jobs=1, results=0)
    assert _declined(world) == [True, False]
    (left,) = world.claim(now=31.0)
    assert left.instance.sop_instance_uid == "1.2.826.0.1.2"


def test_a_worker_that_holds_the_job_loses_it(world: World) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim()
    _reject(world, IMAGE)
    with world.ledger.transaction() as tx:
        assert not jobs.extend(tx, claim, now=31.0, lease=10.0)
    with pytest.raises(LostRace):
        world.done(claim, now=32.0)
    assert _declined(world) == [True]
    assert world.current_results() == []


def test_a_failed_job_is_not_worth_a_retry(world: World) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim()
    with world.ledger.transaction() as tx:
        jobs.retry(tx, claim, now=2.0, not_before=2.0, error="no", attempts_allowed=1)
    _reject(world, IMAGE)
    with world.ledger.transaction() as tx:
        assert jobs.failed(tx) == []
    assert _declined(world) == [True]


def test_results_are_recalled_and_the_study_tells_anew(world: World) -> None:
    world.receive(arrival(1), arrival(2))
    for number, claim in enumerate(world.claim(), start=1):
        world.done(claim, encoded=[stored(f"2.25.{number}")])
    world.through(now=20.0)
    for sending in world.sending(now=21.0, limit=1):
        with world.ledger.transaction() as tx:
            deliveries.stored(tx, sending, 22.0)
    effect = _reject(world, IMAGE, "1.2.826.0.1.2", title=RejectionTitle.WORKLIST)
    assert effect == Effect(images=2, jobs=2, results=2)
    assert world.current_results() == []
    assert world.sending(now=31.0) == []
    with world.ledger.reading() as tx:
        assert [(one.sop_instance_uid, one.title) for one in withdrawals.find(tx)] == [
            ("2.25.1", RejectionTitle.WORKLIST)
        ]
        assert len(findings.of_job(tx, 1)) == 1, "what was found stays on record"
    row = world.study()
    assert (row.state, row.revision) == (StudyState.OPEN, 2)
    assert world.through(now=50.0) == [1]


def test_the_same_note_again_changes_nothing(world: World) -> None:
    world.receive(arrival(1))
    world.analyse()
    world.through(now=20.0)
    assert _reject(world, IMAGE, IMAGE).images == 1
    world.through(now=50.0)
    before = world.study()
    assert _reject(world, IMAGE, title=RejectionTitle.PATIENT_SAFETY, now=60.0) == NOTHING
    assert world.study() == before


def test_an_image_that_comes_after_its_note_is_not_analysed(world: World) -> None:
    world.receive(arrival(9))
    assert _reject(world, IMAGE, title=RejectionTitle.PATIENT_SAFETY) == NOTHING
    world.receive(arrival(1), arrival(2), now=31.0)
    last = _jobs(world)[1]
    assert (last.state, last.reason, last.detail) == (JobState.DECLINED, Reason.REJECTED, "for patient safety reasons")
    assert _declined(world) == [False, True, False]


def test_nor_is_it_where_no_model_was_there_yet(ledger: Ledger) -> None:
    world = World(ledger, model=False)
    world.receive(arrival(9), arrival(1))
    _reject(world, IMAGE)
    world.activate(MODEL)
    with ledger.transaction() as tx:
        assert models.insert_missing(tx, model=MODEL, parameters=PARAMETERS, now=40.0) == 2
    assert _declined(world) == [False, True]


def test_every_version_of_a_rejected_image_is_rejected(world: World) -> None:
    world.receive(arrival(1))
    world.analyse()
    world.receive(arrival(1, data="second"), now=3.0)
    assert _reject(world, IMAGE).jobs == 2
    world.receive(arrival(1, data="third"), now=31.0)
    assert _declined(world) == [True, True, True]
    assert world.claim(now=40.0) == []


def test_an_image_of_another_study_than_the_note_s(world: World) -> None:
    world.receive(arrival(1, study=2), arrival(2, study=1))
    world.analyse()
    world.through(now=20.0)
    assert _reject(world, IMAGE).results == 1
    assert (world.study(1).revision, world.study(2).revision) == (2, 1)


def test_what_waits_for_accept_is_not_read_once_accepted(world: World) -> None:
    world.receive(arrival(1))
    world.analyse()
    claim = world.new_version(data="another picture")
    with world.ledger.transaction() as tx:
        versions.quarantine(tx, claim, reason=Reason.DIFFERENT_PICTURE, picture_digest="other", now=5.0)
    _reject(world, IMAGE)
    with world.ledger.transaction() as tx:
        assert instances.accept(tx, claim.instance.instance_id, 31.0)
        assert instances.get(tx, claim.instance.instance_id).state is InstanceState.RECEIVED
    assert world.claim(now=40.0) == []


def test_a_job_made_for_a_later_model_is_declined_too(world: World) -> None:
    world.receive(arrival(1))
    _reject(world, IMAGE)
    world.activate("dd" * 32)
    with world.ledger.transaction() as tx:
        made = models.queue_jobs(tx, instance_id=1, study_id=1, priority=0, rank=40.0, parameters=PARAMETERS, now=40.0)
    assert made == 1
    assert _declined(world) == [True, True]
    assert world.claim(now=41.0) == []
    with world.ledger.transaction() as tx:
        assert jobs.reclaim_expired(tx, now=1000.0, attempts_allowed=ATTEMPTS) == 0
        assert studies.unfinished(tx, 1) == []


def test_a_note_goes_before_the_images_that_wait_and_opens_no_study_by_itself(world: World) -> None:
    world.receive(arrival(1))
    world.analyse()
    world.through(now=20.0)
    note = arrival(9)
    head = replace(note.head, sop_class_uid="1.2.840.10008.5.1.4.1.1.88.59")
    world.receive(arrival(2, study=2, priority=1), replace(note, head=head), now=30.0)
    (first,) = world.claim(now=31.0, limit=1)
    assert first.instance.sop_instance_uid == "1.2.826.0.1.9"
    assert world.study().state is StudyState.CONCLUDED
    world.unread(first, JobState.DECLINED, Reason.REJECTION_NOTE, now=32.0)
    assert (world.study().state, world.study().revision) == (StudyState.CONCLUDED, 1)


def test_a_note_of_thousands_is_entered_in_one_go(world: World) -> None:
    world.receive(arrival(1), arrival(2))
    named = [f"1.2.826.0.1.{number}" for number in range(2, 12_002)]
    assert _reject(world, *named) == Effect(images=1, jobs=1, results=0)
    assert _reject(world, *named) == NOTHING
    assert _declined(world) == [False, True]


@pytest.mark.parametrize("first", ["image", "note"])
def test_an_image_and_its_note_at_the_same_moment_cannot_miss_each_other(world: World, first: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def record(tx: Tx) -> None:
        instances.record(tx, arrival(1), parameters=PARAMETERS, now=30.0)

    def reject(tx: Tx) -> None:
        rejections.enter(tx, [IMAGE], title=RejectionTitle.QUALITY, note="1.2.3", study_id=1, now=30.0)

    world.receive(arrival(9))
    one, other = (record, reject) if first == "image" else (reject, record)

    def slow() -> None:
        with world.ledger.transaction() as tx:
            one(tx)
            begun.set()
            assert go_on.wait(20)

    def quick() -> None:
        with world.ledger.transaction() as tx:
            other(tx)

    threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    threads[1].join(0.3)  # until it waits for the first; were it done by then, all the better
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert _declined(world) == [False, True]
