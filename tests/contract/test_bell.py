"""Who waits is woken by the commit that made work, and by nothing else; a lost ring costs little."""

import threading
import time
from collections.abc import Callable

import pytest

from dicom_node.ledger import Channel, Ledger, deliveries, holding
from dicom_node.ledger.bell import LONGEST_WAIT
from tests.contract.world import World, arrival
from tests.waiting import wait_for


def test_each_commit_rings_for_what_it_made(world: World) -> None:
    bell = world.ledger.bell
    with (
        bell.listen(Channel.JOBS) as for_jobs,
        bell.listen(Channel.STUDIES) as for_studies,
        bell.listen(Channel.DELIVERIES) as for_deliveries,
        bell.listen(*Channel) as for_all,
    ):

        def rung() -> list[bool]:
            # the one that listens to everything is asked first, with patience: then the others were rung too
            return [for_all.wait(2.0), for_jobs.wait(0.3), for_studies.wait(0.3), for_deliveries.wait(0.3)]

        world.receive(arrival(1), now=0.0)
        assert rung() == [True, True, True, False]
        (claim,) = world.claim()
        world.done(claim)
        assert rung() == [True, False, True, False]
        world.through(now=20.0, held=True)
        assert rung() == [True, False, True, True]
        with world.ledger.transaction() as tx:
            holding.release(tx, now=21.0)
        assert rung() == [True, False, False, True]


def test_what_was_rolled_back_rings_nobody(world: World) -> None:
    def interrupted() -> None:
        with world.ledger.transaction() as tx:
            deliveries.queue_deliveries(tx, [], study_id=1, now=0.0)
            raise InterruptedError

    with world.ledger.bell.listen(Channel.DELIVERIES) as listener:
        with pytest.raises(InterruptedError):
            interrupted()
        assert not listener.wait(0.2)
        world.receive(arrival(1))
        assert not listener.wait(0.2), "nor does the next transaction ring for it"


def test_a_ring_before_the_wait_is_not_lost_and_many_are_one(ledger: Ledger) -> None:
    with ledger.bell.listen(Channel.JOBS) as listener:
        for _ in range(5):
            ledger.bell.ring(Channel.JOBS)
        assert listener.wait(2.0)
        # PostgreSQL may hand on the last of them a moment after the first
        wait_for("the bell to be silent", lambda: not listener.wait(0.2))


def test_a_wait_is_never_longer_than_a_lost_ring_may_cost(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LONGEST_WAIT == 30.0
    monkeypatch.setattr("dicom_node.ledger.bell.LONGEST_WAIT", 0.2)
    with ledger.bell.listen(Channel.JOBS) as listener:
        started = time.monotonic()
        assert not listener.wait(60.0)
        assert 0.15 < time.monotonic() - started < 5


def test_who_is_started_rings_for_who_was_killed(ledger: Ledger) -> None:
    with ledger.bell.listen(Channel.COMMITMENTS) as first, ledger.bell.listen(Channel.JOBS, Channel.STUDIES) as second:
        ledger.bell.ring_all()
        assert first.wait(2.0)
        assert second.wait(2.0)


def test_a_waiter_is_woken_from_another_thread(ledger: Ledger) -> None:
    with ledger.bell.listen(Channel.JOBS) as listener:
        _while_waiting(listener.wait, listener.wake)


def test_a_commit_wakes_a_waiter_at_once(world: World) -> None:
    with world.ledger.bell.listen(Channel.JOBS) as listener:
        assert _while_waiting(listener.wait, lambda: world.receive(arrival(1)))


def _while_waiting(wait: Callable[[float], bool], then: Callable[[], object]) -> bool:
    """What a wait of 5 s in another thread says once `then` has happened; well before its deadline."""
    said: list[bool] = []
    started = time.monotonic()
    thread = threading.Thread(target=lambda: said.append(wait(5.0)))
    thread.start()
    then()
    thread.join(10.0)
    assert time.monotonic() - started < 4.5
    return said[0]
