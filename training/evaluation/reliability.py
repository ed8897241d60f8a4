"""Do confidences mean what they say: reliability curve and expected calibration error (Guo et al., 1706.04599)."""

from typing import NamedTuple

import numpy as np

from training.evaluation.bootstrap import Floats, divide
from training.evaluation.matching import Bools, Ints

BINS = 10


class Reliability(NamedTuple):
    """Of K statements in bins of equal width, for each of B bootstrap rows; nan where a bin is empty."""

    #: (B, BINS) mean confidence
    said: Floats
    #: (B, BINS) share that came true
    true: Floats
    #: (B, BINS) statements
    statements: Floats
    #: (B,) mean distance between the two, by statements
    error: Floats


def reliability(confidence: Floats, true: Bools, film: Ints, drawn: Floats) -> Reliability:
    """For (K,) statements in 0..1, each on a film; `drawn` is (B, N)."""
    place = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    sums = np.zeros((3, drawn.shape[1], BINS))
    for part, value in zip(sums, (np.ones_like(confidence), confidence, true.astype(np.float64)), strict=True):
        np.add.at(part, (film, place), value)
    count, said, came = (drawn @ part for part in sums)
    error = divide(np.abs(said - came).sum(1), count.sum(1))
    return Reliability(divide(said, count), divide(came, count), count, error)
