"""A datalist as tensors: films, boxes and what is known of them, on whatever device trains.

Everything that a step needs lies ready, so that a step is made of tensor operations alone: the same on a CPU and,
captured as a graph, on a GPU.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from training.channels import Channel
from training.datalist import MIN_AREA, NEGATIVE, Box, Example, Status, area, iou

#: cells a side on which outlines are drawn, once
RASTER = 128
#: boxes a film at most, the largest first
MOST_BOXES = 16
#: margin around a region too small to be scored, as a share of the film
_MARGIN = 0.02
#: how far a film's label as a whole is believed
_TRUST = {Status.NORMAL_REPORT: 0.5, Status.ABNORMAL_REPORT: 0.5}

#: bits of the raster
ABNORMAL, KNOWN, EMPTY = 1, 2, 4


class Table(NamedTuple):
    """N films. Boxes are x0, y0, x1, y1 as fractions of the film; a row of zeros is no box."""

    #: (N, S, S) uint8, black = 0 as displayed
    films: Tensor
    #: (N, K, 4)
    boxes: Tensor
    #: (N, K, C) 1 where the channel is to find the box
    channels: Tensor
    #: (N, K) share of the readers who looked that drew it
    agreement: Tensor
    #: (N, K) 1 where somebody drew an outline
    outlined: Tensor
    #: (N, K) ordinal of the box's disease, -1: none
    disease: Tensor
    #: (N, C) how far a channel's silence is believed
    background: Tensor
    #: (N, 128, 128) uint8: bits ABNORMAL, KNOWN (the mask's loss may ask), EMPTY (no region too small lies here)
    raster: Tensor
    #: (N,) 1: abnormal
    abnormal: Tensor
    #: (N,) how far that is believed
    trust: Tensor
    #: (N,) 1: a film that shows nothing abnormal, to the best of anybody's knowledge
    normal: Tensor

    def to(self, device: torch.device) -> "Table":
        """The same on another device."""
        return Table(*(part.to(device) for part in self))


def table(examples: Sequence[Example], films: Tensor, plan: Sequence[Channel]) -> Table:
    """(N, S, S) uint8 films and their examples, row by row."""
    labels = sorted({region.label for example in examples for region in example.regions})
    rows = [_row(example, plan, labels) for example in examples]
    parts = [torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)]
    return Table(films, *parts)


def _row(example: Example, plan: Sequence[Channel], labels: Sequence[str]) -> tuple[NDArray[np.float32], ...]:
    boxes = np.zeros((MOST_BOXES, 4), np.float32)
    channels = np.zeros((MOST_BOXES, len(plan)), np.float32)
    agreement, outlined = (np.zeros(MOST_BOXES, np.float32) for _ in range(2))
    disease = np.full(MOST_BOXES, -1, np.int64)
    found = _boxes(example, plan)
    for index, (box, of) in enumerate(found[:MOST_BOXES]):
        boxes[index] = box
        channels[index, list(of)] = 1
        nearest = max(example.regions, key=lambda region: iou(region.box, box))
        agreement[index] = _agreement(example, box)
        outlined[index] = nearest.polygon is not None
        disease[index] = labels.index(nearest.label)
    background = np.array([channel.background(example) for channel in plan], np.float32)
    abnormal = bool(found) or example.status in (Status.UNLOCALISED, Status.ABNORMAL_REPORT)
    trust = _TRUST.get(example.status, 1.0)
    if not found and example.regions:  # tiny regions alone: neither a normal film nor one to find things on
        trust = 0.0
    left_out = [box for box, _ in found[MOST_BOXES:]] + example.too_small
    return (
        boxes, channels, agreement, outlined, disease, background, _raster(example, left_out),
        np.float32(abnormal), np.float32(trust), np.float32(example.status in NEGATIVE),
    )  # type: ignore[return-value]  # numpy scalars stack like arrays  # fmt: skip


def _boxes(example: Example, plan: Sequence[Channel]) -> list[tuple[Box, set[int]]]:
    """Boxes with the channels that are to find them, the largest first."""
    found: dict[Box, set[int]] = {}
    for number, channel in enumerate(plan):
        for box in channel.boxes(example):
            found.setdefault(box, set()).add(number)
    return sorted(found.items(), key=lambda item: -area(item[0]))


def _agreement(example: Example, box: Box) -> float:
    finding = max(example.findings, key=lambda one: iou(one.box, box), default=None)
    return 1.0 if finding is None else finding.agreement


def _raster(example: Example, left_out: Sequence[Box]) -> NDArray[np.uint8]:
    """Outlines where readers drew some; an ellipse where only a box is known, its corners open."""
    mask, known, empty = (Image.new("L", (RASTER, RASTER), fill) for fill in (0, 1, 1))
    draw, draw_known, draw_empty = ImageDraw.Draw(mask), ImageDraw.Draw(known), ImageDraw.Draw(empty)
    for region in example.regions:
        if region.polygon is None:
            x0, y0, x1, y1 = (value * RASTER - 0.5 for value in region.box)
            draw_known.rectangle((x0, y0, x1, y1), fill=0)
            if area(region.box) >= MIN_AREA:
                draw.ellipse((x0, y0, x1, y1), fill=1)
        else:
            draw.polygon([(x * RASTER - 0.5, y * RASTER - 0.5) for x, y in region.polygon], fill=1)
    for box in left_out:
        x0, y0, x1, y1 = box
        outer = (x0 - _MARGIN, y0 - _MARGIN, x1 + _MARGIN, y1 + _MARGIN)
        draw_empty.rectangle([value * RASTER - 0.5 for value in outer], fill=0)
    bits: NDArray[np.uint8] = np.asarray(mask) * ABNORMAL | np.asarray(known) * KNOWN | np.asarray(empty) * EMPTY
    return bits
