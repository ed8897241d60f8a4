"""The outline of a mask as polygons along the edges of its pixels: what SCOORD and graphic annotations are made of.

Coordinates are (x, y) as in PS3.3 C.18.6.1.2: 0.0 is the outer edge of the first column or row, so that a pixel of row
r and column c covers x from c to c + 1 and y from r to r + 1.
"""

import numpy as np
from numpy.typing import NDArray

from dicom_node.domain import Finding

Points = NDArray[np.int64]

#: points of one polygon: VR FL has a length of 16 bits (PS3.5 7.1.2), and a point is two values of 4 octets
MOST_POINTS = 0xFFFE // 8

#: the four directions of travel, the region on the right hand: each one's right turn is the next one
_EAST, _SOUTH, _WEST, _NORTH = range(4)


def region(finding: Finding, *, most: int = MOST_POINTS) -> Points:
    """One closed polygon (points, 2) of (x, y) in the source image, the last point the first one again.

    By the even-odd rule it holds exactly the mask: holes and further parts are joined to the largest outline by lines
    that are walked twice and enclose nothing. Where that takes more than `most` points the mask is made coarser by 2,
    as often as needed, so that it holds all of the mask and, at its edge, a little more. Raises ValueError for an empty
    mask.
    """
    if not finding.mask.any():
        raise ValueError("a finding whose mask is empty has no outline")
    row, column = finding.mask_origin
    rows, columns = finding.mask.shape
    mask, factor = finding.mask, 1
    while True:
        if _corners(mask) <= most:
            polygon = _joined(contours(mask))
            if len(polygon) <= most:
                break
        mask, factor = _coarser(mask), factor * 2
    scaled: Points = np.minimum(polygon * factor, (columns, rows)) + np.array((column, row))
    return scaled


def outlines(finding: Finding, *, most: int = MOST_POINTS, most_parts: int = 20) -> list[Points]:
    """The outlines of its parts and holes in the source image one by one, each closed as that of `region` is.

    For what draws them as lines. Where there would be more than `most` points or `most_parts` outlines the mask is made
    coarser as for `region`. Raises ValueError for an empty mask.
    """
    if not finding.mask.any():
        raise ValueError("a finding whose mask is empty has no outline")
    row, column = finding.mask_origin
    rows, columns = finding.mask.shape
    mask, factor, loops = finding.mask, 1, None
    while loops is None or len(loops) > most_parts:
        if loops is not None or _corners(mask) > most:
            mask, factor = _coarser(mask), factor * 2
        loops = contours(mask) if _corners(mask) <= most else None
    closed = [np.vstack([loop, loop[:1]]) for loop in loops]
    return [np.minimum(loop * factor, (columns, rows)) + np.array((column, row)) for loop in closed]


def contours(mask: NDArray[np.bool_]) -> list[Points]:
    """The closed outlines of `mask` (rows, columns): corners (points, 2) of (x, y), the first one not repeated.

    Parts that touch at a corner are two. Outer outlines run clockwise on the screen, those of holes the other way; the
    one that encloses most stands first.
    """
    starts, ends = _edges(np.pad(mask, 1))
    leaving = [{tuple(point): number for number, point in enumerate(of.tolist())} for of in starts]
    loops = []
    for first in starts[_EAST].tolist():
        if tuple(first) not in leaving[_EAST]:
            continue
        loop: list[list[int]] = []
        direction, number = _EAST, leaving[_EAST].pop(tuple(first))
        while True:
            loop.append(starts[direction][number].tolist())
            corner = tuple(ends[direction][number].tolist())
            # where two parts touch both turns are there: the right one stays with this part
            direction = next(
                (turn for turn in ((direction + 1) % 4, (direction - 1) % 4) if corner in leaving[turn]), -1
            )
            if direction < 0:
                break
            number = leaving[direction].pop(corner)
        loops.append(np.array(loop, np.int64))
    return sorted(loops, key=lambda points: -abs(_twice_area(points)))


def _edges(padded: NDArray[np.bool_]) -> tuple[list[Points], list[Points]]:
    """Where the straight runs of the outline begin and end, by direction: (runs, 2) of (x, y)."""
    above, below = padded[:-1, 1:-1], padded[1:, 1:-1]
    left, right = padded[1:-1, :-1], padded[1:-1, 1:]
    east, west = _runs(~above & below), _runs(above & ~below)
    south, north = _runs((left & ~right).T), _runs((~left & right).T)
    # _runs tells (line, from, to): rows and columns of the transposed pair change places
    starts = [east[:, (1, 0)], south[:, (0, 1)], west[:, (2, 0)], north[:, (0, 2)]]
    ends = [east[:, (2, 0)], south[:, (0, 2)], west[:, (1, 0)], north[:, (0, 1)]]
    return starts, ends


def _runs(edges: NDArray[np.bool_]) -> Points:
    """(runs, 3): line, first position, one past the last, of each unbroken run of True along a line."""
    step = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    line, first = np.nonzero(step == 1)
    return np.stack([line, first, np.nonzero(step == -1)[1]], axis=1)


def _corners(mask: NDArray[np.bool_]) -> int:
    """How many corners the outlines of `mask` have together."""
    padded = np.pad(mask, 1)
    # a corner is where the 2 x 2 pixels around it differ along both axes: once, or twice where two parts touch
    upright, level = padded[1:] ^ padded[:-1], padded[:, 1:] ^ padded[:, :-1]
    turns = (upright[:, 1:] ^ upright[:, :-1]).sum() + 2 * (
        upright[:, 1:] & upright[:, :-1] & level[1:] & level[:-1]
    ).sum()
    return int(turns)


def _coarser(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Half the size, True where any of the four pixels is."""
    even = np.pad(mask, tuple((0, length % 2) for length in mask.shape))
    return even[::2, ::2] | even[1::2, ::2] | even[::2, 1::2] | even[1::2, 1::2]


def _joined(loops: list[Points]) -> Points:
    """One closed polygon through all of `loops`: from the nearest point of the first out to each other and back."""
    trunk, *others = loops
    detours: dict[int, list[Points]] = {}
    for loop in others:
        at, start = _nearest(trunk, loop)
        around = np.roll(loop, -start, axis=0)
        detours.setdefault(at, []).append(np.vstack([around, around[:1], trunk[at : at + 1]]))
    pieces = []
    for number in range(len(trunk)):
        pieces.append(trunk[number : number + 1])
        pieces += detours.get(number, [])
    return np.vstack([*pieces, trunk[:1]])


def _nearest(trunk: Points, loop: Points) -> tuple[int, int]:
    """The pair of points, one of each, that are nearest to each other."""
    best, pair = np.inf, (0, 0)
    for start, point in enumerate(loop):
        distance = ((trunk - point) ** 2).sum(1)
        at = int(distance.argmin())
        if distance[at] < best:
            best, pair = distance[at], (at, start)
    return pair


def _twice_area(points: Points) -> int:
    x, y = points[:, 0], points[:, 1]
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
