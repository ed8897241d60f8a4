"""Random views of a batch: geometry that keeps boxes boxes, blur that no label goes along with, grey scale.

Tensor operations alone, on the films' device. Each function takes the generator that it draws from; None is the
device's own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

#: share of a box that must stay in view for it to count as a finding
_IN_VIEW = 0.4
#: narrowest side of a box that is still a finding, as a share of the film
_NARROWEST = 0.015


class Views(NamedTuple):
    """Where N views lie on their films: film coordinate = scale * view coordinate + shift, in -1..1; x, then y."""

    #: (N, 2); a mirrored view has a negative scale in x
    scale: Tensor
    #: (N, 2)
    shift: Tensor

    def grid(self, height: int, width: int) -> Tensor:
        """(N, height, width, 2) where each point of a view lies on its film, for grid_sample."""
        theta = torch.zeros(len(self.scale), 2, 3, device=self.scale.device)
        theta[:, 0, 0], theta[:, 1, 1] = self.scale[:, 0], self.scale[:, 1]
        theta[:, :, 2] = self.shift
        return functional.affine_grid(theta, [len(theta), 1, height, width], align_corners=False)

    def boxes(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K, 4) boxes of films, clipped to their views; and (N, K) 1 where enough is left of a box."""
        scale, shift = (torch.cat([part, part], 1)[:, None] for part in self)
        moved = ((2 * boxes - 1) - shift) / scale / 2 + 0.5
        low, high = torch.minimum(moved[..., :2], moved[..., 2:]), torch.maximum(moved[..., :2], moved[..., 2:])
        part = torch.cat([low, high], -1).clamp(0, 1)
        sides, whole = part[..., 2:] - part[..., :2], (high - low).prod(-1)
        seen = (sides.amin(-1) > _NARROWEST) & (sides.prod(-1) > _IN_VIEW * whole) & (boxes[..., 2] > boxes[..., 0])
        return part, seen.float()


def random_views(count: int, device: torch.device, generator: torch.Generator | None) -> Views:
    """Mirrored or not, ±20 % in size, ±8 % in aspect, shifted by up to 10 %."""
    random = torch.rand(5, count, device=device, generator=generator) * 2 - 1
    scale, aspect = torch.exp(0.22 * random[0]), torch.exp(0.08 * random[1])
    mirror = torch.where(random[2] < 0, -1.0, 1.0)
    return Views(torch.stack([mirror * scale * aspect, scale / aspect], 1), 0.1 * random[3:].T)


def plain_views(count: int, device: torch.device) -> Views:
    """The films as they are."""
    return Views(torch.ones(count, 2, device=device), torch.zeros(count, 2, device=device))


def look(films: Tensor, views: Views) -> Tensor:
    """(N, 1, H, W) films through their views; black where a view reaches beyond its film."""
    grid = views.grid(films.shape[2], films.shape[3])
    return functional.grid_sample(films, grid, align_corners=False, padding_mode="zeros")


def blur(films: Tensor, share: float, sides: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Bring a share of the films down to a side of `sides` pixels and up again, whatever they show.

    The films at hand differ in size, and size goes along with disease: sharpness must not be a cue.
    """
    size = films.shape[-1]
    random = torch.rand(len(films), 1, 1, 1, device=films.device, generator=generator)
    step = share / max(len(sides), 1)
    for number, side in enumerate(sides):
        if side >= size:
            continue
        small = functional.interpolate(films, (side, side), mode="bilinear", align_corners=False, antialias=True)
        soft = functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)
        films = torch.where((random >= number * step) & (random < (number + 1) * step), soft, films)
    return films


def regrade(films: Tensor, generator: torch.Generator | None) -> Tensor:
    """Another gamma for each film of 0..1: VOI LUTs differ between vendors in curve, not only in window."""
    gamma = torch.exp(0.25 * torch.randn(len(films), 1, 1, 1, device=films.device, generator=generator))
    return films.clamp(0, 1) ** gamma.clamp(0.5, 2)


def jitter(films: Tensor, generator: torch.Generator | None) -> Tensor:
    """Contrast ±12 %, brightness ±0.12 deviations, a little noise: what standardising leaves uncertain."""
    draw = torch.randn(3, len(films), 1, 1, 1, device=films.device, generator=generator)
    grain = torch.randn(films.shape, device=films.device, generator=generator)
    return films * (1 + 0.12 * draw[0]) + 0.12 * draw[1] + (0.06 * draw[2]).clamp(min=0) * grain
