"""The gate: upright frontal chests against everything that we can make of them that is none.

Two views of the encoder's pooled features: a logistic regression against self-made negatives (turned, upside
down, inverted, cropped, blank, noise), and the Mahalanobis distance from the positives, for what nobody thought
of. Real negatives (hips, breasts, lateral films) are kept for the tests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from training.dataset import open_film
from training.logistic import fit_logistic

#: share of held-out upright chests that may be declined
FALSE_DECLINES = 0.003
_BATCH = 16
_GREY = 0.5


@dataclass(frozen=True, kw_only=True)
class GateFit:
    """The gate and how it does on films it was not fitted on."""

    gate: Gate
    #: share of upright frontal val films declined
    declined: float
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


def fit_gate(network: LocalizationUNet, train: Sequence[Example], held_out: Sequence[Example], size: int) -> GateFit:
    """Fit on `train`, set the distance's limit on a part of it, measure on `held_out`."""
    network.eval()
    rng = np.random.default_rng(0)
    films = upright(train, size)
    positive = pooled(network, films)
    kinds = list(NEGATIVES.values())
    # Each film makes three of the negatives: enough of each kind, at a third of the time.
    chosen = [rng.choice(len(kinds), 3, replace=False) for _ in range(len(films))]
    wrong = [kinds[k](films[i : i + 1], rng) for i, row in enumerate(chosen) for k in row]
    negative = pooled(network, torch.cat(wrong))
    gate = _fit(positive, negative)
    tests = upright(held_out, size)
    scores = [gate.frontal_chest(row) for row in pooled(network, tests)]
    passed = {
        name: float(np.mean([gate.frontal_chest(row) >= _GREY for row in pooled(network, make(tests[::4], rng))]))
        for name, make in NEGATIVES.items()
    }
    return GateFit(gate=gate, declined=float(np.mean(np.array(scores) < _GREY)), passed=passed)


def _fit(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> Gate:
    mean, scale = positive.mean(0), positive.std(0) + 1e-6
    good, bad = (positive - mean) / scale, (negative - mean) / scale
    fit = fit_logistic(np.concatenate([good, bad]), np.arange(len(good) + len(bad)) < len(good), ridge=10.0)
    # Covariance shrunk towards the identity: 320 features, some thousand films.
    fitted, spared = good[::2], good[1::2]
    covariance = 0.9 * np.cov(fitted.T) + 0.1 * np.eye(good.shape[1])
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    distances = np.sqrt(((spared @ whiten.T) ** 2).mean(1))
    limit = float(np.quantile(distances, 1 - FALSE_DECLINES))
    slack = float(np.median(limit - distances[distances < limit]))
    # The regression's 0.5 moves to where it declines as few of the upright as the distance does.
    logits = good @ fit.weights + fit.bias
    return Gate(
        mean=mean,
        scale=scale,
        weight=fit.weights,
        bias=fit.bias - min(float(np.quantile(logits, FALSE_DECLINES)) - 0.0, 0.0),
        whiten=whiten,
        limit=limit,
        slack=max(slack, 1e-3),
    )
