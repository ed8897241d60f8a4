"""The gate: upright frontal chests against everything that we can make of them that is none.

Two views of what the network's encoder sees in a film's quarters: a logistic regression against self-made negatives
(`training.negatives`), and the Mahalanobis distance from the positives, for what nobody thought of. Real negatives
(hips, breasts, lateral films) are kept for the tests.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from model.gate import Gate
from model.network import Heads
from model.preprocess import resize, standardise
from training.datalist import Example
from training.dataset import open_film, open_picture
from training.logistic import fit_logistic
from training.negatives import NEGATIVES

#: a network in eval mode, by torch or by ONNX Runtime
Look = Callable[[Tensor], Heads]

#: share of upright chests beyond the distance that the limit is drawn from
FALSE_DECLINES = 0.002
_BATCH = 16
#: the distance that so many are within, times this, is the limit: films of other hospitals lie further out
_MARGIN = 1.15
#: bedside films count this often: they are few and unlike the rest
_REPEAT = 3
#: negatives made of each film
_SPOILT = 3
#: of the films that are held out every so manyth is spoilt in each way, to measure on
_EVERY = 12


@dataclass(frozen=True, kw_only=True)
class GateFit:
    """The gate and how it does on films it was not fitted on."""

    gate: Gate
    #: share of upright frontal films declined, by where they come from
    declined: dict[str, float]
    #: share of each kind of negative, made of val films, that passes
    passed: dict[str, float]


@torch.inference_mode()
def pooled(look: Look, films: Tensor) -> NDArray[np.float64]:
    """(N, P) features of (N, 1, H, W) films in 0..1."""
    parts = [look(standardise(part)).pooled for part in torch.split(films, _BATCH)]
    return torch.cat(parts).double().numpy()


def upright(examples: Sequence[Example], size: int) -> Tensor:
    """(N, 1, size, size) films in 0..1."""
    return torch.stack([resize(open_film(e), size)[0] for e in track(examples, description="gate films")])


def bedside(folder: Path, size: int) -> tuple[Tensor, Tensor]:
    """The pictures of a folder in 0..1, every second to fit on and the others to measure on."""
    paths = sorted(folder.glob("*.jpg"))
    films = torch.stack([resize(open_picture(path), size)[0] for path in track(paths, description="bedside films")])
    return films[::2], films[1::2]


def fit_gate(look: Look, train: Tensor, more: Tensor | None, held_out: Mapping[str, Tensor]) -> GateFit:
    """Fit on films in 0..1, `train` and, where there are any, the bedside films `more`; measure on `held_out`."""
    rng = np.random.default_rng(0)
    positive = np.concatenate([pooled(look, train)] + ([] if more is None else [pooled(look, more)] * _REPEAT))
    kinds = list(NEGATIVES.values())
    # Each film makes some of the negatives: enough of each kind, at a fraction of the time.
    chosen = [rng.choice(len(kinds), _SPOILT, replace=False) for _ in range(len(train))]
    wrong = [kinds[k](train[i : i + 1], rng) for i, row in enumerate(chosen) for k in row]
    gate = _fit(positive, pooled(look, torch.cat(wrong)))
    tests = next(iter(held_out.values()))[::_EVERY]
    return GateFit(
        gate=gate,
        declined={name: 1 - _passing(gate, look, films) for name, films in held_out.items()},
        passed={name: _passing(gate, look, make(tests, rng)) for name, make in NEGATIVES.items()},
    )


def _passing(gate: Gate, look: Look, films: Tensor) -> float:
    return float(np.mean([gate.frontal_chest(row) >= 0.5 for row in pooled(look, films)]))


def _fit(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> Gate:
    mean, scale = positive.mean(0), positive.std(0) + 1e-6
    good, bad = (positive - mean) / scale, (negative - mean) / scale
    fit = fit_logistic(np.concatenate([good, bad]), np.arange(len(good) + len(bad)) < len(good), ridge=3.0)
    # Covariance shrunk towards the identity: 448 features, some thousand films.
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
