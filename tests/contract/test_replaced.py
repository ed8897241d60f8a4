"""A version that a newer one replaced: nothing brings it back by itself."""

import pytest

from dicom_node.domain import JobState, Reason, StudyState
from dicom_node.ledger import instances, jobs
from dicom_node.ledger.versions import Verdict
from tests.contract.world import World, arrival, stored


def _current(world: World) -> int:
    with world.ledger.reading() as tx:
        row = instances.current(tx, "1.2.826.0.1.1")
    assert row is not None
    return row.instance_id


def test_a_failed_job_of_a_replaced_version_is_not_worth_a_retry(world: World) -> None:
    world.receive(arrival(1))
    (first,) = world.claim()
    with world.ledger.transaction() as tx:
        jobs.retry(tx, first, now=2.0, not_before=2.0, error="no", attempts_allowed=1)
        assert jobs.failed(tx) == [first.job_id]
    second = world.new_version(patient_id="P-2")
    assert world.judge(second)[1] is Verdict.ANALYSE
    world.done(second)
    with world.ledger.transaction() as tx:
        assert jobs.failed(tx) == []
        assert not jobs.requeue(tx, first.job_id, 9.0)


@pytest.mark.parametrize("how", ["done", "declined", "unreadable"])
def test_a_version_that_was_replaced_while_it_was_read_stays_replaced(world: World, how: str) -> None:
    world.receive(arrival(1), now=0.0)
    (first,) = world.claim(now=0.0)
    with world.ledger.transaction() as tx:
        jobs.retry(tx, first, now=1.0, not_before=1.0, error="no", attempts_allowed=1)
    second = world.new_version(patient_id="P-2")
    with world.ledger.transaction() as tx:
        jobs.requeue(tx, first.job_id, 4.0)
    (first,) = world.claim(now=4.0)
    assert first.instance.is_current
    world.done(second, now=5.0, encoded=[stored("2.25.2")])
    world.through(now=20.0)
    if how == "done":
        world.done(first, now=21.0, encoded=[stored("2.25.1")])
    else:
        world.unread(first, JobState(how), Reason.TRUNCATED, now=21.0)
    assert _current(world) == second.instance.instance_id
    assert world.current_results() == ["2.25.2"]
    assert world.study().state is StudyState.COMPLETE, "it waited for the job, which brought no news"
    assert world.conclude(now=22.0) == [1]
    assert [held.result.sop_instance_uid for held in world.sending(now=23.0)] == ["2.25.2"]


def test_a_claim_on_a_replaced_version_is_for_the_record_only(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    (first,) = world.claim(now=0.0)
    with world.ledger.transaction() as tx:
        jobs.retry(tx, first, now=1.0, not_before=1.0, error="no", attempts_allowed=1)
    second = world.new_version(patient_id="P-2")
    with world.ledger.transaction() as tx:
        jobs.requeue(tx, first.job_id, 4.0)
    world.done(second, now=5.0, encoded=[stored("2.25.2")])
    (first,) = world.claim(now=6.0)
    assert not first.instance.is_current
    assert world.judge(first)[1] is Verdict.ANALYSE
    world.done(first, now=7.0, encoded=[stored("2.25.1")])
    assert _current(world) == second.instance.instance_id
    assert world.current_results() == ["2.25.2"]
