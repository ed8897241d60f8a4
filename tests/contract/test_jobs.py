"""The queue of jobs: order, leases, fences, attempts."""

import numpy as np
import pytest
from sqlalchemy import select

from dicom_node.domain import JobState, Kind, Reason, StudyState
from dicom_node.errors import LostRace
from dicom_node.ledger import findings, instances, jobs, results
from dicom_node.ledger.jobs import ClaimedJob
from dicom_node.ledger.rows import JobRow, job_row
from dicom_node.ledger.schema import finding as finding_table
from dicom_node.ledger.schema import job as job_table
from dicom_node.ledger.schema import result as result_table
from tests.contract.world import ATTEMPTS, LEASE, World, arrival, finding, stored


def _job(world: World, job_id: int = 1) -> JobRow:
    with world.ledger.reading() as tx:
        return job_row(tx.execute(select(job_table).where(job_table.c.id == job_id)).mappings().one())


def _retry(world: World, claim: ClaimedJob, *, now: float, not_before: float) -> JobState:
    with world.ledger.transaction() as tx:
        return jobs.retry(
            tx, claim, now=now, not_before=not_before, error="the GPU fell off", attempts_allowed=ATTEMPTS
        )


def test_findings_come_back_as_they_were_stored(world: World) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim()
    made = [finding(0.9), finding(0.2)]
    world.done(claim, found=made)
    with world.ledger.reading() as tx:
        back = findings.of_job(tx, claim.job_id)
    assert [one.confidence for one in back] == [0.9, 0.2]
    for one, other in zip(made, back, strict=True):
        assert (one.box, one.mask_origin, one.area_mm2) == (other.box, other.mask_origin, other.area_mm2)
        np.testing.assert_array_equal(one.mask, other.mask)


def test_a_retry_waits_and_counts(world: World) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim(now=1.0)
    assert _retry(world, claim, now=2.0, not_before=30.0) is JobState.QUEUED
    assert world.claim(now=29.9) == []
    with world.ledger.reading() as tx:
        assert jobs.next_due(tx) == 30.0
    (again,) = world.claim(now=30.0)
    assert again.attempts == 2
    assert again.token > claim.token
    assert _job(world).last_error == "the GPU fell off"


def test_spent_attempts_are_a_failure_until_an_operator_says_otherwise(world: World) -> None:
    world.receive(arrival(1))
    for attempt in range(1, ATTEMPTS + 1):
        (claim,) = world.claim(now=10.0 * attempt)
        state = _retry(world, claim, now=10.0 * attempt, not_before=10.0 * attempt)
    assert state is JobState.FAILED
    assert _job(world).reason is Reason.ATTEMPTS_SPENT
    with world.ledger.transaction() as tx:
        assert jobs.failed(tx) == [1]
        assert jobs.failed(tx, study_id=2) == []
        assert jobs.requeue(tx, 1, 100.0)
        assert not jobs.requeue(tx, 1, 100.0)
        assert not jobs.requeue(tx, 99, 100.0)
    (claim,) = world.claim(now=100.0)
    assert claim.attempts == 1
    assert _job(world).reason is None


def test_a_requeued_job_goes_to_the_model_that_is_active_now(world: World) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim()
    with world.ledger.transaction() as tx:
        jobs.retry(tx, claim, now=2.0, not_before=2.0, error="out of memory", attempts_allowed=1)
    world.activate("dd" * 32)
    with world.ledger.transaction() as tx:
        assert jobs.requeue(tx, claim.job_id, 3.0)
    assert world.claim(now=3.0)[0].model == "dd" * 32


def test_a_postponed_job_has_lost_no_attempt(world: World) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim(now=1.0)
    with world.ledger.transaction() as tx:
        jobs.postpone(tx, claim, now=1.0, not_before=3.0, reason="an earlier version comes first")
    assert world.claim(now=2.0) == []
    assert world.claim(now=3.0)[0].attempts == 1


def test_only_jobs_of_the_asked_model_are_claimed(world: World) -> None:
    world.receive(arrival(1))
    with world.ledger.transaction() as tx:
        assert jobs.claim(tx, owner="w", now=1.0, lease=LEASE, limit=9, model_digest="dd" * 32) == []


def test_a_lease_is_extended_or_lost(world: World) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim(now=0.0)
    with world.ledger.transaction() as tx:
        assert jobs.extend(tx, claim, now=50.0, lease=LEASE)
        assert jobs.next_expiry(tx) == 50.0 + LEASE
        assert jobs.reclaim_expired(tx, now=100.0, attempts_allowed=ATTEMPTS) == 0
        assert jobs.reclaim_expired(tx, now=111.0, attempts_allowed=ATTEMPTS) == 1
        assert not jobs.extend(tx, claim, now=112.0, lease=LEASE)


