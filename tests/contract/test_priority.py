"""Which job is next: by urgency and age, each study as urgent as the most urgent of its images."""

from dataclasses import replace

from sqlalchemy import select

from dicom_node.domain import JobState
from dicom_node.ledger import Ledger, instances, jobs, models, reanalysis
from dicom_node.ledger.rank import LEVEL
from dicom_node.ledger.schema import job
from tests.contract.world import ATTEMPTS, LEASE, MODEL, PARAMETERS, World, arrival

LATER = 10 * LEVEL


def _order(world: World, *, now: float = LATER, limit: int = 100) -> list[int]:
    """The numbers of the images that are claimed, in their order."""
    claims = world.claim(now=now, limit=limit)
    return [int(claim.instance.sop_instance_uid.rpartition(".")[2]) for claim in claims]


def test_the_urgent_come_first_and_then_the_oldest(world: World) -> None:
    world.receive(*(arrival(n, study=n, priority=priority) for n, priority in ((1, 0), (2, 5), (3, 0), (4, 5))))
    assert _order(world, limit=3) == [2, 4, 1]
    assert _order(world) == [3]


def test_a_step_of_priority_is_worth_a_time_and_no_more(world: World) -> None:
    world.receive(arrival(1, study=1), now=0.0)
    world.receive(arrival(2, study=2, priority=1), now=LEVEL - 1)
    world.receive(arrival(3, study=3, priority=1), now=LEVEL + 1)
    world.receive(arrival(4, study=4, priority=2), now=LEVEL + 1)
    world.receive(arrival(5, study=5, priority=-1), now=0.0)
    assert _order(world) == [4, 2, 1, 3, 5]


def test_what_a_step_is_worth_is_the_sites_to_say(world: World) -> None:
    with world.ledger.transaction() as tx:
        for number, priority, level, now in ((1, 0, 100.0, 0.0), (2, 3, 100.0, 301.0), (3, 3, 101.0, 302.0)):
            one = arrival(number, study=number, priority=priority)
            instances.record(tx, one, parameters=PARAMETERS, now=now, level=level)
    assert _order(world) == [3, 1, 2]


def test_an_urgent_image_takes_the_rest_of_its_study_along(world: World) -> None:
    world.receive(arrival(1, study=1), arrival(2, study=2), arrival(3, study=1, priority=-2))
    world.receive(arrival(4, study=1, priority=1), now=1.0)
    world.receive(arrival(5, study=1), arrival(6, study=2), now=2.0)
    assert _order(world) == [1, 3, 4, 5, 2, 6]
    assert (world.study(1).priority, world.study(2).priority) == (1, 0)
    with world.ledger.reading() as tx:
        assert set(tx.execute(select(job.c.priority).where(job.c.study_id == 1)).scalars()) == {1}


def test_what_is_under_way_or_has_ended_is_left_alone(world: World) -> None:
    world.receive(arrival(1), arrival(2))
    first, second = world.claim()
    world.done(first)
    world.receive(arrival(3, priority=2), now=3.0)
    with world.ledger.transaction() as tx:
        of_old = tx.execute(select(job.c.priority).where(job.c.state != JobState.QUEUED.value)).scalars().all()
        assert of_old == [0, 0]
        assert jobs.extend(tx, second, now=4.0, lease=LEASE)


def test_a_concluded_study_starts_anew(world: World) -> None:
    world.receive(arrival(1, priority=2))
    world.analyse()
    assert world.through(now=20.0) == [1]
    world.receive(arrival(2), now=30.0)
    world.receive(arrival(3, study=2, priority=1), now=31.0)
    assert world.study().priority == 0
    assert _order(world) == [3, 2]


def test_another_attempt_has_the_same_turn(world: World) -> None:
    world.receive(arrival(1, study=1), arrival(2, study=2))
    (claim,) = world.claim(now=1.0, limit=1)
    with world.ledger.transaction() as tx:
        jobs.retry(tx, claim, now=2.0, not_before=9.0, error="no", attempts_allowed=ATTEMPTS)
    world.receive(arrival(3, study=3), now=3.0)
    assert _order(world, now=8.0, limit=1) == [2], "it is not due yet, and keeps nobody up"
    assert _order(world, now=9.0) == [1, 3]


def test_each_model_has_its_own_queue(world: World) -> None:
    world.activate("ee" * 32, name="bone age")
    world.receive(arrival(1, study=1), arrival(2, study=2, priority=1))
    for digest in (MODEL, "ee" * 32):
        with world.ledger.transaction() as tx:
            claims = jobs.claim(tx, owner="w", now=1.0, lease=LEASE, limit=9, model_digest=digest)
        assert [claim.study_id for claim in claims] == [2, 1]
        assert {claim.model for claim in claims} == {digest}


def test_what_came_before_any_model_has_the_turn_of_its_arrival(ledger: Ledger) -> None:
    world = World(ledger, model=False)
    early, note = replace(arrival(1, study=1), received_at=5.0), arrival(9, study=9)
    note = replace(note, head=replace(note.head, sop_class_uid="1.2.840.10008.5.1.4.1.1.88.59"), received_at=7.0)
    world.receive(early, now=5.0)
    world.receive(note, now=7.0)
    world.activate(MODEL)
    world.receive(arrival(2, study=2), now=6.0)
    with ledger.transaction() as tx:
        assert models.insert_missing(tx, model=MODEL, parameters=PARAMETERS, now=50.0) == 2
    assert _order(world) == [9, 1, 2]


def test_what_is_analysed_anew_does_not_wait_for_ever(world: World) -> None:
    world.receive(arrival(1, study=1))
    world.analyse()
    world.activate("dd" * 32)
    with world.ledger.transaction() as tx:
        wanted = reanalysis.candidates(tx, 1, parameters=PARAMETERS, by_source={})
        assert reanalysis.queue(tx, wanted, now=10.0) == 1
    world.receive(arrival(2, study=2, priority=-1), now=10.0 + 5 * LEVEL - 1)
    world.receive(arrival(3, study=3), now=10.0 + 6 * LEVEL + 1)
    assert _order(world) == [2, 1, 3]


def test_a_job_that_another_model_inherits_keeps_its_turn(world: World) -> None:
    world.receive(arrival(1, study=1), arrival(2, study=2, priority=1))
    world.activate("dd" * 32)
    assert _order(world) == [2, 1]
    with world.ledger.reading() as tx:
        assert models.active(tx) == ["dd" * 32]
