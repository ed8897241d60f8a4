"""Killed at chosen points, at random, altogether: nothing acknowledged is lost, nothing is there twice."""

import random
from collections.abc import Iterator

import pytest

from dicom_node.config import Role
from tests.faults import trials
from tests.faults.hospital import Hospital
from tests.faults.processes import Point, require_strace


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """Every fault of this module strikes the same node, one after the other."""
    with Hospital(tmp_path_factory.mktemp("site")) as made:
        made.start()
        yield made


def hold(outcome: trials.Outcome) -> None:
    assert outcome.tried
    assert outcome.lost == ()
    assert outcome.duplicated == ()


@pytest.mark.peer
@pytest.mark.parametrize(
    ("role", "point"),
    [
        (Role.RECEIVE, trials.POINTS[Role.RECEIVE][3]),
        (Role.ANALYSE, trials.POINTS[Role.ANALYSE][1]),
        (Role.CONCLUDE, trials.POINTS[Role.CONCLUDE][1]),
        (Role.DELIVER, trials.POINTS[Role.DELIVER][3]),
    ],
    ids=lambda value: str(value).replace(" ", "-"),
)
def test_a_role_killed_at_a_system_call(site: Hospital, role: Role, point: Point) -> None:
    require_strace()
    hold(trials.killed_at_a_point(role, point, site, random.Random(1)))


def test_the_supervisor_killed(site: Hospital) -> None:
    hold(trials.supervisor_killed(site, random.Random(1)))


def test_everything_killed_at_once(site: Hospital) -> None:
    hold(trials.everything_killed(site, random.Random(3)))


def test_a_role_killed_at_random(site: Hospital) -> None:
    hold(trials.killed_at_random(Role.ANALYSE, site, random.Random(4)))
