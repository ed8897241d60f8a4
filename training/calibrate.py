"""Confidences from raw scores, on the val split: fitted on all of it, measured across folds of patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.confidence import FEATURES, features
from model.reading import Reading
from model.weights import Calibration
from training.datalist import Example, Status
from training.evaluate import Marks, marks_of
from training.evaluation.curves import false_positives
from training.evaluation.matching import STRICT, match, match_film, truth_of
from training.evaluation.operating import FALSE_PER_NORMAL, FOLDS, folds_of
from training.logistic import Fit, fit_logistic
from training.predictions import of_boxes


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """The calibration, and what it is worth on films it was not fitted on."""

    calibration: Calibration
    #: one a film: boxes with confidence, image score; each film by a fit that has not seen its patient
    crossfitted: list[Marks]
    operating_point: float


def calibrate(examples: Sequence[Example], readings: Sequence[Reading]) -> Calibrated:
    """Fit both regressions."""
    folds = folds_of(examples)
    crossfitted: list[Marks] = [([], 0.0)] * len(examples)
    for fold in range(FOLDS):
        finding = _fit_findings(examples, readings, folds != fold)
        image = _fit_image(examples, readings, folds != fold)
        for index in np.flatnonzero(folds == fold).tolist():
            crossfitted[index] = _marks(readings[index], finding, image)
    finding, image = (fit(examples, readings, folds >= 0) for fit in (_fit_findings, _fit_image))
    calibration = Calibration(
        finding=dict(zip(FEATURES, map(float, finding.weights), strict=True)),
        finding_bias=finding.bias,
        image=float(image.weights[0]),
        image_bias=image.bias,
    )
    return Calibrated(
        calibration=calibration,
        crossfitted=crossfitted,
        operating_point=operating_point(examples, crossfitted),
    )


def operating_point(examples: Sequence[Example], marks: Sequence[Marks], allowed: float = FALSE_PER_NORMAL) -> float:
    """The least confidence, in hundredths, with at most `allowed` boxes on a normal film."""
    predictions = of_boxes([example.id for example in examples], [boxes for boxes, _ in marks])
    outcomes = match(predictions, [truth_of(example) for example in examples])
    normal, once = np.array([e.status is Status.NORMAL for e in examples], bool), np.ones((1, len(examples)))
    for hundredths in range(5, 95):
        if false_positives(outcomes, once, hundredths / 100, normal)[0] <= allowed:
            return hundredths / 100
    return 0.95


def _marks(reading: Reading, finding: Fit, image: Fit) -> Marks:
    boxes, _ = marks_of(reading)
    confidences = finding.probability(features(reading))
    score = image.probability(np.array([[reading.image]]))
    return [(box, float(c)) for (box, _), c in zip(boxes, confidences, strict=True)], float(score[0])


def _fit_findings(examples: Sequence[Example], readings: Sequence[Reading], use: NDArray[np.bool_]) -> Fit:
    x, y = [], []
    for example, reading, used in zip(examples, readings, use, strict=True):
        if used and len(reading.boxes.scores):
            hit, counts = hits(example, reading)
            x.append(features(reading)[counts])
            y.append(hit[counts])
    return fit_logistic(np.concatenate(x), np.concatenate(y))


def hits(example: Example, reading: Reading) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(K,) which boxes hit a finding that no better box has hit, and which count: not those on a region too small."""
    which, ignored = match_film(reading.boxes.corners.astype(np.float64), truth_of(example), STRICT)
    return which >= 0, ~ignored


def _fit_image(examples: Sequence[Example], readings: Sequence[Reading], use: NDArray[np.bool_]) -> Fit:
    rows = [
        (reading.image, bool(example.boxes))
        for example, reading, used in zip(examples, readings, use, strict=True)
        if used and (example.boxes or example.status is Status.NORMAL)
    ]
    return fit_logistic(np.array([[logit] for logit, _ in rows]), np.array([label for _, label in rows]))
