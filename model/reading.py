"""The network's word on a film, before calibration: several looks (sizes, mirrored) fused into one reading."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.contract import Film
from model.fusion import Boxes, Floats, fuse, join, suppress
from model.network import Heads
from model.preprocess import resize, standardise

#: most centres taken from one look
_PEAKS = 40
#: a box narrower than this share of its film is none
_NARROW = 1e-3


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


class Seen(NamedTuple):
    """What L looks at N films saw, float32 on the network's device; no map is larger than the network's own."""

    #: (N, L, C, K, 5) of each look and channel the K best cells: x0, y0, x1, y1 as fractions of the film, and score
    boxes: Tensor
    #: (N, g, g) probabilities, the mean of all looks
    mask: Tensor
    #: (N,) logits, the mean of all looks
    image: Tensor
    #: (N, P) of the first look
    pooled: Tensor


class _Look(NamedTuple):
    """Heads of one look at N films, float32, left and right as on the films."""

    mask: Tensor
    heat: Tensor
    distances: Tensor
    quality: Tensor
    image: Tensor
    pooled: Tensor


def read(network: Callable[[Tensor], Heads], pictures: Sequence[Tensor], looks: Looks) -> list[Reading]:
    """Readings of N films from their inputs at each size; the network is in eval mode."""
    return readings(look(network, pictures, looks), looks)


@torch.inference_mode()
def look(network: Callable[[Tensor], Heads], pictures: Sequence[Tensor], looks: Looks) -> Seen:
    """All looks at N films.

    A CUDA graph can hold it: nothing waits for the device, and nothing is fetched from the host, which an index by a
    list or a choice between a tensor and a number would do.
    """
    taken = [one for picture in pictures for one in _looks(network, picture, mirror=looks.mirror)]
    grid = max(one.mask.shape[-1] for one in taken)
    return Seen(
        boxes=torch.stack([_peaks(one, looks) for one in taken], 1),
        mask=torch.stack([_resample(one.mask.sigmoid(), grid) for one in taken]).mean(0).amax(1),
        image=torch.stack([one.image for one in taken]).mean(0),
        pooled=taken[0].pooled,
    )


def readings(seen: Seen, looks: Looks) -> list[Reading]:
    """Of each film what its looks saw, made into one."""
    films = zip(*(part.cpu().numpy() for part in seen), strict=True)
    return [Reading(_fused(boxes, looks), mask, float(image), pooled) for boxes, mask, image, pooled in films]


def _looks(network: Callable[[Tensor], Heads], picture: Tensor, *, mirror: bool) -> list[_Look]:
    """The looks at films of one size; their mirror images lie in the same batch."""
    if not mirror:
        return [_taken(network(picture), slice(None))]
    heads, films = network(torch.cat([picture, picture.flip(3)])), len(picture)
    return [_taken(heads, slice(films)), _mirrored(_taken(heads, slice(films, None)))]


def _taken(heads: Heads, films: slice) -> _Look:
    return _Look(*(getattr(heads, name)[films].float() for name in _Look._fields))


def _mirrored(look: _Look) -> _Look:
    """A look at a mirrored film as one at the film itself: left and right change places."""
    left, top, right, bottom = look.distances.flip(4).unbind(2)
    return look._replace(
        mask=look.mask.flip(3),
        heat=look.heat.flip(3),
        distances=torch.stack([right, top, left, bottom], 2),
        quality=look.quality.flip(3),
    )


def _resample(maps: Tensor, grid: int) -> Tensor:
    if maps.shape[-1] == grid:
        return maps
    return functional.interpolate(maps, (grid, grid), mode="bilinear", align_corners=False)


def _peaks(look: _Look, looks: Looks) -> Tensor:
    """(N, C, K, 5): boxes and scores at the local maxima of each channel's heat."""
    heat, grid = look.heat.sigmoid(), look.heat.shape[-1]
    score = heat * look.quality.sigmoid() ** looks.quality_power
    tops = (score * (heat == functional.max_pool2d(heat, 3, 1, 1))).flatten(2)
    values, cells = tops.topk(min(_PEAKS, tops.shape[2]))
    edges = look.distances.flatten(3).gather(3, cells[:, :, None].expand(-1, -1, 4, -1))
    left, top, right, bottom = edges.unbind(2)
    x, y = cells % grid + 0.5, cells.div(grid, rounding_mode="floor") + 0.5
    corners = torch.stack([x - left, y - top, x + right, y + bottom], 3)
    centre = (corners[..., :2] + corners[..., 2:]) / 2
    half = (corners[..., 2:] - corners[..., :2]) * (looks.box_scale / 2)
    fractions = (torch.cat([centre - half, centre + half], 3) / grid).clamp(0, 1)
    return torch.cat([fractions, values[..., None]], 3)


def _fused(boxes: Floats, looks: Looks) -> Boxes:
    """The list of one film's boxes from (L, C, K, 5)."""
    of_channels = [fuse([_kept(look, looks.least) for look in channel], looks.same) for channel in boxes.swapaxes(0, 1)]
    return suppress(join(of_channels, looks.same), looks.suppress)


def _kept(boxes: Floats, least: float) -> Boxes:
    corners, scores = boxes[:, :4], boxes[:, 4]
    kept = (scores >= least) & ((corners[:, 2:] - corners[:, :2]).min(1) > _NARROW)
    return Boxes(corners[kept], scores[kept])
