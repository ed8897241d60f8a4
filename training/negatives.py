"""What is no upright frontal chest, made of films that are one: turned, inverted, cut, stretched, laid on itself.

Half a chest stretched to a film and two halves laid on each other stand in for the lateral view, in which the lungs
are projected onto each other; bands and columns for films of the neck, the abdomen or the spine alone.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

#: (N, 1, H, W) upright frontal chests in 0..1 to something that is none, at random
Spoil = Callable[[Tensor, np.random.Generator], Tensor]

_GREY = 0.5


def _stretched(x: Tensor, rows: tuple[float, float], columns: tuple[float, float]) -> Tensor:
    """A part of the films, named by fractions, over all of the picture."""
    height, width = x.shape[-2:]
    top, bottom = (int(edge * height) for edge in rows)
    left, right = (int(edge * width) for edge in columns)
    return functional.interpolate(x[..., top:bottom, left:right], (height, width), mode="bilinear", align_corners=False)


def _span(rng: np.random.Generator, least: float, most: float) -> tuple[float, float]:
    length = rng.uniform(least, most)
    first = rng.uniform(0, 1 - length)
    return first, first + length


def _crop(x: Tensor, rng: np.random.Generator) -> Tensor:
    side = rng.uniform(0.25, 0.4)
    top, left = rng.uniform(0, 1 - side, 2)
    return _stretched(x, (top, top + side), (left, left + side))


def _half(x: Tensor, rng: np.random.Generator) -> Tensor:
    width = rng.uniform(0.42, 0.55)
    return _stretched(x, (0, 1), (0, width) if rng.random() < 0.5 else (1 - width, 1))


def _overlaid(x: Tensor, rng: np.random.Generator) -> Tensor:
    middle = int(x.shape[-1] * rng.uniform(0.46, 0.54))
    width = min(middle, x.shape[-1] - middle)
    left, right = x[..., middle - width : middle], x[..., middle : middle + width]
    share = rng.uniform(0.35, 0.65)
    merged = share * left + (1 - share) * (right.flip(3) if rng.random() < 0.7 else right)
    merged = merged.flip(3) if rng.random() < 0.5 else merged
    return functional.interpolate(merged, x.shape[-2:], mode="bilinear", align_corners=False)


def _band(x: Tensor, rng: np.random.Generator) -> Tensor:
    return _stretched(x, _span(rng, 0.35, 0.5), (0, 1))


def _column(x: Tensor, rng: np.random.Generator) -> Tensor:
    return _stretched(x, (0, 1), _span(rng, 0.3, 0.45))


def _aslant(x: Tensor, rng: np.random.Generator) -> Tensor:
    angle = np.deg2rad(rng.choice([-1, 1]) * rng.uniform(40, 75))
    turn = torch.tensor([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]).float()
    grid = functional.affine_grid(turn.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def _noise(x: Tensor, rng: np.random.Generator) -> Tensor:
    side = int(rng.choice([4, 16, 64, x.shape[-1]]))
    grain = torch.from_numpy(rng.standard_normal((len(x), 1, side, side), dtype=np.float32))
    return functional.interpolate(grain, x.shape[-2:], mode="bilinear", align_corners=False) * 0.2 + _GREY


def _blank(x: Tensor, rng: np.random.Generator) -> Tensor:
    slope = torch.linspace(0, float(rng.uniform(0, 1)), x.shape[-1])
    return (x * 0 + slope + _GREY) if rng.random() < 0.5 else x * 0 + _GREY + _noise(x, rng) * 0.01


def _inverted(x: Tensor, _: np.random.Generator) -> Tensor:
    return 1 - x


def _turned(quarters: int) -> Spoil:
    return lambda x, _: x.rot90(quarters, (2, 3))


NEGATIVES: Mapping[str, Spoil] = MappingProxyType(
    {
        "turned 90": _turned(1),
        "turned 180": _turned(2),
        "turned 270": _turned(3),
        "aslant": _aslant,
        "upside down": lambda x, _: x.flip(2),
        "inverted": _inverted,
        "inverted, turned 180": lambda x, rng: _inverted(x, rng).rot90(2, (2, 3)),
        "crop": _crop,
        "inverted crop": lambda x, rng: _inverted(_crop(x, rng), rng),
        "half": _half,
        "halves overlaid": _overlaid,
        "band": _band,
        "column": _column,
        "noise": _noise,
        "blank": _blank,
    }
)
