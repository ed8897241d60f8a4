"""Random views of a batch: geometry that keeps boxes boxes, blur that no label goes along with, grey scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.datalist import Box, Polygon, area

#: share of a box that must stay in view for it to count as a finding
_IN_VIEW = 0.4
#: narrowest side of a box that is still a finding, as a share of the film
_NARROWEST = 0.02


@dataclass(frozen=True, kw_only=True)
class View:
    """Where a random view lies on its film: film coordinate = scale * view coordinate + shift, in -1..1."""

    scale: tuple[float, float]
    shift: tuple[float, float]

    def to_view(self, point: tuple[float, float]) -> tuple[float, float]:
        """A point of the film in fractions, in fractions of the view."""
        x, y = (
            ((2 * value - 1) - shift) / scale / 2 + 0.5
            for value, scale, shift in zip(point, self.scale, self.shift, strict=True)
        )
        return x, y

    def box(self, box: Box) -> Box | None:
        """The part of a box in view, or None where too little of it is left."""
        (ax, ay), (bx, by) = self.to_view(box[:2]), self.to_view(box[2:])
        whole = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
        part = (max(whole[0], 0.0), max(whole[1], 0.0), min(whole[2], 1.0), min(whole[3], 1.0))
        if min(part[2] - part[0], part[3] - part[1]) <= _NARROWEST or area(part) <= _IN_VIEW * area(whole):
            return None
        return part

    def polygon(self, polygon: Polygon) -> Polygon:
        """An outline, in fractions of the view; it may reach outside."""
        return tuple(self.to_view(point) for point in polygon)


IDENTITY = View(scale=(1.0, 1.0), shift=(0.0, 0.0))


def random_view(rng: np.random.Generator) -> View:
    """Mirrored or not, ±20 % in size, ±8 % in aspect, shifted by up to 10 %."""
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    scale, aspect = math.exp(rng.uniform(-0.2, 0.2)), math.exp(rng.uniform(-0.08, 0.08))
    shift_x, shift_y = rng.uniform(-0.1, 0.1, 2)
    return View(scale=(mirror * scale * aspect, scale / aspect), shift=(float(shift_x), float(shift_y)))


def look(films: Tensor, views: Sequence[View]) -> Tensor:
    """(N, 1, H, W) films through their views; black where a view reaches beyond its film."""
    theta = torch.zeros(len(views), 2, 3)
    for row, view in zip(theta, views, strict=True):
        row[0, 0], row[1, 1] = view.scale
        row[0, 2], row[1, 2] = view.shift
    grid = functional.affine_grid(theta, list(films.shape), align_corners=False)
    return functional.grid_sample(films, grid, align_corners=False, padding_mode="zeros")


def blur(films: Tensor, rng: np.random.Generator, share: float, sides: Sequence[int]) -> Tensor:
    """Bring a share of the films down to a side of `sides` pixels and up again, whatever they show.

    The films at hand differ in size, and size goes along with disease: sharpness must not be a cue.
    """
    size = films.shape[-1]
    chosen = np.where(rng.random(len(films)) < share, rng.choice(sides, len(films)), size)
    films = films.clone()
    for side in sides:
        which = torch.from_numpy(np.flatnonzero(chosen == side))
        if side < size and len(which):
            small = functional.interpolate(
                films[which], size=(side, side), mode="bilinear", align_corners=False, antialias=True
            )
            films[which] = functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    return films


def regrade(films: Tensor, rng: np.random.Generator) -> Tensor:
    """Another gamma for each film of 0..1: VOI LUTs differ between vendors in curve, not only in window."""
    gamma = torch.from_numpy(np.exp(rng.normal(0, 0.25, len(films))).clip(0.5, 2.0)).float()
    return films.clamp(0, 1) ** gamma[:, None, None, None]


def jitter(films: Tensor, rng: np.random.Generator) -> Tensor:
    """Contrast ±12 %, brightness ±0.12 deviations, a little noise: what standardising leaves uncertain."""
    n = len(films)
    contrast = torch.from_numpy(1 + 0.12 * rng.standard_normal((n, 1, 1, 1))).float()
    brightness = torch.from_numpy(0.12 * rng.standard_normal((n, 1, 1, 1))).float()
    noise = torch.from_numpy(np.maximum(rng.normal(0, 0.06, (n, 1, 1, 1)), 0)).float()
    grain = torch.from_numpy(rng.standard_normal(films.shape, dtype=np.float32))
    return films * contrast + brightness + noise * grain
