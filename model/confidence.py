"""From raw scores to calibrated confidences: small logistic regressions, fitted on validation films."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from model.fusion import Boxes, Floats
from model.reading import Reading
from model.weights import Calibration

_EDGE = 1e-4

#: what a finding's confidence may depend on
FEATURES = ("score", "mask", "image", "area", "height", "tallness")


def features(reading: Reading) -> NDArray[np.float64]:
    """(K, len(FEATURES)) of each box: logit of its score, mask inside it, the film's logit, size, place, shape."""
    boxes = reading.boxes
    width, height = (boxes.corners[:, 2:] - boxes.corners[:, :2]).astype(np.float64).T
    score = np.clip(boxes.scores.astype(np.float64), _EDGE, 1 - _EDGE)
    mask = np.clip(mask_means(boxes, reading.mask), _EDGE, 1 - _EDGE)
    return np.stack(
        [
            np.log(score / (1 - score)),
            np.log(mask / (1 - mask)),
            np.full(len(score), np.clip(reading.image, -6, 6)),
            np.log(np.maximum(width * height, _EDGE)),
            (boxes.corners[:, 1] + boxes.corners[:, 3]).astype(np.float64) / 2 - 0.5,
            np.log(np.maximum(height, 1e-3) / np.maximum(width, 1e-3)),
        ],
        axis=1,
    )


def mask_means(boxes: Boxes, mask: Floats) -> NDArray[np.float64]:
    """(K,) mean of the mask inside each box, by an integral image."""
    grid = mask.shape[0]
    integral = np.zeros((grid + 1, grid + 1))
    integral[1:, 1:] = mask.cumsum(0, dtype=np.float64).cumsum(1)
    x0, y0 = np.clip(np.floor(boxes.corners[:, :2].T * grid).astype(int), 0, grid - 1)
    x1, y1 = np.clip(np.ceil(boxes.corners[:, 2:].T * grid).astype(int), 1, grid)
    x1, y1 = np.maximum(x1, x0 + 1), np.maximum(y1, y0 + 1)
    sums = integral[y1, x1] - integral[y0, x1] - integral[y1, x0] + integral[y0, x0]
    means: NDArray[np.float64] = sums / ((x1 - x0) * (y1 - y0))
    return means


def finding_confidences(reading: Reading, calibration: Calibration) -> NDArray[np.float64]:
    """(K,) calibrated chance that a reader would have drawn each box."""
    weights = np.array([calibration.finding.get(name, 0.0) for name in FEATURES])
    logits = features(reading) @ weights + calibration.finding_bias
    confidences: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return confidences


def image_score(reading: Reading, calibration: Calibration) -> float:
    """Calibrated chance that the film is abnormal."""
    return logistic(calibration.image * reading.image + calibration.image_bias)


def logistic(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow."""
    return 1 / (1 + math.exp(-max(min(logit, 30.0), -30.0)))


def known(finding: Mapping[str, float]) -> bool:
    """Every feature of a manifest is one that this version computes."""
    return set(finding) <= set(FEATURES)
