"""What retention may delete, and how it does: the longest over first, whole, once."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from dicom_node.domain import DeliveryState, InstanceState, ResultState
from dicom_node.ledger import deliveries, holding, identity, instances, keys, purge
from dicom_node.ledger.deliveries import ClaimedDelivery
from dicom_node.ledger.schema import event, instance, result
from tests.contract.world import World, arrival

End = Callable[[World, ClaimedDelivery, float], None]


def _stored(world: World, claim: ClaimedDelivery, now: float) -> None:
    with world.ledger.transaction() as tx:
        deliveries.stored(tx, claim, now)


def _refused(world: World, claim: ClaimedDelivery, now: float) -> None:
    with world.ledger.transaction() as tx:
        deliveries.refused(tx, claim, now, "never")


def _postponed(world: World, claim: ClaimedDelivery, now: float) -> None:
    with world.ledger.transaction() as tx:
        deliveries.postpone(tx, claim, now=now, reason="not its turn")


def _still_sending(world: World, claim: ClaimedDelivery, now: float) -> None:
    pass


def _abandoned(world: World, claim: ClaimedDelivery, now: float) -> None:
    _refused(world, claim, now)
    with world.ledger.transaction() as tx:
        holding.abandon(tx, now=now, reason="dead", ids=[claim.delivery_id])


def _concluded(world: World, image: int, end: End, *, now: float) -> None:
    """A study of its own for each image, its delivery ended at `now`."""
    world.receive(arrival(image, study=image), now=now - 20)
    world.analyse(now=now - 15)
    world.through(now=now - 5)
    for claim in world.sending(now=now):
        end(world, claim, now)


def _due(world: World, *, ended_before: float, limit: int = 100) -> list[int]:
    with world.ledger.reading() as tx:
        return purge.due(tx, ended_before=ended_before, limit=limit)


@pytest.mark.parametrize("end", [_stored, _abandoned])
def test_what_has_ended_is_due_once_it_is_old(world: World, end: End) -> None:
    _concluded(world, 1, end, now=100.0)
    assert _due(world, ended_before=99.9) == []
    assert _due(world, ended_before=100.0) == [1]


@pytest.mark.parametrize("end", [_refused, _postponed, _still_sending])
def test_what_has_not_ended_is_never_due(world: World, end: End) -> None:
    _concluded(world, 1, end, now=100.0)
    assert _due(world, ended_before=1e12) == []
    with world.ledger.transaction() as tx:
        assert purge.purge(tx, 1, ended_before=1e12, now=1e12) is None
        assert len(keys.spool_keys(tx)) == 2


def test_the_longest_over_comes_first(world: World) -> None:
    for image, now in ((1, 300.0), (2, 100.0), (3, 200.0)):
        _concluded(world, image, _stored, now=now)
    assert _due(world, ended_before=400.0) == [2, 3, 1]
    assert _due(world, ended_before=400.0, limit=1) == [2]


def test_a_study_goes_whole_and_leaves_tombstones(world: World) -> None:
    _concluded(world, 1, _stored, now=100.0)
    with world.ledger.transaction() as tx:
        assert sorted(purge.purge(tx, 1, ended_before=100.0, now=200.0) or ()) == sorted([f"{1:032x}", "f" * 32])
        assert purge.purge(tx, 1, ended_before=100.0, now=200.0) is None
    with world.ledger.reading() as tx:
        assert keys.spool_keys(tx) == set()
        assert list(tx.execute(select(instance.c.state)).scalars()) == [InstanceState.PURGED.value]
        assert list(tx.execute(select(result.c.state)).scalars()) == [ResultState.PURGED.value]
    row = world.study()
    assert (row.patient_id, row.accession_number) == ("", "")
    assert _due(world, ended_before=1e12) == []


def test_news_after_it_was_found_due_saves_it(world: World) -> None:
    _concluded(world, 1, _stored, now=100.0)
    assert _due(world, ended_before=200.0) == [1]
    world.receive(arrival(2, study=1), now=150.0)
    with world.ledger.transaction() as tx:
        assert purge.purge(tx, 1, ended_before=200.0, now=200.0) is None
        assert instances.get(tx, 1).state is InstanceState.RECEIVED


def test_a_study_that_came_back_is_due_again(world: World) -> None:
    _concluded(world, 1, _stored, now=100.0)
    with world.ledger.transaction() as tx:
        assert purge.purge(tx, 1, ended_before=100.0, now=200.0)
    world.receive(arrival(2, study=1), now=300.0)
    world.analyse(now=301.0)
    world.through(now=311.0)
    (claim,) = world.sending(now=312.0)
    _stored(world, claim, 312.0)
    assert _due(world, ended_before=311.9) == []
    assert _due(world, ended_before=312.0) == [1]
    with world.ledger.transaction() as tx:
        assert len(purge.purge(tx, 1, ended_before=312.0, now=400.0) or ()) == 2


def test_a_forgotten_study_is_not_looked_at_again(world: World) -> None:
    _concluded(world, 1, _stored, now=100.0)
    with world.ledger.transaction() as tx:
        identity.forget(tx, 1)
    assert _due(world, ended_before=1e12) == []


def test_a_postponed_delivery_counts_no_attempt(world: World) -> None:
    _concluded(world, 1, _postponed, now=100.0)
    (claim,) = world.sending(now=100.0)
    assert claim.attempts == 1
    assert claim.token == 2
    _stored(world, claim, 101.0)
    with world.ledger.reading() as tx:
        assert deliveries.next_due(tx, "pacs") is None


def test_what_a_destination_remarked_stands_in_the_event(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    world.through(now=20.0)
    (claim,) = world.sending(now=21.0)
    with world.ledger.transaction() as tx:
        deliveries.stored(tx, claim, 22.0, reason="coerced")
    with world.ledger.reading() as tx:
        reasons = tx.execute(
            select(event.c.reason).where(event.c.to_state == DeliveryState.STORED.value, event.c.noun == "delivery")
        )
        assert list(reasons.scalars()) == ["coerced"]
