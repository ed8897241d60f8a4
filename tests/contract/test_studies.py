"""Open, quiet, complete, concluded, open again."""

import json

from sqlalchemy import select

from dicom_node.domain import DeliveryState, JobState, Reason, StudyState
from dicom_node.ledger import deliveries, jobs, results, studies
from dicom_node.ledger.deliveries import NewDelivery
from dicom_node.ledger.schema import delivery, event, report, report_job
from tests.contract.world import PATIENCE, QUIET, World, arrival, stored


def test_an_arrival_after_the_look_keeps_a_study_open(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    with world.ledger.reading() as tx:
        (seen,) = studies.quiet(tx, now=20.0, quiet_period=QUIET)
    world.receive(arrival(2), now=20.1)
    with world.ledger.transaction() as tx:
        assert not studies.complete(tx, seen, now=20.2)
    assert world.study().state is StudyState.OPEN


def test_a_clock_that_steps_back_makes_no_study_quiet_early(world: World) -> None:
    world.receive(arrival(1), now=100.0)
    world.receive(arrival(2), now=50.0)
    assert world.study().last_arrival == 100.0


def test_the_ledger_says_when_to_look_again(world: World) -> None:
    def due() -> float | None:
        with world.ledger.reading() as tx:
            return studies.next_due(tx, quiet_period=QUIET, conclude_after=PATIENCE)

    assert due() is None
    world.receive(arrival(1), now=100.0)
    assert due() == 100.0 + QUIET
    world.quieten(now=115.0)
    assert due() == 115.0 + PATIENCE
    world.receive(arrival(2, study=2), now=120.0)
    assert due() == 120.0 + QUIET
    world.analyse(now=121.0)
    world.through(now=131.0)
    assert due() is None


def test_a_conclusion_names_its_jobs_and_what_it_lacks(world: World) -> None:
    world.receive(arrival(1), arrival(2), arrival(3), now=0.0)
    first, second, _ = world.claim(now=0.0)
    world.done(first)
    world.unread(second, JobState.DECLINED, Reason.NOT_A_CHEST)
    world.quieten(now=20.0)
    assert world.conclude(now=20.0 + PATIENCE) == [1]
    with world.ledger.reading() as tx:
        row = tx.execute(select(report)).mappings().one()
        assert (row["study_id"], row["revision"]) == (1, 1)
        assert json.loads(row["missing"]) == ["1.2.826.0.1.3"]
        assert tx.execute(select(report_job.c.job_id).order_by(report_job.c.job_id)).scalars().all() == [1, 2]
        assert tx.execute(select(event.c.reason).where(event.c.to_state == "concluded")).scalar() == "partial"


def test_report_and_deliveries_are_committed_together_under_the_revision(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    world.quieten(now=20.0)
    with world.ledger.reading() as tx:
        (row,) = studies.ready(tx, now=20.0, conclude_after=PATIENCE)
        (made,) = results.of_study(tx, 1)
    wanted = [NewDelivery(result_id=made.result_id, destination=name, held=False) for name in ("a", "b")]
    with world.ledger.transaction() as tx:
        assert not studies.conclude(tx, row, revision=2, now=21.0, deliveries=wanted, missing=[])
        assert not studies.conclude(tx, row, revision=1, now=21.0, deliveries=wanted, missing=["1.2.3"])
        assert tx.execute(select(report.c.id)).all() == []
        assert tx.execute(select(delivery.c.id)).all() == []
        assert studies.conclude(tx, row, revision=1, now=21.0, deliveries=wanted, missing=[])
        assert not studies.conclude(tx, row, revision=1, now=21.0, deliveries=wanted, missing=[])
        assert len(tx.execute(select(delivery.c.id)).all()) == 2


def test_a_conclusion_that_an_arrival_overtook_is_discarded(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    world.quieten(now=20.0)
    with world.ledger.reading() as tx:
        (row,) = studies.ready(tx, now=20.0, conclude_after=PATIENCE)
    world.receive(arrival(2), now=20.5)
    world.analyse(now=20.6)
    with world.ledger.transaction() as tx:
        assert not studies.conclude(tx, row, revision=1, now=21.0, deliveries=[], missing=[])


def test_a_conclusion_that_a_late_job_overtook_is_discarded(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    (claim,) = world.claim(now=0.0)
    world.quieten(now=20.0)
    with world.ledger.reading() as tx:
        missing = studies.unfinished(tx, 1)
    world.done(claim, now=700.0)
    with world.ledger.transaction() as tx:
        row = studies.get(tx, 1)
        assert not studies.conclude(tx, row, revision=1, now=701.0, deliveries=[], missing=missing)
    assert world.conclude(now=702.0) == [1]
    assert [held.result.job_id for held in world.sending(now=703.0)] == [claim.job_id]


def test_the_next_revision_sends_only_what_is_new(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    world.through(now=20.0)
    (first,) = world.sending(now=21.0)
    with world.ledger.transaction() as tx:
        deliveries.stored(tx, first, 22.0)
    world.receive(arrival(2), now=30.0)
    world.analyse(now=31.0)
    assert world.through(now=50.0) == [1]
    (second,) = world.sending(now=51.0)
    assert second.result.sop_instance_uid != first.result.sop_instance_uid
    with world.ledger.reading() as tx:
        states = tx.execute(select(delivery.c.state).order_by(delivery.c.id)).scalars().all()
    assert states == [DeliveryState.STORED, DeliveryState.SENDING]


def test_a_superseded_result_cannot_be_concluded_any_more(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    world.quieten(now=20.0)
    with world.ledger.transaction() as tx:
        (row,) = studies.ready(tx, now=20.0, conclude_after=PATIENCE)
        (made,) = results.of_study(tx, 1)
        results.retire(tx, "1.2.826.0.1.1", now=20.5)
        wanted = [NewDelivery(result_id=made.result_id, destination="pacs", held=False)]
        assert not studies.conclude(tx, row, revision=1, now=21.0, deliveries=wanted, missing=[])


def test_results_are_routed_by_whoever_sent_the_study(world: World) -> None:
    world.receive(arrival(1), arrival(2))
    with world.ledger.reading() as tx:
        assert studies.calling_ae_titles(tx, 1) == ["MODALITY"]
        assert studies.calling_ae_titles(tx, 99) == []


def test_a_failed_job_holds_no_study_up(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    (claim,) = world.claim(now=0.0)
    with world.ledger.transaction() as tx:
        jobs.retry(tx, claim, now=1.0, not_before=1.0, error="no", attempts_allowed=1)
    assert world.through(now=20.0) == [1]


def test_the_study_of_an_operator_retry_is_reopened_by_its_success(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    (claim,) = world.claim(now=0.0)
    with world.ledger.transaction() as tx:
        jobs.retry(tx, claim, now=1.0, not_before=1.0, error="no", attempts_allowed=1)
    world.through(now=20.0)
    with world.ledger.transaction() as tx:
        jobs.requeue(tx, claim.job_id, 30.0)
    (again,) = world.claim(now=30.0)
    world.done(again, now=31.0, encoded=[stored("2.25.9")])
    assert (world.study().state, world.study().revision) == (StudyState.OPEN, 2)
