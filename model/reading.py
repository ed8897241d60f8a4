"""The network's word on a film, before calibration: several looks (sizes, mirrored) fused into one reading."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.contract import Film
from model.fusion import Boxes, Floats, fuse, join, suppress
from model.network import Heads
from model.preprocess import resize, standardise

#: most centres taken from one look
_PEAKS = 40


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How often and how a film is looked at, and how the boxes are made into one list."""

    #: sides of the square inputs, pixels; multiples of 32
    sizes: tuple[int, ...]
    #: look at the mirrored film as well
    mirror: bool
    #: share of its width and height that a box keeps: readers draw tighter than the mean of several looks
    box_scale: float
    #: power of the expected box quality in a box's score
    quality_power: float
    #: boxes that overlap more (IoU) are the same finding, averaged
    same: float
    #: of fused boxes that overlap this much (IoU) only the best remains
    suppress: float
    #: centres below this score are dropped
    least: float


class Reading(NamedTuple):
    """Of one film."""

    boxes: Boxes
    #: (g, g) probability that tissue is abnormal, over the whole film
    mask: Floats
    #: logit of the film being abnormal
    image: float
    #: (P,) what the gate looks at, of the first look
    pooled: Floats


def inputs(films: Sequence[Film], sizes: Sequence[int]) -> list[Tensor]:
    """For each size (N, 1, size, size); every film is brought down once, to the largest."""
    largest = max(sizes)
    resized = [resize(film, largest) for film in films]
    pixels = torch.stack([picture for picture, _ in resized])
    masks = [mask for _, mask in resized]
    return [standardise(_shrink(pixels, size), [_shrink_mask(mask, size) for mask in masks]) for size in sizes]


def _shrink(pixels: Tensor, size: int) -> Tensor:
    if pixels.shape[-1] == size:
        return pixels
    return functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)


def _shrink_mask(mask: Tensor | None, size: int) -> Tensor | None:
    return None if mask is None else _shrink(mask[None].float(), size)[0] > 0.5


@torch.inference_mode()
def read(network: Callable[[Tensor], Heads], pictures: Sequence[Tensor], looks: Looks) -> list[Reading]:
    """Readings of N films from their inputs at each size; the network is in eval mode."""
    seen: list[Heads] = []
    for picture in pictures:
        seen.append(network(picture))
        if looks.mirror:
            seen.append(_mirrored(network(picture.flip(3))))
    channels = range(seen[0].heat.shape[1])
    found = [[_peaks(heads, channel, looks) for heads in seen] for channel in channels]
    grid = max(heads.mask.shape[-1] for heads in seen)
    masks = torch.stack([_resample(heads.mask.sigmoid(), grid) for heads in seen]).mean(0).amax(1).cpu().numpy()
    image = torch.stack([heads.image for heads in seen]).mean(0).cpu().numpy()
    pooled = seen[0].pooled.cpu().numpy()
    readings = []
    for film in range(len(pooled)):
        of_channels = [fuse([look[film] for look in found[channel]], looks.same) for channel in channels]
        boxes = suppress(join(of_channels, looks.same), looks.suppress)
        readings.append(Reading(boxes, masks[film], float(image[film]), pooled[film]))
    return readings


def _resample(maps: Tensor, grid: int) -> Tensor:
    if maps.shape[-1] == grid:
        return maps
    return functional.interpolate(maps, (grid, grid), mode="bilinear", align_corners=False)


def _mirrored(heads: Heads) -> Heads:
    """Heads of a mirrored film as those of the film itself: left and right change places."""
    return Heads(
        mask=heads.mask.flip(3),
        heat=heads.heat.flip(3),
        distances=heads.distances.flip(4)[:, :, [2, 1, 0, 3]],
        quality=heads.quality.flip(3),
        image=heads.image,
        pooled=heads.pooled,
        features=heads.features.flip(3),
    )


def _peaks(heads: Heads, channel: int, looks: Looks) -> list[Boxes]:
    """The boxes at the local maxima of each film's heat in one channel."""
    heat = heads.heat[:, channel : channel + 1].sigmoid()
    score = heat * heads.quality[:, channel : channel + 1].sigmoid() ** looks.quality_power
    tops = torch.where(heat == functional.max_pool2d(heat, 3, 1, 1), score, 0.0).flatten(1)
    values, cells = tops.topk(min(_PEAKS, tops.shape[1]))
    grid = heads.heat.shape[-1]
    edges = heads.distances[:, channel].flatten(2).gather(2, cells[:, None].expand(-1, 4, -1)).transpose(1, 2)
    x, y = cells % grid + 0.5, cells.div(grid, rounding_mode="floor") + 0.5
    corners = torch.stack([x, y, x, y], 2) + edges * edges.new_tensor([-1.0, -1.0, 1.0, 1.0])
    centre = (corners[..., :2] + corners[..., 2:]) / 2
    half = (corners[..., 2:] - corners[..., :2]) * (looks.box_scale / 2)
    corners = torch.cat([centre - half, centre + half], 2)
    fractions = (corners / grid).clamp(0, 1).cpu().numpy()
    scores = values.cpu().numpy()
    return [
        Boxes(corner[keep], score[keep])
        for corner, score in zip(fractions, scores, strict=True)
        for keep in [np.flatnonzero((score >= looks.least) & _has_area(corner))]
    ]


def _has_area(corners: Floats) -> Floats:
    wide: Floats = (corners[:, 2:] - corners[:, :2]).min(1) > 1e-3
    return wide
