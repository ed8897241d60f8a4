"""Masks against boxes and outlines, by shapes whose overlap is known."""

from dataclasses import replace

import numpy as np
import pytest

from model.contract import Candidate
from tests.training.examples import example
from training.data.example import merged
from training.datalist import Region
from training.evaluation.masks import GRID, cover, filled, outlined, outlines_of, overlap, placed

LEFT, RIGHT = (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)
TRIANGLE = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5))


def candidate(x0: int, y0: int, x1: int, y1: int) -> Candidate:
    mask = np.ones((y1 - y0, x1 - x0), np.bool_)
    return Candidate(box=(x0, y0, x1, y1), confidence=0.9, mask_origin=(y0, x0), mask=mask)


def test_overlap() -> None:
    assert overlap(filled([LEFT]), filled([LEFT, RIGHT])) == pytest.approx((2 / 3, 1 / 2))
    assert overlap(filled([]), filled([])) == (1.0, 1.0)
    assert overlap(filled([LEFT]), filled([])) == (0.0, 0.0)


def test_shapes() -> None:
    assert filled([LEFT]).sum() == (GRID // 2) ** 2
    assert filled([(0.3, 0.3, 0.3001, 0.3001)]).sum() == 1
    assert outlined([TRIANGLE]).sum() == pytest.approx(GRID**2 / 8, rel=0.03)
    whole = placed(candidate(0, 0, 50, 20), rows=40, columns=100)
    assert (whole == filled([LEFT])).all()


def test_a_film_and_its_findings() -> None:
    film = example(LEFT, polygon=TRIANGLE)
    found = cover(film, [candidate(0, 0, 50, 50), candidate(60, 60, 70, 70)], rows=100, columns=100)
    small = 0.1**2
    assert found.boxes[0] == pytest.approx(2 * 0.25 / (0.5 + small), rel=0.01)
    assert found.outlines is not None
    assert found.outlines[1] == pytest.approx(0.125 / (0.25 + small), rel=0.03)
    # Only the first box hits; its mask is the filled box, which covers twice the triangle.
    assert len(found.hits) == 1
    assert found.hits[0][0] == pytest.approx((2 / 3, 1 / 2), rel=0.03)
    assert found.hits[0][1] == found.hits[0][0]


def test_nothing_shown_covers_nothing() -> None:
    assert cover(example(LEFT, polygon=TRIANGLE), [], 100, 100).boxes == (0.0, 0.0)


def test_outlines_belong_to_the_finding_that_they_were_drawn_of() -> None:
    film = example(LEFT, polygon=TRIANGLE)
    bare = Region(label="Mass", reader="rsna", box=RIGHT, polygon=None)
    regions = (*film.regions, bare)
    two = replace(film, regions=regions, findings=merged(regions, film.readers))
    by_box = dict(zip(map(tuple, two.boxes), outlines_of(two), strict=True))
    assert by_box == {LEFT: [TRIANGLE], RIGHT: []}
    # Not every finding has an outline: the film as a whole is not compared with outlines.
    assert cover(two, [candidate(0, 0, 50, 50)], 100, 100).outlines is None
