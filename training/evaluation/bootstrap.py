"""Intervals by drawing patients again: what a figure could have been with other patients of the same hospital.

Every figure is computed from how often each film was drawn. Row 0 draws each film once and is the estimate itself;
the other rows draw as many patients as there are, with replacement, each with all of their films (Efron 1979; the
patient is the unit since the films of one are no independent witnesses). The same rows serve every model that is
measured on the same films, which makes differences paired.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUNDS = 1000
#: the interval's ends, percent
_ENDS = (2.5, 97.5)


class Estimate(NamedTuple):
    """A figure with its 95 % interval; nan where nothing was there to count."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return "–" if np.isnan(self.value) else f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def draws(patients: Sequence[str], rounds: int = ROUNDS, seed: int = 0) -> Floats:
    """(1 + rounds, N): how often each film is drawn in each row; `patients` names the patient of each film."""
    names, index = np.unique(np.asarray(patients, np.str_), return_inverse=True)
    if not len(names):
        return np.ones((1 + rounds, 0))
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), rounds)
    return np.concatenate([np.ones((1, len(index))), counts[:, index].astype(np.float64)])


def estimate(rows: Floats) -> Estimate:
    """The estimate in row 0 with the 2.5th and the 97.5th percentile of the others, undefined ones left out."""
    others = rows[1:][~np.isnan(rows[1:])]
    if np.isnan(rows[0]) or not len(others):
        return Estimate(float(rows[0]), float("nan"), float("nan"))
    low, high = np.percentile(others, _ENDS)
    return Estimate(float(rows[0]), float(low), float(high))


def ratio(drawn: Floats, numerator: Floats, denominator: Floats) -> Floats:
    """(B,) of the sums over films: (N,) `numerator` and (N,) `denominator`; nan where the latter is 0."""
    return divide(drawn @ numerator, drawn @ denominator)


def divide(a: Floats, b: Floats) -> Floats:
    """a / b, nan where b is 0."""
    quotient: Floats = np.divide(a, b, out=np.full(np.broadcast_shapes(a.shape, b.shape), np.nan), where=b != 0)
    return quotient


def p_value(differences: Floats) -> float:
    """Two-sided: twice the share of rows on the rarer side of 0, the estimate itself counted with them."""
    others = differences[1:][~np.isnan(differences[1:])]
    if np.isnan(differences[0]) or not len(others):
        return float("nan")
    rarer = min((others <= 0).sum(), (others >= 0).sum())
    return float(min(1.0, 2 * (rarer + 1) / (len(others) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected for a family of tests (Holm 1979), in the order given; nan stays and counts as no test."""
    p = np.asarray(p_values, np.float64)
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return [float(value) for value in corrected]
