"""Which box hits which finding, by cases that can be seen."""

import numpy as np
import pytest

from tests.training.evaluation.slow import Film, predictions, truths
from tests.training.examples import example
from training.evaluation.matching import CENTRE, LENIENT, STRICT, Truth, corners, match, match_film, one_list, truth_of
from training.predictions import Predictions

FIRST = (0.0, 0.0, 0.1, 0.1)
SECOND = (0.5, 0.5, 0.6, 0.6)
NOWHERE = (0.8, 0.8, 0.9, 0.9)


def test_one_box_one_finding() -> None:
    film = Film(predicted=[(FIRST, 0.9), (FIRST, 0.8), (SECOND, 0.3)], findings=[SECOND, FIRST])
    outcomes = match(predictions([film]), truths([film]))
    assert outcomes.finding.tolist() == [1, -1, 0]
    assert outcomes.found_at.tolist() == pytest.approx([0.3, 0.9])
    assert outcomes.findings_on().tolist() == [2]


def test_a_box_takes_the_free_finding_that_it_fits_best() -> None:
    two = Truth(findings=corners([(0.0, 0.0, 0.1, 0.1), (0.0, 0.02, 0.1, 0.12)]), ignored=corners([]))
    # Both boxes fit the second best; the better scored takes it, the other gets what is left.
    which, _ = match_film(corners([(0.0, 0.02, 0.1, 0.12), (0.0, 0.015, 0.1, 0.115)]), two, STRICT)
    assert which.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("box", "strict", "lenient", "centre"),
    [
        ((0.0, 0.0, 0.1, 0.041), True, True, True),  # IoU 0.41
        ((0.0, 0.0, 0.1, 0.03), False, True, True),  # IoU 0.3
        ((0.04, 0.04, 0.06, 0.06), False, False, True),
        ((0.06, 0.06, 0.2, 0.2), False, False, False),  # touches, its centre outside
        ((0.1, 0.0, 0.2, 0.1), False, False, False),  # shares an edge
    ],
)
def test_criteria(box: tuple[float, float, float, float], strict: bool, lenient: bool, centre: bool) -> None:
    truth = Truth(findings=corners([FIRST]), ignored=corners([]))
    hits = [match_film(corners([box]), truth, criterion)[0][0] == 0 for criterion in (STRICT, LENIENT, CENTRE)]
    assert hits == [strict, lenient, centre]


def test_a_box_on_a_region_too_small_is_neither_hit_nor_false() -> None:
    speck = (0.5, 0.5, 0.52, 0.52)
    film = example(FIRST, speck)
    assert truth_of(film).ignored.tolist() == [list(speck)]
    boxes = Film(predicted=[(speck, 0.9), (NOWHERE, 0.8), (FIRST, 0.7)], findings=[])
    outcomes = match(predictions([boxes]), [truth_of(film)])
    assert outcomes.score.tolist() == pytest.approx([0.8, 0.7])
    assert outcomes.finding.tolist() == [-1, 0]


def test_findings_are_numbered_over_all_films() -> None:
    films = [
        Film(predicted=[], findings=[FIRST]),
        Film(predicted=[(NOWHERE, 0.9)], findings=[]),
        Film(predicted=[(SECOND, 0.5)], findings=[FIRST, SECOND]),
    ]
    outcomes = match(predictions(films), truths(films))
    assert outcomes.film_of_finding.tolist() == [0, 2, 2]
    assert outcomes.film.tolist() == [1, 2]
    assert outcomes.finding.tolist() == [-1, 2]
    assert outcomes.findings_on(np.array([True, False, True])).tolist() == [1, 0, 1]
    assert outcomes.found_at.tolist() == [-np.inf, -np.inf, 0.5]


def test_what_two_channels_say_of_one_place_is_one_box() -> None:
    several = Predictions(
        ids=("a", "b"),
        boxes=(corners([FIRST, SECOND, FIRST]).astype(np.float32), corners([NOWHERE]).astype(np.float32)),
        scores=(np.array([0.9, 0.8, 0.7], np.float32), np.array([0.6], np.float32)),
        channels=(np.array([0, 0, 1], np.int8), np.array([1], np.int8)),
        images=np.zeros(2, np.float32),
    )
    once = one_list(several)
    assert [scores.tolist() for scores in once.scores] == [pytest.approx([0.9, 0.8]), pytest.approx([0.6])]
    assert one_list(once).boxes[0].tolist() == once.boxes[0].tolist()
