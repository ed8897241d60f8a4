"""A mask's polygon holds the mask: exactly, as long as an element of VR FL can hold the polygon."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from dicom_node.encode.contour import MOST_POINTS, Points, contours, region
from tests.encode.sources import finding

MASKS = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)).filter(np.any)


def filled(polygon: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres a closed polygon holds by the even-odd rule."""
    inside = np.zeros(shape, np.bool_)
    y, x = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    for (x0, y0), (x1, y1) in zip(polygon[:-1].tolist(), polygon[1:].tolist(), strict=True):
        rows = (min(y0, y1) < y) & (y < max(y0, y1))
        if rows.any():
            crossing = x0 + (y[rows] - y0) * (x1 - x0) / (y1 - y0)
            inside[rows] ^= x[None, :] > crossing[:, None]
    return inside


@settings(max_examples=300, deadline=None)
@given(mask=MASKS, row=st.integers(0, 5), column=st.integers(0, 5))
def test_the_polygon_is_the_mask(mask: NDArray[np.bool_], row: int, column: int) -> None:
    polygon = region(finding(row, column, mask=mask))
    assert (polygon[0] == polygon[-1]).all()
    whole = np.zeros((20, 20), np.bool_)
    whole[row : row + mask.shape[0], column : column + mask.shape[1]] = mask
    assert (filled(polygon, whole.shape) == whole).all()


@given(mask=MASKS)
def test_outlines_run_clockwise_and_those_of_holes_the_other_way(mask: NDArray[np.bool_]) -> None:
    loops = contours(mask)
    areas = [
        int((loop[:, 0] * np.roll(loop[:, 1], -1) - np.roll(loop[:, 0], -1) * loop[:, 1]).sum()) / 2 for loop in loops
    ]
    assert sum(areas) == mask.sum()
    assert [abs(area) for area in areas] == sorted((abs(area) for area in areas), reverse=True)
    for loop in loops:
        steps = np.roll(loop, -1, axis=0) - loop
        # one step along a row, the next along a column: every point is a corner
        assert ((steps == 0).sum(1) == 1).all()
        assert ((steps == 0) != np.roll(steps == 0, 1, axis=0)).all()


def test_a_pixel_has_four_corners() -> None:
    assert region(finding(20, 10, 1, 1)).tolist() == [[10, 20], [11, 20], [11, 21], [10, 21], [10, 20]]


def test_a_whole_film_is_its_frame() -> None:
    polygon = region(finding(0, 0, 4300, 3500))
    assert polygon.tolist() == [[0, 0], [3500, 0], [3500, 4300], [0, 4300], [0, 0]]


def test_parts_that_touch_at_a_corner_are_two() -> None:
    assert [loop.tolist() for loop in contours(np.eye(2, dtype=np.bool_))] == [
        [[0, 0], [1, 0], [1, 1], [0, 1]],
        [[1, 1], [2, 1], [2, 2], [1, 2]],
    ]


@pytest.mark.parametrize("most", [5, 50, MOST_POINTS])
def test_what_is_too_ragged_gets_coarser_and_loses_nothing(most: int) -> None:
    mask = np.random.default_rng(0).random((301, 203)) > 0.7
    polygon = region(finding(7, 9, mask=mask), most=most)
    assert len(polygon) <= most
    assert polygon.min() >= 7
    assert tuple(polygon.max(0)) <= (9 + 203, 7 + 301)
    held = filled(polygon, (320, 220))[7 : 7 + 301, 9 : 9 + 203]
    assert (held | ~mask).all()


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="no outline"):
        region(finding(0, 0, mask=np.zeros((3, 3))))
