"""What is counted for people: by urgency, and no further than they read."""

import pytest

from dicom_node.ledger import jobs, overview
from tests.contract.world import World, arrival


def test_what_is_urgent_is_counted_while_it_waits(world: World) -> None:
    world.receive(*(arrival(n, study=n, priority=priority) for n, priority in enumerate((0, 1, 2, -6), start=1)))
    with world.ledger.reading() as tx:
        queues = overview.queues(tx)
    assert (queues.queued_jobs, queues.urgent_jobs) == (4, 2)
    world.claim(limit=1)
    with world.ledger.reading() as tx:
        queues = overview.queues(tx)
        (view,) = overview.studies(tx, study_uid=arrival(2, study=2).head.study_instance_uid)
    assert (queues.queued_jobs, queues.urgent_jobs, queues.running_jobs) == (3, 1, 1)
    assert view.instances[0].jobs[0].job.priority == 1


def test_a_count_ends_where_nobody_reads_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MOST_COUNTED", 3)
    world.receive(*(arrival(n, study=n) for n in range(1, 7)))
    for claim in world.claim(limit=5):
        world.done(claim)
    world.through(now=20.0)
    with world.ledger.reading() as tx:
        queues = overview.queues(tx)
        (pacs,) = overview.destinations(tx)
    assert (queues.open_studies, queues.complete_studies, queues.queued_jobs) == (0, 1, 1)
    assert pacs.pending == 4, "five, told as more than three"


def test_each_destination_that_something_waits_for_is_told(world: World) -> None:
    for number, name in enumerate(("b", "a", "c"), start=1):
        world.receive(arrival(number, study=number), now=30.0 * number)
        world.analyse(now=30.0 * number)
        world.quieten(now=30.0 * number + 15)
        assert world.conclude(now=30.0 * number + 15, destination=name) == [number]
    with world.ledger.reading() as tx:
        views = overview.destinations(tx, ["never used"])
    assert [(view.destination, view.pending) for view in views] == [("a", 1), ("b", 1), ("c", 1), ("never used", 0)]
    assert [view.oldest for view in views] == [75.0, 45.0, 105.0, None]


def test_failed_jobs_are_listed_no_further_than_asked(world: World) -> None:
    world.receive(arrival(1), arrival(2))
    with world.ledger.transaction() as tx:
        for claim in jobs.claim(tx, owner="w", now=1.0, lease=60.0, limit=2):
            jobs.retry(tx, claim, now=2.0, not_before=2.0, error="no", attempts_allowed=1)
        assert len(jobs.failed(tx)) == 2
        assert len(jobs.failed(tx, limit=1)) == 1
