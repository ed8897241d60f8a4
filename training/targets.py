"""What the heads should say of a film: centre heat, boxes, mask, and where nobody knows.

Heat and box weights are TTFNet's (arXiv 1909.00700): a Gaussian as large as the box. The mask is the drawn
outline where there is one; a region of which only the box is known is an ellipse in it, its corners unknown:
tissue seldom fills a box (outlines fill 59 % of theirs, an ellipse 79 %).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from training.augment import View
from training.datalist import MIN_AREA, Example, area

#: a box's Gaussian has this share of the box as six standard deviations
_ALPHA = 0.54
#: cells where the Gaussian exceeds this learn the box
_LEARNS_BOX = 0.1


class Targets(NamedTuple):
    """N films on a grid of h by w cells."""

    #: (N, h, w) 0..1; 1 at the cell of each centre
    heat: Tensor
    #: (N, 4, h, w) x0, y0, x1, y1 of the box that a cell should give; cells
    boxes: Tensor
    #: (N, h, w) weight of a cell's box; the cells of one box sum to 1
    box_weight: Tensor
    #: (N, h, w) 0 or 1
    mask: Tensor
    #: (N, h, w) weight of background in the heat: 0 where a region too small to be scored lies
    background: Tensor
    #: (N, h, w) weight of a cell in the mask's loss: 0 where nobody knows
    mask_weight: Tensor
    #: (N,) 1: abnormal
    image: Tensor
    #: (N,) how far the film's label is trusted
    trust: Tensor


def targets(examples: Sequence[Example], views: Sequence[View], grid: int, weights: "Weights") -> Targets:
    """Targets of the views of a batch, for a square grid of `grid` cells a side."""
    rows = [_one(example, view, grid, weights) for example, view in zip(examples, views, strict=True)]
    return Targets(*(torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)))


class Weights(NamedTuple):
    """How far labels are believed."""

    #: background of a film with findings whose readers looked for opacities only
    partly_read: float = 0.6
    #: a film called normal by its mined report alone
    normal_report: float = 0.5


def _one(example: Example, view: View, grid: int, weights: Weights) -> tuple[NDArray[np.float32], ...]:
    centres = np.arange(grid, dtype=np.float32) + 0.5
    heat = np.zeros((grid, grid), np.float32)
    boxes = np.zeros((4, grid, grid), np.float32)
    box_weight = np.zeros((grid, grid), np.float32)
    seen = [part for box in example.boxes if (part := view.box(box)) is not None]
    for part in sorted(seen, key=area, reverse=True):
        box = np.array(part, np.float32) * grid
        gaussian = _gaussian(box, centres)
        heat = np.maximum(heat, gaussian)
        learns = gaussian > _LEARNS_BOX
        boxes[:, learns] = box[:, None]
        box_weight[learns] = gaussian[learns] / gaussian[learns].sum()
    background = np.full((grid, grid), 1.0 if example.fully_read else weights.partly_read, np.float32)
    for small in example.too_small:
        background[_cells(view, small, grid, margin=1.5)] = 0.0
    mask, mask_weight = _mask(example, view, grid)
    mask_weight = np.where(mask > 0, 1.0, mask_weight * background).astype(np.float32)
    trust = weights.normal_report if example.status == "normal_nlp" else 1.0
    image = np.float32(bool(seen))
    # A film whose findings have all left the view, or which has only tiny ones, is not a normal film.
    if not seen and example.regions:
        trust = 0.0 if not example.boxes else 0.3
    return heat, boxes, box_weight, mask, background, mask_weight, image, np.float32(trust)  # type: ignore[return-value]


def _gaussian(box: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    x0, y0, x1, y1 = box.tolist()
    deviation_x = max(max(x1 - x0, 1.0) * _ALPHA / 6, 0.5)
    deviation_y = max(max(y1 - y0, 1.0) * _ALPHA / 6, 0.5)
    centre_x = math.floor(min((x0 + x1) / 2, len(centres) - 1)) + 0.5
    centre_y = math.floor(min((y0 + y1) / 2, len(centres) - 1)) + 0.5
    across = np.exp(-((centres - centre_x) ** 2) / (2 * deviation_x**2))
    down = np.exp(-((centres - centre_y) ** 2) / (2 * deviation_y**2))
    gaussian: NDArray[np.float32] = (down[:, None] * across[None, :]).astype(np.float32)
    return gaussian


def _cells(view: View, box: Sequence[float], grid: int, margin: float) -> tuple[slice, slice]:
    (ax, ay), (bx, by) = view.to_view((box[0], box[1])), view.to_view((box[2], box[3]))
    x0, x1 = sorted((ax * grid, bx * grid))
    y0, y1 = sorted((ay * grid, by * grid))
    return (
        slice(max(math.floor(y0 - margin), 0), max(math.ceil(y1 + margin), 0)),
        slice(max(math.floor(x0 - margin), 0), max(math.ceil(x1 + margin), 0)),
    )


def _mask(example: Example, view: View, grid: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The mask and its weights: outlines first, ellipses in boxes that no outline explains."""
    mask, known = Image.new("L", (grid, grid)), Image.new("L", (grid, grid), 1)
    draw, draw_known = ImageDraw.Draw(mask), ImageDraw.Draw(known)
    for region in example.regions:
        if region.polygon is None:
            (ax, ay), (bx, by) = view.to_view(region.box[:2]), view.to_view(region.box[2:])
            x0, x1 = sorted((ax * grid - 0.5, bx * grid - 0.5))
            y0, y1 = sorted((ay * grid - 0.5, by * grid - 0.5))
            draw_known.rectangle((x0, y0, x1, y1), fill=0)
            if area(region.box) >= MIN_AREA:
                draw.ellipse((x0, y0, x1, y1), fill=1)
        else:
            outline = [(x * grid - 0.5, y * grid - 0.5) for x, y in view.polygon(region.polygon)]
            draw.polygon(outline, fill=1)
    return np.asarray(mask, np.float32), np.asarray(known, np.float32)
