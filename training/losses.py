"""The terms that a network is trained by, each silent where nobody looked."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.network import Heads
from training.targets import Targets

#: a cell whose heat is at least this is a centre
_CENTRE = 0.999


class Terms(NamedTuple):
    """The loss of one batch, by part; scalars with gradient."""

    heat: Tensor
    box: Tensor
    quality: Tensor
    mask: Tensor
    image: Tensor

    def total(self) -> Tensor:
        """What is descended on."""
        return self.heat + 2.0 * self.box + 0.5 * self.quality + self.mask + 0.5 * self.image


def terms(heads: Heads, targets: Targets) -> Terms:
    """All terms of one batch."""
    predicted = boxes_of(heads.distances)
    box, quality = box_terms(predicted, heads.quality[:, 0], targets)
    return Terms(
        heat=heat_term(heads.heat[:, 0], targets),
        box=box,
        quality=quality,
        mask=mask_term(heads.mask[:, 0], targets),
        image=image_term(heads.image, targets),
    )


def boxes_of(distances: Tensor) -> Tensor:
    """(N, 4, h, w) distances to left, top, right, bottom → corners x0, y0, x1, y1, both in cells."""
    _, _, h, w = distances.shape
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    sign = torch.tensor([-1.0, -1.0, 1.0, 1.0])[None, :, None, None]
    return torch.stack([x, y, x, y])[None] + sign * distances


def heat_term(logits: Tensor, targets: Targets) -> Tensor:
    """Penalty-reduced focal loss (CornerNet, arXiv 1808.01244, eq. 1), by the number of centres."""
    probability = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = targets.heat >= _CENTRE
    hit = (1 - probability) ** 2 * probability.log()
    miss = (1 - targets.heat) ** 4 * probability**2 * (1 - probability).log()
    weight = targets.background * targets.trust[:, None, None]
    summed = torch.where(centre, hit, miss * weight).sum()
    return -summed / centre.sum().clamp(min=1)


def box_terms(predicted: Tensor, quality: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """GIoU (arXiv 1902.09630), each box counting once whatever its size; and what the IoU was expected to be."""
    learns = targets.box_weight > 0
    weight = targets.box_weight[learns]
    boxes = weight.sum().clamp(min=1)
    iou, giou = overlaps(predicted.permute(0, 2, 3, 1)[learns], targets.boxes.permute(0, 2, 3, 1)[learns])
    expected = functional.binary_cross_entropy_with_logits(quality[learns], iou.detach(), reduction="none")
    return ((1 - giou) * weight).sum() / boxes, (expected * weight).sum() / boxes


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of (N, 4) boxes, pair by pair."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inner
    outer = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    iou = inner / union.clamp(min=1e-3)
    return iou, iou - (outer - union) / outer.clamp(min=1e-3)


def mask_term(logits: Tensor, targets: Targets) -> Tensor:
    """Cross-entropy and Dice over the cells somebody looked at."""
    weight = targets.mask_weight * targets.trust[:, None, None]
    cross = functional.binary_cross_entropy_with_logits(logits, targets.mask, weight=weight)
    probability = logits.sigmoid() * targets.mask_weight
    inner = (probability * targets.mask).sum((1, 2))
    dice = 1 - (2 * inner + 1) / (probability.sum((1, 2)) + targets.mask.sum((1, 2)) + 1)
    return cross + (dice * (targets.mask.sum((1, 2)) > 0)).sum() / len(logits)


def image_term(logits: Tensor, targets: Targets) -> Tensor:
    """Cross-entropy of abnormal against normal films."""
    return functional.binary_cross_entropy_with_logits(logits, targets.image, weight=targets.trust)
