"""Thresholds found on some films and kept on others, and what was reached there."""

import zlib
from collections.abc import Sequence

import numpy as np

from training.datalist import Example
from training.evaluation.curves import threshold_at
from training.evaluation.matching import Bools, Floats, Ints, Outcomes

#: false positives on a normal film that the operating point allows
FALSE_PER_NORMAL = 0.25
FOLDS = 5


def folds_of(examples: Sequence[Example], folds: int = FOLDS) -> Ints:
    """(N,) the fold of each film, by patient."""
    return np.array([zlib.crc32(example.patient.encode()) % folds for example in examples], np.int64)


def crossfitted(outcomes: Outcomes, normal: Bools, folds: Ints, allowed: float = FALSE_PER_NORMAL) -> Floats:
    """(N,) for each film the lowest threshold with at most `allowed` false positives a normal film of *other* folds."""
    thresholds = np.full(outcomes.films, np.inf)
    for fold in np.unique(folds):
        thresholds[folds == fold] = threshold_at(outcomes, allowed, normal & (folds != fold))
    return thresholds
