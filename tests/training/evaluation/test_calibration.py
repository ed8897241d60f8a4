"""Operating points that are found on other patients, and confidences against what came true."""

import numpy as np
import pytest

from training.evaluation.matching import Outcomes
from training.evaluation.operating import crossfitted
from training.evaluation.reliability import reliability


def false_boxes(scores: list[float]) -> Outcomes:
    """One false box a film, films by falling score."""
    return Outcomes(
        score=np.array(scores),
        film=np.arange(len(scores)),
        finding=np.full(len(scores), -1),
        film_of_finding=np.zeros(0, np.int64),
        films=len(scores),
    )


def test_a_film_never_helps_to_find_its_own_threshold() -> None:
    outcomes = false_boxes([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    folds = np.array([0, 1] * 4)
    at = crossfitted(outcomes, np.ones(8, bool), folds, allowed=0.25)
    # Of the other fold's four normals one may be marked: the threshold lies just above the second.
    assert at[folds == 0] == pytest.approx(0.6)
    assert at[folds == 1] == pytest.approx(0.7)
    assert np.isinf(crossfitted(outcomes, np.zeros(8, bool), folds)).all()


def test_reliability_by_hand() -> None:
    confidence = np.array([0.05, 0.15, 0.18, 0.95, 1.0])
    true = np.array([False, True, False, True, True])
    film = np.array([0, 0, 1, 1, 1])
    of = reliability(confidence, true, film, np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]]))
    assert of.statements[0].tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0, 2]
    assert of.said[0, 1] == pytest.approx(0.165)
    assert of.true[0, 1] == 0.5
    assert np.isnan(of.true[0, 4])
    assert of.error[0] == pytest.approx((0.05 + 2 * abs(0.165 - 0.5) + 2 * (1 - 0.975)) / 5)
    # Only the first film, twice.
    assert of.error[1] == pytest.approx((0.05 + 0.85) / 2)
    assert np.isnan(of.error[2])
