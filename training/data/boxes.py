"""Boxes as x0, y0, x1, y1: how large, how much two of them share, which of them are one finding."""

from collections.abc import Sequence

#: boxes of one film that overlap more than this (IoU) are one finding, drawn twice
SAME_FINDING = 0.3

Box = tuple[float, float, float, float]
Polygon = tuple[tuple[float, float], ...]


def area(box: Sequence[float]) -> float:
    """Width times height, in the square of the box's unit."""
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (area(a) + area(b) - width * height)


def around(a: Box, b: Box) -> Box:
    """The smallest box that holds both."""
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


def within(box: Box, columns: float, rows: float) -> Box:
    """A box of pixels as fractions of a picture of `columns` by `rows`.

    What ends less than a pixel outside was rounded and is cut off there. Raises ValueError where it is outside.
    """
    x0, y0, x1, y1 = box
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"the box {_said(box)} has no area")
    if x0 <= -1 or y0 <= -1 or x1 >= columns + 1 or y1 >= rows + 1:
        raise ValueError(f"the box {_said(box)} is not inside the picture of {columns:g} x {rows:g} pixels")
    inside = (max(x0, 0.0) / columns, max(y0, 0.0) / rows, min(x1 / columns, 1.0), min(y1 / rows, 1.0))
    if not (inside[0] < inside[2] and inside[1] < inside[3]):
        raise ValueError(f"the box {_said(box)} is not inside the picture of {columns:g} x {rows:g} pixels")
    return inside


def _said(box: Box) -> str:
    return ", ".join(f"{side:g}" for side in box)


def grouped(boxes: Sequence[Box], overlap: float = SAME_FINDING) -> list[tuple[Box, list[int]]]:
    """Boxes that overlap more than `overlap` as the one box around them, until none do.

    Beside each box stand the indices of those that went into it.
    """
    groups: list[tuple[Box, list[int]]] = []
    for index, box in enumerate(boxes):
        members = [index]
        while True:
            partner = next((group for group in groups if iou(box, group[0]) > overlap), None)
            if partner is None:
                break
            groups.remove(partner)
            box, members = around(box, partner[0]), partner[1] + members
        groups.append((box, members))
    return groups


def merge(boxes: Sequence[Box], overlap: float = SAME_FINDING) -> list[Box]:
    """The boxes of `grouped`."""
    return [box for box, _ in grouped(boxes, overlap)]
