"""Box supervision of a mask that does not teach rectangles: shadows of each box, emptiness outside, a least fill.

A box says where a lesion's shadows on the two axes begin and end, and that nothing lies beyond; it does not say
that its corners are ill. Mask-to-box projection is WeakPolyp's (arXiv 2307.10912) and, before it, BoxInst's
(arXiv 2012.02310); both project the whole picture, which breaks where there are several boxes: two diagonal ones
cast the shadows of four. Here each box casts its own.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.losses import filled_boxes
from training.targets import Targets

#: share of its sides by which a box is widened on each side: shadows must end in this margin
_MARGIN = 0.2
#: a row's shadow is the mean of so many of its highest cells: one bright cell is no tissue
_HIGHEST = 3
#: of the shadows' Dice, in cells; a nodule's shadow is two or three cells long
_SMOOTH = 0.1
#: share of a box that its lesion fills at least; readers' outlines fill 0.59 of theirs on average
_LEAST_FILL = 0.45


class Projection(NamedTuple):
    """The parts of the loss; scalars with gradient."""

    #: 1 - Dice of the two shadows of each box, each box counting once whatever its size, by readers' agreement
    shadow: Tensor
    #: cross-entropy outside all boxes, where somebody looked
    emptiness: Tensor
    #: squared lack of fill
    fill: Tensor

    def total(self) -> Tensor:
        """What is descended on."""
        return self.shadow + self.emptiness + 2.0 * self.fill


def projection(logits: Tensor, targets: Targets, counts: Tensor | None = None) -> Projection:
    """Of the mask (N, 1, h, w); `counts` (N, K) are the boxes that count here, without it all in view."""
    logits = logits[:, 0].float()
    probability = logits.sigmoid()
    weight = targets.seen * targets.agreement * (1.0 if counts is None else counts)
    inside = filled_boxes(targets)
    wide = _widened(targets)
    others = (inside.sum(1, keepdim=True) - inside > 0).float()
    # in its margin a box must not be blamed for its neighbour
    own = wide * torch.maximum(inside, 1 - others)
    shadow = sum(_shadow(probability, own, inside, wide, axis) for axis in (2, 3)) / 2
    boxes = weight.sum().clamp(min=1)
    cells = inside.sum((2, 3)).clamp(min=1)
    filled = (probability[:, None] * inside).sum((2, 3)) / cells
    lack = functional.relu(_LEAST_FILL - filled) ** 2
    return Projection(
        shadow=(shadow * weight).sum() / boxes,
        emptiness=_emptiness(logits, wide.amax(1), targets),
        fill=(lack * weight).sum() / boxes,
    )


def _widened(targets: Targets) -> Tensor:
    """(N, K, h, w) 1 inside each box and its margin, at least a cell wide."""
    low, high = targets.boxes[..., :2], targets.boxes[..., 2:]
    margin = ((high - low) * _MARGIN).clamp(min=1)
    return filled_boxes(targets._replace(boxes=torch.cat([low - margin, high + margin], -1)))


def _shadow(probability: Tensor, own: Tensor, inside: Tensor, wide: Tensor, axis: int) -> Tensor:
    """(N, K) 1 - Dice of what each box's part of the mask casts along `axis`, against what the box casts."""
    lit = probability[:, None] * own
    # a nodule is narrower than that at times
    width = inside.sum(axis).amax(2, keepdim=True).clamp(1, _HIGHEST)
    cast = (lit.topk(_HIGHEST, dim=axis).values.sum(axis) / width).clamp(max=1) * wide.amax(axis)
    wanted = inside.amax(axis)
    return 1 - (2 * (cast * wanted).sum(2) + _SMOOTH) / ((cast**2).sum(2) + wanted.sum(2) + _SMOOTH)


def _emptiness(logits: Tensor, boxed: Tensor, targets: Targets) -> Tensor:
    weight = (1 - boxed) * (targets.background[:, 0] * targets.trust[:, None, None])
    summed = (functional.softplus(logits) * weight).sum((1, 2))
    return (summed / weight.sum((1, 2)).clamp(min=1)).mean()
