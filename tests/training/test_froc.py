"""FROC against cases counted by hand."""

import math

import pytest

from training.froc import Marked, at_threshold, auroc, froc, outcomes, pointing_hits

FIRST = (0.0, 0.0, 10.0, 10.0)
SECOND = (50.0, 50.0, 60.0, 60.0)
NOWHERE = (80.0, 80.0, 90.0, 90.0)

FILMS = [
    Marked(predicted=[(FIRST, 0.9), (NOWHERE, 0.8), (SECOND, 0.3)], findings=[FIRST, SECOND], normal=False),
    Marked(predicted=[(NOWHERE, 0.5)], findings=[], normal=True),
]


def test_sensitivity_by_false_positives_an_image() -> None:
    # By falling score: hit, false, false (on the normal), hit; two films, two findings.
    assert froc(FILMS, points=(0.0, 0.5, 0.9, 1.0)) == {0.0: 0.5, 0.5: 0.5, 0.9: 0.5, 1.0: 1.0}


def test_one_box_one_finding() -> None:
    twice = Marked(predicted=[(FIRST, 0.9), (FIRST, 0.8)], findings=[FIRST], normal=False)
    assert outcomes([twice]) == [(0.9, True, False), (0.8, False, False)]


def test_overlap_decides() -> None:
    half = Marked(predicted=[((0.0, 0.0, 10.0, 5.0), 0.9)], findings=[FIRST], normal=False)
    assert froc([half], points=(0,), least_iou=0.5) == {0: 1.0}
    assert froc([half], points=(0,), least_iou=0.51) == {0: 0.0}


def test_equal_scores_stand_or_fall_together() -> None:
    tied = Marked(predicted=[(FIRST, 0.5), (NOWHERE, 0.5)], findings=[FIRST], normal=False)
    assert froc([tied], points=(0.5, 1.0)) == {0.5: 0.0, 1.0: 1.0}


def test_operating_point() -> None:
    reached = at_threshold(FILMS, 0.4)
    assert (reached.sensitivity, reached.false_per_image) == (0.5, 1.0)
    assert (reached.false_per_normal, reached.normals_marked) == (1.0, 1.0)
    assert at_threshold(FILMS, 0.6).false_per_normal == 0


def test_films_without_a_box_miss_the_pointing_game() -> None:
    blind = Marked(predicted=[], findings=[FIRST], normal=False)
    assert pointing_hits([FILMS[0], blind, FILMS[1]]) == 0.5


def test_auroc() -> None:
    assert auroc([3, 2], [1, 2]) == pytest.approx(3.5 / 4)
    assert math.isnan(auroc([], [1]))