@pytest.mark.parametrize("end", ["done", "unread", "retry", "postpone"])
@pytest.mark.parametrize("taken_again", [False, True])
def test_a_worker_that_wakes_up_late_loses(world: World, end: str, taken_again: bool) -> None:
    world.receive(arrival(1))
    (late,) = world.claim(now=0.0, owner="frozen")
    with world.ledger.transaction() as tx:
        assert jobs.reclaim_expired(tx, now=LEASE + 1, attempts_allowed=ATTEMPTS) == 1
    if taken_again:
        (quick,) = world.claim(now=LEASE + 2, owner="quick")

    def wake_up() -> None:
        if end == "done":
            world.done(late, encoded=[stored("2.25.666")])
        elif end == "unread":
            world.unread(late, JobState.UNREADABLE, Reason.TRUNCATED)
        elif end == "retry":
            _retry(world, late, now=90.0, not_before=90.0)
        else:
            with world.ledger.transaction() as tx:
                jobs.postpone(tx, late, now=90.0, not_before=90.0, reason="")

    with pytest.raises(LostRace):
        wake_up()
    assert _job(world).state is (JobState.RUNNING if taken_again else JobState.QUEUED)
    with world.ledger.reading() as tx:
        assert tx.execute(select(result_table.c.id)).all() == []
        assert tx.execute(select(finding_table.c.id)).all() == []
        assert instances.get(tx, 1).picture_digest is None, "what it wrote in that transaction is gone too"
    if taken_again:
        world.done(quick)
        assert _job(world).state is JobState.DONE


def test_a_lease_that_ends_again_and_again_spends_the_attempts(world: World) -> None:
    world.receive(arrival(1))
    for attempt in range(1, ATTEMPTS + 1):
        assert len(world.claim(now=1000.0 * attempt)) == 1
        with world.ledger.transaction() as tx:
            assert jobs.reclaim_expired(tx, now=1000.0 * attempt + LEASE + 1, attempts_allowed=ATTEMPTS) == 1
    row = _job(world)
    assert (row.state, row.reason) == (JobState.FAILED, Reason.ATTEMPTS_SPENT)
    assert "worker" in row.last_error


def test_a_result_keeps_the_bytes_that_were_committed_first(world: World) -> None:
    world.receive(arrival(1), arrival(2))
    one, other = world.claim()
    world.done(one, encoded=[stored("2.25.5"), stored("2.25.6", Kind.SC)])
    world.done(other, encoded=[stored("2.25.5")])
    with world.ledger.reading() as tx:
        made = results.of_study(tx, 1)
        assert [(row.sop_instance_uid, row.job_id) for row in made] == [("2.25.5", 1), ("2.25.6", 1)]
        assert results.is_ours(tx, "2.25.5")
        assert not results.is_ours(tx, "2.25.7")


@pytest.mark.parametrize(
    ("state", "reason"),
    [(JobState.DECLINED, Reason.LATERAL_VIEW), (JobState.UNREADABLE, Reason.TRUNCATED)],
)
def test_what_is_not_read_says_why(world: World, state: JobState, reason: Reason) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim()
    with world.ledger.transaction() as tx:
        jobs.finish_unread(tx, claim, state, reason=reason, detail="view LL", now=2.0)
    row = _job(world)
    assert (row.state, row.reason, row.detail, row.ended_at) == (state, reason, "view LL", 2.0)
    assert world.through(now=30.0) == [1]


@pytest.mark.parametrize("how", ["done", "declined", "unreadable"])
def test_a_late_job_reopens_the_study_that_was_concluded_without_it(world: World, how: str) -> None:
    world.receive(arrival(1), arrival(2), now=0.0)
    first, late = world.claim(now=0.0)
    world.done(first)
    world.quieten(now=20.0)
    assert world.conclude(now=100.0) == []
    assert world.conclude(now=621.0) == [1], "conclude_after has passed"
    if how == "done":
        world.done(late, now=700.0)
    else:
        world.unread(late, JobState(how), Reason.TRUNCATED, now=700.0)
    row = world.study()
    assert (row.state, row.revision) == (StudyState.OPEN, 2)
    assert world.through(now=701.0) == [1], "it has been quiet for long"


def test_a_late_failure_is_no_news(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    (claim,) = world.claim(now=0.0)
    world.quieten(now=20.0)
    assert world.conclude(now=700.0) == [1]
    with world.ledger.transaction() as tx:
        jobs.retry(tx, claim, now=701.0, not_before=701.0, error="still broken", attempts_allowed=1)
    assert world.study().state is StudyState.CONCLUDED
