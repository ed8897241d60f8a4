"""Does a film look like an upright frontal chest? Asked of the encoder's pooled features, in two ways.

A logistic regression knows chests that are turned, upside down, inverted or cut; the Mahalanobis distance from
the training films (arXiv 1807.03888) turns away what is unlike all of them. The lesser of the two counts.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.confidence import logistic
from model.contract import ModelError

_PREFIX = "gate."


class Gate(NamedTuple):
    """F pooled features: standardised, then judged."""

    #: (F,)
    mean: NDArray[np.float64]
    #: (F,)
    scale: NDArray[np.float64]
    #: (F,) of the regression
    weight: NDArray[np.float64]
    bias: float
    #: (F, F) makes the training films' features uncorrelated
    whiten: NDArray[np.float64]
    #: root mean square of the whitened features from which a film is too far away
    limit: float
    #: distance below the limit at which a film is beyond doubt
    slack: float

    def frontal_chest(self, pooled: NDArray[np.floating]) -> float:
        """0..1 for one film's (F,) features; 0.5 is where a film is declined."""
        standardised = (pooled.astype(np.float64) - self.mean) / self.scale
        distance = float(np.sqrt(((self.whiten @ standardised) ** 2).mean()))
        near = logistic(4.0 * (self.limit - distance) / self.slack)
        return min(near, logistic(float(standardised @ self.weight) + self.bias))

    def tensors(self) -> dict[str, Tensor]:
        """To be stored among the weights."""
        return {
            _PREFIX + name: torch.from_numpy(np.asarray(value, np.float32).reshape(np.shape(value) or (1,)))
            for name, value in self._asdict().items()
        }


def take_gate(tensors: dict[str, Tensor]) -> Gate:
    """Take the gate's tensors out of a model's. Raises ModelError when they are not there."""
    return Gate(
        mean=_take(tensors, "mean"),
        scale=_take(tensors, "scale"),
        weight=_take(tensors, "weight"),
        bias=float(_take(tensors, "bias")[0]),
        whiten=_take(tensors, "whiten"),
        limit=float(_take(tensors, "limit")[0]),
        slack=float(_take(tensors, "slack")[0]),
    )


def _take(tensors: dict[str, Tensor], name: str) -> NDArray[np.float64]:
    try:
        value: NDArray[np.float64] = tensors.pop(_PREFIX + name).double().numpy()
    except KeyError as error:
        raise ModelError(f"the weights have no {_PREFIX}{name}: this model has no gate") from error
    return value
