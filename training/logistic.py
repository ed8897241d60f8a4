"""Logistic regression by Newton's method: enough for a handful of features and for a few hundred."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEPS = 30


class Fit(NamedTuple):
    """Weights on the features as given, and a bias."""

    weights: Array
    bias: float

    def probability(self, features: Array) -> Array:
        """(N,) for (N, F) features."""
        logits = np.clip(features @ self.weights + self.bias, -30, 30)
        probabilities: Array = 1 / (1 + np.exp(-logits))
        return probabilities


def fit_logistic(features: Array, labels: NDArray[np.bool_], ridge: float = 1.0) -> Fit:
    """Least cross-entropy plus ridge/2 times the squared weights of the standardised features."""
    mean, scale = features.mean(0), features.std(0) + 1e-9
    x = np.concatenate([(features - mean) / scale, np.ones((len(features), 1))], axis=1)
    penalty = np.diag([ridge] * features.shape[1] + [1e-6])
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - labels) + penalty @ weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + penalty
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    scaled = weights[:-1] / scale
    return Fit(scaled, float(weights[-1] - scaled @ mean))
