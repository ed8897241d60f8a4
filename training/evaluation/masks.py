"""How well a mask covers what was drawn: Dice and IoU, of a film as a whole and of each finding that was hit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from model.contract import Candidate
from training.datalist import MIN_AREA, Box, Example, Polygon, area, iou
from training.evaluation.matching import STRICT, Truth, corners, match_film

Mask = NDArray[np.bool_]

#: cells a side on which all is compared
GRID = 256


@dataclass(frozen=True, kw_only=True)
class Cover:
    """Of one film. Pairs are (Dice, IoU); outlines only where every finding has one."""

    boxes: tuple[float, float]
    outlines: tuple[float, float] | None
    #: of each finding that was hit and has an outline: the mask against it, the filled box against it
    hits: tuple[tuple[tuple[float, float], tuple[float, float]], ...]


def overlap(a: Mask, b: Mask) -> tuple[float, float]:
    """Dice and IoU; both 1 where both are empty."""
    shared, total = int((a & b).sum()), int(a.sum()) + int(b.sum())
    return (2 * shared / total, shared / (total - shared)) if total else (1.0, 1.0)


def filled(boxes: Sequence[Box]) -> Mask:
    """(GRID, GRID) True inside any box, in fractions of the film."""
    mask = np.zeros((GRID, GRID), np.bool_)
    for x0, y0, x1, y1 in boxes:
        left, top, right, bottom = (round(value * GRID) for value in (x0, y0, x1, y1))
        mask[top : max(bottom, top + 1), left : max(right, left + 1)] = True
    return mask


def outlined(polygons: Sequence[Polygon]) -> Mask:
    """(GRID, GRID) True inside any outline."""
    picture = Image.new("1", (GRID, GRID))
    for polygon in polygons:
        ImageDraw.Draw(picture).polygon([(x * GRID, y * GRID) for x, y in polygon], fill=1)
    return np.asarray(picture, np.bool_)


def outlines_of(example: Example) -> list[list[Polygon]]:
    """For each finding the outlines that were drawn of it; none where only boxes were."""
    outlines: list[list[Polygon]] = [[] for _ in example.boxes]
    for region in example.regions:
        if region.polygon and area(region.box) >= MIN_AREA:
            fit = [iou(region.box, box) for box in example.boxes]
            if max(fit, default=0) > 0:
                outlines[int(np.argmax(fit))].append(region.polygon)
    return outlines


def placed(candidate: Candidate, rows: int, columns: int) -> Mask:
    """(GRID, GRID) the mask of a candidate on a film of `rows` × `columns` pixels."""
    whole = np.zeros((rows, columns), np.bool_)
    top, left = candidate.mask_origin
    height, width = candidate.mask.shape
    whole[top : top + height, left : left + width] = candidate.mask
    return np.asarray(Image.fromarray(whole).resize((GRID, GRID), Image.Resampling.NEAREST), np.bool_)


def cover(example: Example, candidates: Sequence[Candidate], rows: int, columns: int) -> Cover:
    """Of one film with findings; `candidates` are those shown, best first, in pixels of the film."""
    masks = [placed(candidate, rows, columns) for candidate in candidates]
    union = np.any(masks, axis=0) if masks else np.zeros((GRID, GRID), np.bool_)
    outlines = outlines_of(example)
    boxes = corners([candidate.box for candidate in candidates]) / (columns, rows, columns, rows)
    which, _ = match_film(boxes, Truth(findings=corners(example.boxes), ignored=corners([])), STRICT)
    hits = []
    for box, mask, finding in zip(boxes, masks, which, strict=True):
        if finding >= 0 and outlines[finding]:
            true = outlined(outlines[finding])
            x0, y0, x1, y1 = map(float, box)
            hits.append((overlap(mask, true), overlap(filled([(x0, y0, x1, y1)]), true)))
    every = [polygon for finding in outlines for polygon in finding]
    return Cover(
        boxes=overlap(union, filled(example.boxes)),
        outlines=overlap(union, outlined(every)) if all(outlines) else None,
        hits=tuple(hits),
    )
