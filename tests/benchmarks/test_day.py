"""The simulated day in small: the real queue, a clock that is a number, and what ageing is for."""

from pathlib import Path

import pytest

from benchmarks.simulated import BATCH, BATCH_SECONDS, HOUR, Came, Lived, live, spread

#: seconds that a step of priority is worth here
STEP = 10 * BATCH_SECONDS


@pytest.fixture(scope="module")
def day() -> list[Came]:
    """A ward marks as HIGH what fills the node for an hour; routine and urgent ones come between, priors lie there."""
    pace = int(HOUR / BATCH_SECONDS * BATCH)
    return [
        *spread(0.0, 0.01, images=20, priority=-2),
        *spread(0.1, 1.1, images=pace, priority=1),
        *spread(0.1, 1.0, images=16, priority=0),
        *spread(0.15, 1.0, images=5, priority=2),
    ]


@pytest.fixture(scope="module", params=["strict", "aged"])
def lived(request: pytest.FixtureRequest, day: list[Came], tmp_path_factory: pytest.TempPathFactory) -> Lived:
    level = STEP if request.param == "aged" else 1e9
    return live(day, level=level, folder=tmp_path_factory.mktemp("day") / request.param)


def test_everything_is_claimed_once(lived: Lived, day: list[Came]) -> None:
    assert {priority: len(waits) for priority, waits in lived.waits.items()} == {
        priority: sum(came.priority == priority for came in day) for priority in (-2, 0, 1, 2)
    }


def test_an_urgent_image_waits_for_the_running_batch_at_most(lived: Lived) -> None:
    assert max(lived.waits[2]) <= BATCH_SECONDS


def test_routine_starves_by_priority_alone_and_not_by_age(lived: Lived, request: pytest.FixtureRequest) -> None:
    """By age it is overtaken for a step, and waits among what came by then; by priority alone, for all of the ward."""
    bound = STEP + 8 * BATCH_SECONDS
    starved = request.node.callspec.params["lived"] == "strict"
    assert (max(lived.waits[0]) > bound) == starved


def test_in_the_order_of_arrival_the_urgent_wait_like_everybody(day: list[Came], tmp_path: Path) -> None:
    assert max(live(day, level=0.0, folder=tmp_path / "fifo").waits[2]) > 2 * BATCH_SECONDS
