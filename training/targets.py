"""What the heads should say of a view: centre heat, boxes, mask, and where nobody knows.

Heat and box weights are TTFNet's (arXiv 1909.00700): a Gaussian as large as the box.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.augment import Views
from training.table import ABNORMAL, EMPTY, KNOWN, Table

#: a box's Gaussian has this share of the box as six standard deviations
_ALPHA = 0.54
#: cells where the Gaussian exceeds this learn the box
_LEARNS_BOX = 0.1
#: a film whose findings have all left the view: how far it is still believed to be abnormal
_OUT_OF_VIEW = 0.3


class Targets(NamedTuple):
    """N views on a grid of h by w cells; K boxes, C channels."""

    #: (N, C, h, w) 0..1; 1 at the cell of each centre, scaled down where readers disagree
    heat: Tensor
    #: (N, C, h, w) how many centres lie in a cell: 0 or 1
    centre: Tensor
    #: (N, C, 4, h, w) x0, y0, x1, y1 of the box that a cell should give; cells
    cell_boxes: Tensor
    #: (N, C, h, w) weight of a cell's box; the cells of one box sum to about 1
    box_weight: Tensor
    #: (N, C, h, w) weight of background in the heat: 0 where nobody looked
    background: Tensor
    #: (N, h, w) 0 or 1
    mask: Tensor
    #: (N, h, w) weight of a cell in the mask's loss: 0 where nobody knows
    mask_weight: Tensor
    #: (N, K, 4) x0, y0, x1, y1 of the boxes in view; cells
    boxes: Tensor
    #: (N, K) 1: the box is in view
    seen: Tensor
    #: (N, K, C), (N, K), (N, K), (N, K): as in `Table`
    channels: Tensor
    agreement: Tensor
    outlined: Tensor
    disease: Tensor
    #: (N,) how far the mask's silence beyond the boxes is believed
    empty: Tensor
    #: (N,) 1: abnormal
    abnormal: Tensor
    #: (N,) how far that is believed
    trust: Tensor
    #: (N,) 1: nothing abnormal on the film
    normal: Tensor


def targets(films: Table, index: Tensor, views: Views, grid: int) -> Targets:
    """Targets of the views of the films at `index` (N,), for a square grid of `grid` cells a side."""
    boxes, seen = views.boxes(films.boxes[index])
    boxes = boxes * grid
    channels, agreement = films.channels[index], films.agreement[index]
    wanted = channels * seen[..., None]
    gaussian, centre = _gaussians(boxes, grid)
    spread = torch.einsum("nkhw,nkc->nckhw", gaussian, wanted)
    heat = (spread * agreement[:, None, :, None, None]).amax(2)
    cell_boxes, box_weight = _box_targets(boxes, spread)
    background, mask, mask_weight, empty = _raster(films, index, views, grid)
    lost = (wanted.amax((1, 2)) == 0) & (films.boxes[index, :, 2].amax(1) > 0)
    return Targets(
        heat=heat,
        centre=torch.einsum("nkhw,nkc->nchw", centre, wanted).clamp(max=1),
        cell_boxes=cell_boxes,
        box_weight=box_weight,
        background=background,
        mask=mask,
        mask_weight=mask_weight,
        boxes=boxes,
        seen=seen,
        channels=channels,
        agreement=agreement,
        outlined=films.outlined[index],
        disease=films.disease[index],
        empty=empty,
        abnormal=films.abnormal[index],
        trust=films.trust[index] * torch.where(lost, _OUT_OF_VIEW, 1.0),
        normal=films.normal[index],
    )


def _gaussians(boxes: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """(N, K, h, w) a Gaussian as large as each box, 1 at its centre's cell; and that cell alone."""
    cells = torch.arange(grid, device=boxes.device) + 0.5
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
    deviation = (sides * _ALPHA / 6).clamp(min=0.5)
    middle = ((boxes[..., :2] + boxes[..., 2:]) / 2).clamp(max=grid - 1).floor() + 0.5
    off = cells[None, None, None] - middle[..., None]
    falls = torch.exp(-(off**2) / (2 * deviation[..., None] ** 2))
    at = (off.abs() < 0.5).float()
    return falls[:, :, 1, :, None] * falls[:, :, 0, None, :], at[:, :, 1, :, None] * at[:, :, 0, None, :]


def _box_targets(boxes: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, 4, h, w) and (N, C, h, w): of boxes that claim one cell the smallest, which stands last."""
    learns = spread > _LEARNS_BOX
    share = torch.where(learns, spread, 0.0)
    share = share / share.sum((3, 4), keepdim=True).clamp(min=1e-6)
    count = boxes.shape[1]
    rank = torch.arange(1, count + 1, device=boxes.device)[None, None, :, None, None]
    last = (learns * rank).amax(2, keepdim=True)
    which = (last - 1).clamp(min=0)
    weight = torch.where(last > 0, share.gather(2, which), 0.0)[:, :, 0]
    n, c, _, h, w = share.shape
    chosen = which[:, :, 0].reshape(n, -1)
    cell_boxes = boxes.gather(1, chosen[..., None].expand(-1, -1, 4)).reshape(n, c, h, w, 4)
    return cell_boxes.permute(0, 1, 4, 2, 3), weight


def _raster(films: Table, index: Tensor, views: Views, grid: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    bits = films.raster[index]
    layers = torch.stack([(bits & bit).float() / bit for bit in (ABNORMAL, KNOWN, EMPTY)], 1)
    # what lies beyond the film is black: known, and nothing
    layers = torch.cat([layers[:, :1], layers[:, 1:] - 1], 1)
    seen = functional.grid_sample(layers, views.grid(grid, grid), align_corners=False, padding_mode="zeros")
    mask, known, empty = (seen[:, 0] > 0.5).float(), (seen[:, 1] > -0.5).float(), (seen[:, 2] > -0.5).float()
    believed = films.background[index]
    background = believed[:, :, None, None] * empty[:, None]
    of_mask = believed[:, 0]
    weight = torch.where(mask > 0, 1.0, known * empty * of_mask[:, None, None])
    return background, mask, weight, of_mask
