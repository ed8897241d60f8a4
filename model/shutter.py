"""The Display Shutter (PS3.3 C.7.6.11): what of a picture is meant to be seen."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

Mask = NDArray[np.bool_]

_EDGES = (
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
)


def shutter_mask(dataset: Dataset, rows: int, columns: int) -> Mask | None:
    """(rows, columns), True inside every shutter; None where there is none, or one that would hide all."""
    shapes = dataset.get("ShutterShape")
    if not shapes:
        return None
    mask: Mask | None = None
    for shape in [shapes] if isinstance(shapes, str) else shapes:
        draw = _SHAPES.get(str(shape))
        part = draw(dataset, rows, columns) if draw is not None else None
        if part is not None:
            mask = part if mask is None else mask & part
    return None if mask is None or mask.all() or not mask.any() else mask


def _rectangular(dataset: Dataset, rows: int, columns: int) -> Mask | None:
    """Edges are counted from 1; the lines of the edges themselves are seen."""
    edges = [dataset.get(keyword) for keyword in _EDGES]
    if not all(isinstance(edge, int) for edge in edges):
        return None
    upper, lower, left, right = edges
    mask = np.zeros((rows, columns), np.bool_)
    mask[max(upper - 1, 0) : max(lower, 0), max(left - 1, 0) : max(right, 0)] = True
    return mask


def _circular(dataset: Dataset, rows: int, columns: int) -> Mask | None:
    centre, radius = dataset.get("CenterOfCircularShutter"), dataset.get("RadiusOfCircularShutter")
    if centre is None or len(centre) != 2 or not isinstance(radius, int):
        return None
    down = np.arange(1, rows + 1, dtype=np.float32)[:, None] - float(centre[0])
    across = np.arange(1, columns + 1, dtype=np.float32)[None, :] - float(centre[1])
    mask: Mask = down**2 + across**2 <= float(radius) ** 2
    return mask


def _polygonal(dataset: Dataset, rows: int, columns: int) -> Mask | None:
    vertices = dataset.get("VerticesOfThePolygonalShutter")
    if vertices is None or len(vertices) < 6 or len(vertices) % 2:
        return None
    return polygon_mask([float(value) for value in vertices], rows, columns)


def polygon_mask(vertices: Sequence[float], rows: int, columns: int) -> Mask:
    """Even-odd fill of a polygon given as row\\column pairs from 1, as the standard counts."""
    points = np.asarray(vertices, np.float64).reshape(-1, 2)
    crossings = np.zeros((rows, columns + 1), np.int32)
    for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        upper, lower = sorted((y0, y1))
        # Half-open, so that a vertex on a row is crossed by one of its two edges.
        line = np.arange(max(int(np.ceil(upper)), 1), min(int(np.ceil(lower)) - 1, rows) + 1)
        across = x0 + (line - y0) * (x1 - x0) / (y1 - y0)
        first = np.clip(np.ceil(across).astype(np.int64) - 1, 0, columns)
        np.add.at(crossings, (line - 1, first), 1)
    inside: Mask = np.cumsum(crossings[:, :columns], axis=1) % 2 == 1
    return inside


_SHAPES: dict[str, Callable[[Dataset, int, int], Mask | None]] = {
    "RECTANGULAR": _rectangular,
    "CIRCULAR": _circular,
    "POLYGONAL": _polygonal,
}
