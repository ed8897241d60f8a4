"""Workers of one destination share its queue: a study is one worker's at a time."""

from dicom_node.domain import Kind
from dicom_node.ledger import deliveries
from dicom_node.ledger.deliveries import ClaimedDelivery
from tests.contract.world import LEASE, World, arrival, stored

STUDIES, RESULTS = 3, 2


def _shared(world: World, *, now: float, limit: int, destination: str = "pacs") -> list[ClaimedDelivery]:
    with world.ledger.transaction() as tx:
        return deliveries.claim(
            tx, destination=destination, now=now, owner="worker", lease=LEASE, limit=limit, whole_studies=True
        )


def _three_studies(world: World) -> None:
    world.receive(*(arrival(study, study=study) for study in range(1, STUDIES + 1)), now=0.0)
    for study, claim in enumerate(world.claim(), start=1):
        world.done(claim, encoded=[stored(f"2.25.{study}"), stored(f"2.25.{study}9", kind=Kind.SC)])
    world.through(now=20.0)


def test_a_study_is_one_workers_at_a_time(world: World) -> None:
    _three_studies(world)
    first = _shared(world, now=21.0, limit=3)
    assert [one.study_id for one in first] == [1, 1, 2]
    second = _shared(world, now=21.0, limit=3)
    # what is left of the second study waits until its first result has an outcome
    assert [one.study_id for one in second] == [3, 3]
    assert _shared(world, now=21.0, limit=3) == []
    with world.ledger.transaction() as tx:
        deliveries.stored(tx, first[2], 22.0)
    assert [one.study_id for one in _shared(world, now=22.0, limit=3)] == [2]


def test_another_destination_s_worker_has_no_say_in_it(world: World) -> None:
    _three_studies(world)
    with world.ledger.transaction() as tx:
        wanted = [deliveries.NewDelivery(result_id=1, destination="viewer", held=False)]
        deliveries.queue_deliveries(tx, wanted, study_id=1, now=20.0)
    assert len(_shared(world, now=21.0, limit=1, destination="viewer")) == 1
    assert len(_shared(world, now=21.0, limit=100)) == STUDIES * RESULTS


def test_what_is_due_is_counted_as_far_as_is_asked(world: World) -> None:
    _three_studies(world)
    with world.ledger.reading() as tx:
        counts = [deliveries.count_due(tx, destination="pacs", now=21.0, most=most) for most in (4, 100)]
        early = deliveries.count_due(tx, destination="pacs", now=1.0, most=100)
        elsewhere = deliveries.count_due(tx, destination="elsewhere", now=21.0, most=100)
    assert (counts, early, elsewhere) == ([4, STUDIES * RESULTS], 0, 0)
