"""The gate: upright frontal chests against everything that we can make of them that is none.

Two views of the encoder's pooled features: a logistic regression against self-made negatives (turned, upside
down, inverted, cropped, blank, noise), and the Mahalanobis distance from the positives, for what nobody thought
of. Real negatives (hips, breasts, lateral films) are kept for the tests.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional

from model.gate import Gate
from model.network import LocalizationUNet
from model.preprocess import resize, standardise
from training.datalist import Example
from training.dataset import open_film, open_picture
from training.logistic import fit_logistic

#: share of upright chests beyond the distance that the limit is drawn from
FALSE_DECLINES = 0.002
_BATCH = 16
_GREY = 0.5


#: the distance that so many are within, times this, is the limit: films of other hospitals lie further out
_MARGIN = 1.5
#: bedside films count this often: they are few and unlike the rest
_REPEAT = 3


@dataclass(frozen=True, kw_only=True)
class GateFit:
    """The gate and how it does on films it was not fitted on."""

    gate: Gate
    #: share of upright frontal films declined, by where they come from
    declined: dict[str, float]
    #: share of each kind of negative, made of val films, that passes
    passed: dict[str, float]


def _crop(x: Tensor, rng: np.random.Generator) -> Tensor:
    size = x.shape[-1]
    side = int(size * rng.uniform(0.25, 0.4))
    top, left = (int(rng.integers(0, size - side)) for _ in range(2))
    part = x[..., top : top + side, left : left + side]
    return functional.interpolate(part, (size, size), mode="bilinear", align_corners=False)


def _noise(x: Tensor, rng: np.random.Generator) -> Tensor:
    side = int(rng.choice([4, 16, 64, x.shape[-1]]))
    grain = torch.from_numpy(rng.standard_normal((len(x), 1, side, side), dtype=np.float32))
    return functional.interpolate(grain, x.shape[-2:], mode="bilinear", align_corners=False) * 0.2 + _GREY


def _blank(x: Tensor, rng: np.random.Generator) -> Tensor:
    slope = torch.linspace(0, float(rng.uniform(0, 1)), x.shape[-1])
    return (x * 0 + slope + _GREY) if rng.random() < 0.5 else x * 0 + _GREY + _noise(x, rng) * 0.01


def _inverted(x: Tensor, _: np.random.Generator) -> Tensor:
    return 1 - x


def _turned(quarters: int) -> Callable[[Tensor, np.random.Generator], Tensor]:
    return lambda x, _: x.rot90(quarters, (2, 3))


#: (N, 1, H, W) upright frontal chests in 0..1 to something that is none
NEGATIVES: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = {
    "turned 90": _turned(1),
    "turned 180": _turned(2),
    "turned 270": _turned(3),
    "upside down": lambda x, _: x.flip(2),
    "inverted": _inverted,
    "inverted, turned 180": lambda x, rng: _inverted(x, rng).rot90(2, (2, 3)),
    "crop": _crop,
    "inverted crop": lambda x, rng: _inverted(_crop(x, rng), rng),
    "noise": _noise,
    "blank": _blank,
}


@torch.inference_mode()
def pooled(network: LocalizationUNet, films: Tensor) -> NDArray[np.float64]:
    """(N, 320) features of (N, 1, H, W) films in 0..1."""
    parts = [network.encoder(standardise(part))[-1].mean((2, 3)) for part in torch.split(films, _BATCH)]
    return torch.cat(parts).double().numpy()


def upright(examples: Sequence[Example], size: int) -> Tensor:
    """(N, 1, size, size) films in 0..1."""
    return torch.stack([resize(open_film(e), size)[0] for e in track(examples, description="gate films")])


def bedside(folder: Path, size: int) -> tuple[Tensor, Tensor]:
    """The pictures of a folder in 0..1, every second to fit on and the others to measure on."""
    paths = sorted(folder.glob("*.jpg"))
    films = torch.stack([resize(open_picture(path), size)[0] for path in track(paths, description="bedside films")])
    return films[::2], films[1::2]


def fit_gate(network: LocalizationUNet, train: Tensor, more: Tensor, held_out: Mapping[str, Tensor]) -> GateFit:
    """Fit on films in 0..1, `train` and the bedside films `more`; measure on `held_out`."""
    network.eval()
    rng = np.random.default_rng(0)
    positive = np.concatenate([pooled(network, train)] + [pooled(network, more)] * _REPEAT)
    kinds = list(NEGATIVES.values())
    # Each film makes two of the negatives: enough of each kind, at a fifth of the time.
    chosen = [rng.choice(len(kinds), 2, replace=False) for _ in range(len(train))]
    wrong = [kinds[k](train[i : i + 1], rng) for i, row in enumerate(chosen) for k in row]
    gate = _fit(positive, pooled(network, torch.cat(wrong)))
    tests = next(iter(held_out.values()))[::4]
    return GateFit(
        gate=gate,
        declined={name: 1 - _passing(gate, network, films) for name, films in held_out.items()},
        passed={name: _passing(gate, network, make(tests, rng)) for name, make in NEGATIVES.items()},
    )


def _passing(gate: Gate, network: LocalizationUNet, films: Tensor) -> float:
    return float(np.mean([gate.frontal_chest(row) >= 0.5 for row in pooled(network, films)]))


def _fit(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> Gate:
    mean, scale = positive.mean(0), positive.std(0) + 1e-6
    good, bad = (positive - mean) / scale, (negative - mean) / scale
    fit = fit_logistic(np.concatenate([good, bad]), np.arange(len(good) + len(bad)) < len(good), ridge=3.0)
    # Covariance shrunk towards the identity: 320 features, some thousand films.
    fitted, spared = good[::2], good[1::2]
    covariance = 0.9 * np.cov(fitted.T) + 0.1 * np.eye(good.shape[1])
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    distances = np.sqrt(((spared @ whiten.T) ** 2).mean(1))
    limit = _MARGIN * float(np.quantile(distances, 1 - FALSE_DECLINES))
    return Gate(
        mean=mean,
        scale=scale,
        weight=fit.weights,
        bias=fit.bias,
        whiten=whiten,
        limit=limit,
        slack=limit - float(np.median(distances)),
    )
