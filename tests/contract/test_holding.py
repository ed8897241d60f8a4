"""What the node itself holds back: too late, or elsewhere by now; and that a person's word goes before the first."""

import pytest
from sqlalchemy import select

from dicom_node.errors import LostRace
from dicom_node.ledger import deliveries, holding
from dicom_node.ledger.schema import delivery
from tests.contract.world import World, arrival, stored


@pytest.fixture
def concluded(world: World) -> World:
    """A study with two results, each pending for `pacs` since 20.0."""
    world.receive(arrival(1), arrival(2), now=0.0)
    for number, claim in enumerate(world.claim(), start=1):
        world.done(claim, encoded=[stored(f"2.25.{number}")])
    world.through(now=20.0)
    return world


def states(world: World) -> list[tuple[str, str]]:
    with world.ledger.reading() as tx:
        rows = tx.execute(select(delivery.c.state, delivery.c.last_error).order_by(delivery.c.id)).all()
    return [(state, error) for state, error in rows]


def hold_overdue(world: World, before: float, destination: str = "pacs") -> int:
    with world.ledger.transaction() as tx:
        return holding.hold_overdue(tx, destination=destination, decided_before=before, now=50.0, reason="too late")


def test_what_was_decided_on_too_long_ago_is_held_with_its_reason(concluded: World) -> None:
    assert hold_overdue(concluded, 20.0) == 0
    assert hold_overdue(concluded, 20.1, "elsewhere") == 0
    assert hold_overdue(concluded, 20.1) == 2
    assert states(concluded) == [("held", "too late")] * 2
    assert concluded.sending(now=60.0) == []


def test_what_a_person_released_is_never_too_late(concluded: World) -> None:
    hold_overdue(concluded, 20.1)
    with concluded.ledger.transaction() as tx:
        assert holding.release(tx, now=51.0, destination="pacs") == 2
    assert hold_overdue(concluded, 40.0) == 0
    assert len(concluded.sending(now=60.0)) == 2


def test_what_is_being_sent_is_not_too_late_and_may_be_held_by_who_sends_it(concluded: World) -> None:
    one, other = concluded.sending(now=21.0)
    assert hold_overdue(concluded, 40.0) == 0
    with concluded.ledger.transaction() as tx:
        deliveries.hold_back(tx, one, now=22.0, reason="its image is elsewhere")
        deliveries.stored(tx, other, 22.0)
    assert states(concluded) == [("held", "its image is elsewhere"), ("stored", "")]
    with concluded.ledger.transaction() as tx, pytest.raises(LostRace):
        deliveries.hold_back(tx, one, now=23.0, reason="again")
