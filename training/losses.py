"""The terms that a network is trained by, each silent where nobody looked."""

import torch
from torch import Tensor
from torch.nn import functional

from model.network import Heads
from training.targets import Targets

#: values that no logarithm minds
_EDGE = 1e-4


def boxes_of(distances: Tensor) -> Tensor:
    """(N, C, 4, h, w) distances to left, top, right, bottom → corners x0, y0, x1, y1, both in cells."""
    h, w = distances.shape[-2:]
    x = (torch.arange(w, device=distances.device) + 0.5).expand(h, w)
    y = (torch.arange(h, device=distances.device) + 0.5)[:, None].expand(h, w)
    middle = torch.stack([x, y], 0)
    return torch.cat([middle - distances[:, :, :2], middle + distances[:, :, 2:]], 2)


def heat_term(logits: Tensor, targets: Targets) -> Tensor:
    """Penalty-reduced focal loss (CornerNet, arXiv 1808.01244, eq. 1), by the number of centres.

    Where readers disagree the centre's cell is worth their share (a soft target): so much of a hit, the rest of
    a miss.
    """
    probability = logits.float().sigmoid().clamp(_EDGE, 1 - _EDGE)
    share = targets.heat
    hit = (1 - probability) ** 2 * probability.log()
    miss = probability**2 * (1 - probability).log()
    at_centre = share * hit + (1 - share) * miss
    elsewhere = (1 - share) ** 4 * miss * targets.background * targets.trust[:, None, None, None]
    summed = torch.where(targets.centre > 0, at_centre, elsewhere).sum()
    return -summed / targets.centre.sum().clamp(min=1)


def box_terms(distances: Tensor, quality: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """GIoU (arXiv 1902.09630), each box counting once whatever its size; and what the IoU was expected to be."""
    weight = targets.box_weight
    boxes = weight.sum().clamp(min=1)
    iou, giou = overlaps(boxes_of(distances.float()), targets.cell_boxes)
    expected = functional.binary_cross_entropy_with_logits(quality.float(), iou.detach(), reduction="none")
    return ((1 - giou) * weight).sum() / boxes, (expected * weight).sum() / boxes


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes (N, C, 4, h, w), pair by pair: (N, C, h, w)."""
    inner = (torch.minimum(a[:, :, 2:], b[:, :, 2:]) - torch.maximum(a[:, :, :2], b[:, :, :2])).clamp(min=0).prod(2)
    union = (a[:, :, 2:] - a[:, :, :2]).prod(2) + (b[:, :, 2:] - b[:, :, :2]).prod(2) - inner
    outer = (torch.maximum(a[:, :, 2:], b[:, :, 2:]) - torch.minimum(a[:, :, :2], b[:, :, :2])).clamp(min=0).prod(2)
    iou = inner / union.clamp(min=1e-3)
    return iou, iou - (outer - union) / outer.clamp(min=1e-3)


def outline_term(logits: Tensor, targets: Targets) -> Tensor:
    """Cross-entropy and Dice of the mask (N, 1, h, w) against outlines, over the cells somebody looked at."""
    return _cross_and_dice(logits[:, 0].float(), targets.mask, targets.mask_weight * targets.trust[:, None, None])


def filled_boxes(targets: Targets) -> Tensor:
    """(N, K, h, w) 1 inside each box in view."""
    h, w = targets.mask.shape[-2:]
    x0, y0, x1, y1 = (edge[..., None] for edge in targets.boxes.unbind(-1))
    x, y = (torch.arange(side, device=x0.device) + 0.5 for side in (w, h))
    across = ((x > x0) & (x < x1)).float() * targets.seen[..., None]
    down = ((y > y0) & (y < y1)).float()
    return down[..., :, None] * across[..., None, :]


def filled_term(logits: Tensor, targets: Targets) -> Tensor:
    """Cross-entropy and Dice of the masks (N, M, h, w) against filled boxes: what teaches rectangles.

    M is 1, or one mask a channel.
    """
    filled = filled_boxes(targets)
    if logits.shape[1] == 1:
        wanted = filled.amax(1, keepdim=True)
        believed = targets.background[:, :1]
    else:
        wanted = (filled[:, :, None] * targets.channels[..., None, None]).amax(1)
        believed = targets.background
    weight = torch.where(wanted > 0, 1.0, believed) * targets.trust[:, None, None, None]
    return _cross_and_dice(logits.flatten(0, 1).float(), wanted.flatten(0, 1), weight.flatten(0, 1))


def _cross_and_dice(logits: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Of N masks (N, h, w); the Dice of those alone where something is wanted."""
    cross = functional.binary_cross_entropy_with_logits(logits, wanted, weight=weight)
    probability = logits.sigmoid() * (weight > 0)
    inner = (probability * wanted).sum((1, 2))
    dice = 1 - (2 * inner + 1) / (probability.sum((1, 2)) + wanted.sum((1, 2)) + 1)
    something = (wanted.sum((1, 2)) > 0).float()
    return cross + (dice * something).sum() / something.sum().clamp(min=1)


def image_term(heads: Heads, targets: Targets) -> Tensor:
    """Cross-entropy of abnormal against normal films."""
    return functional.binary_cross_entropy_with_logits(heads.image.float(), targets.abnormal, weight=targets.trust)
