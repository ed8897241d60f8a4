"""The outbox: a queue a destination; what people do to it; what is told of it."""

import pytest
from sqlalchemy import select

from dicom_node.domain import DeliveryState
from dicom_node.errors import LostRace
from dicom_node.ledger import deliveries, holding, overview, results
from dicom_node.ledger.deliveries import ClaimedDelivery, NewDelivery
from dicom_node.ledger.schema import delivery
from tests.contract.world import LEASE, World, arrival, stored


def _states(world: World) -> list[str]:
    with world.ledger.reading() as tx:
        return list(tx.execute(select(delivery.c.state).order_by(delivery.c.id)).scalars())


@pytest.fixture
def concluded(world: World) -> World:
    """A study with two results, each pending for `pacs`."""
    world.receive(arrival(1), arrival(2), now=0.0)
    for number, claim in enumerate(world.claim(), start=1):
        world.done(claim, encoded=[stored(f"2.25.{number}")])
    world.through(now=20.0)
    return world


@pytest.fixture
def held(world: World) -> World:
    """A study with two results, each held for `pacs`."""
    world.receive(arrival(1), arrival(2), now=0.0)
    world.analyse()
    world.through(now=20.0, held=True)
    return world


def test_each_destination_has_a_queue_of_its_own(concluded: World) -> None:
    with concluded.ledger.transaction() as tx:
        wanted = [NewDelivery(result_id=1, destination="viewer", held=False)]
        deliveries.queue_deliveries(tx, wanted, study_id=1, now=21.0)
        deliveries.queue_deliveries(tx, wanted, study_id=1, now=22.0)
    assert [one.result.sop_instance_uid for one in concluded.sending(now=23.0)] == ["2.25.1", "2.25.2"]
    assert [one.delivery_id for one in concluded.sending(now=23.0, destination="viewer")] == [3]
    assert concluded.sending(now=23.0, destination="elsewhere") == []


def test_a_stored_result_is_done_with(concluded: World) -> None:
    (one, other) = concluded.sending(now=21.0)
    with concluded.ledger.transaction() as tx:
        deliveries.stored(tx, one, 22.0)
        deliveries.refused(tx, other, 22.0, "0x0122 SOP class not supported")
    assert _states(concluded) == ["stored", "failed"]
    assert concluded.sending(now=1000.0) == []
    with concluded.ledger.transaction() as tx:
        assert holding.requeue(tx, now=30.0, destination="elsewhere") == 0
        assert holding.requeue(tx, now=30.0, destination="pacs") == 1
    (again,) = concluded.sending(now=30.0)
    assert (again.delivery_id, again.attempts) == (other.delivery_id, 1)


def test_a_retry_waits_and_is_told(concluded: World) -> None:
    for claim in concluded.sending(now=21.0):
        with concluded.ledger.transaction() as tx:
            deliveries.retry(tx, claim, now=22.0, not_before=22.0 + claim.delivery_id, error="no answer")
    with concluded.ledger.reading() as tx:
        assert deliveries.next_due(tx, "pacs") == 23.0
        assert deliveries.next_due(tx, "viewer") is None
        (view,) = overview.destinations(tx)
    assert (view.destination, view.pending, view.oldest, view.last_success) == ("pacs", 2, 20.0, None)
    assert view.last_error == "no answer"
    assert concluded.sending(now=22.9) == []
    (again,) = concluded.sending(now=23.0)
    assert again.attempts == 2


