"""move(): compare-and-set and one event row, or nothing at all."""

import pytest
from sqlalchemy import select

from dicom_node.domain import JobState, StudyState
from dicom_node.ledger.move import move
from dicom_node.ledger.schema import event, job, study
from tests.contract.world import World, arrival


def _events(world: World) -> list[tuple[str, int, str, str, str, float]]:
    with world.ledger.reading() as tx:
        rows = tx.execute(select(event).order_by(event.c.id)).mappings().all()
    return [(row["noun"], row["key"], row["from_state"], row["to_state"], row["reason"], row["at"]) for row in rows]


def test_a_move_leaves_one_event_with_its_reason(world: World) -> None:
    world.receive(arrival(1))
    with world.ledger.transaction() as tx:
        assert move(tx, StudyState, 1, StudyState.COMPLETE, expect=StudyState.OPEN, now=5.5, study_id=1, reason="quiet")
    assert _events(world) == [("study", 1, "open", "complete", "quiet", 5.5)]
    assert world.study().state is StudyState.COMPLETE


def test_a_lost_race_writes_nothing(world: World) -> None:
    world.receive(arrival(1))
    with world.ledger.transaction() as tx:
        assert not move(
            tx,
            StudyState,
            1,
            StudyState.CONCLUDED,
            expect=StudyState.COMPLETE,
            now=5.0,
            study_id=1,
            concluded_at=5.0,
        )
        assert not move(
            tx,
            StudyState,
            1,
            StudyState.COMPLETE,
            expect=StudyState.OPEN,
            now=5.0,
            study_id=1,
            where=(study.c.revision == 2,),
        )
    assert _events(world) == []
    assert world.study().state is StudyState.OPEN
    assert world.study().concluded_at is None


def test_a_move_that_is_not_in_the_table_is_a_programming_error(world: World) -> None:
    world.receive(arrival(1))
    with world.ledger.transaction() as tx, pytest.raises(ValueError, match="no move from queued to done"):
        move(tx, JobState, 1, JobState.DONE, expect=JobState.QUEUED, now=1.0, study_id=1)


def test_an_error_after_a_move_takes_the_move_and_its_event_back(world: World) -> None:
    world.receive(arrival(1))

    def interrupted() -> None:
        with world.ledger.transaction() as tx:
            assert move(tx, JobState, 1, JobState.RUNNING, expect=JobState.QUEUED, now=1.0, study_id=1)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    assert _events(world) == []
    with world.ledger.reading() as tx:
        assert tx.execute(select(job.c.state)).scalar() == "queued"