@pytest.mark.parametrize("end", ["stored", "refused", "retry"])
def test_a_sender_that_wakes_up_late_loses(concluded: World, end: str) -> None:
    late = concluded.sending(now=21.0, limit=1)[0]
    with concluded.ledger.transaction() as tx:
        assert deliveries.next_expiry(tx) == 21.0 + LEASE
        assert deliveries.extend(tx, late, now=30.0, lease=LEASE)
        assert deliveries.reclaim_expired(tx, now=21.0 + LEASE + 1) == 0
        assert deliveries.reclaim_expired(tx, now=30.0 + LEASE + 1) == 1
        assert not deliveries.extend(tx, late, now=92.0, lease=LEASE)
    quick = concluded.sending(now=92.0)
    assert late.delivery_id in [one.delivery_id for one in quick]

    def wake_up(claim: ClaimedDelivery) -> None:
        with concluded.ledger.transaction() as tx:
            if end == "stored":
                deliveries.stored(tx, claim, 93.0)
            elif end == "refused":
                deliveries.refused(tx, claim, 93.0, "no")
            else:
                deliveries.retry(tx, claim, now=93.0, not_before=94.0, error="no")

    with pytest.raises(LostRace):
        wake_up(late)
    assert _states(concluded) == ["sending", "sending"]


def test_held_results_wait_for_release(held: World) -> None:
    assert held.sending(now=1000.0) == []
    with held.ledger.transaction() as tx:
        (view,) = overview.destinations(tx, ["pacs"])
        assert (view.held, view.pending) == (2, 0)
        assert holding.release(tx, now=30.0, destination="viewer") == 0
        assert holding.release(tx, now=30.0, study=1, ids=[1]) == 1
        assert holding.release(tx, now=31.0, study=1) == 1
        assert holding.release(tx, now=31.0, study=1) == 0
    assert len(held.sending(now=31.0)) == 2


def test_abandoned_is_the_end(held: World) -> None:
    with held.ledger.transaction() as tx:
        assert holding.release(tx, now=30.0, ids=[1]) == 1
        assert holding.abandon(tx, now=31.0, reason="the archive was switched off", destination="pacs") == 2
        assert holding.abandon(tx, now=31.0, reason="again", destination="pacs") == 0
        assert holding.release(tx, now=32.0) == 0
        assert holding.requeue(tx, now=32.0) == 0
    assert _states(held) == ["abandoned", "abandoned"]


def test_what_is_being_sent_cannot_be_abandoned(concluded: World) -> None:
    concluded.sending(now=21.0, limit=1)
    with concluded.ledger.transaction() as tx:
        assert holding.abandon(tx, now=22.0, reason="dead", destination="pacs") == 1
    assert _states(concluded) == ["sending", "abandoned"]


def test_a_purged_result_leaves_a_tombstone(concluded: World) -> None:
    with concluded.ledger.transaction() as tx:
        assert results.purge(tx, 1, now=21.0) is None, "it is still to be sent"
    for claim in concluded.sending(now=22.0):
        with concluded.ledger.transaction() as tx:
            deliveries.stored(tx, claim, 23.0)
    with concluded.ledger.transaction() as tx:
        assert results.purge(tx, 1, now=24.0) == "f" * 32
        assert results.purge(tx, 1, now=24.0) is None
        assert [row.result_id for row in results.of_study(tx, 1)] == [2]
        assert results.is_ours(tx, "2.25.1")
        (view,) = overview.studies(tx, study_uid="1.2.826.0.9.1")
    assert len(view.deliveries) == 2


def test_status_finds_a_study_by_its_accession_number(concluded: World) -> None:
    concluded.receive(arrival(3, study=2, accession="A-2"), now=30.0)
    with concluded.ledger.reading() as tx:
        assert [view.study.study_id for view in overview.studies(tx)] == [2, 1]
        assert [view.study.study_id for view in overview.studies(tx, limit=1)] == [2]
        (view,) = overview.studies(tx, accession="A-1")
        assert overview.studies(tx, accession="A-3") == []
        queues = overview.queues(tx)
    assert (queues.open_studies, queues.queued_jobs, queues.running_jobs) == (1, 1, 0)
    assert [(one.destination, one.state) for one in view.deliveries] == [("pacs", DeliveryState.PENDING)] * 2
    assert [job.findings for shown in view.instances for job in shown.jobs] == [1, 1]


def test_a_destination_of_the_configuration_is_told_even_when_nothing_waits(world: World) -> None:
    with world.ledger.reading() as tx:
        (view,) = overview.destinations(tx, ["pacs"])
    assert (view.pending, view.held, view.failed, view.oldest, view.last_error) == (0, 0, 0, None, "")
