"""Calibration: regressions that find what was put in, an operating point that keeps its promise."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.fusion import Boxes
from model.gate import take_gate
from model.reading import Reading
from tests.training.examples import example
from training.calibrate import calibrate, hits, operating_point
from training.datalist import Example, Status
from training.fit_gate import NEGATIVES, _fit
from training.logistic import fit_logistic

BOX = (0.2, 0.2, 0.4, 0.4)


def test_a_regression_finds_what_was_put_in() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(3, [1.0, 5.0], (20000, 2))
    labels = rng.random(20000) < 1 / (1 + np.exp(-(1.5 * x[:, 0] - 0.4 * x[:, 1] - 2)))
    fit = fit_logistic(x, labels)
    assert fit.weights.tolist() == pytest.approx([1.5, -0.4], abs=0.1)
    assert fit.bias == pytest.approx(-2, abs=0.3)
    assert fit.probability(x).mean() == pytest.approx(labels.mean(), abs=0.005)


def reading(*boxes: tuple[float, float, float, float, float], image: float = 0.0) -> Reading:
    table = np.array(boxes, np.float32).reshape(-1, 5)
    mask = np.full((20, 20), 0.1, np.float32)
    return Reading(Boxes(table[:, :4], table[:, 4]), mask, image, np.zeros(320, np.float32))


def test_a_second_box_on_a_finding_is_no_hit() -> None:
    flags, counts = hits(example(BOX), reading((*BOX, 0.9), (*BOX, 0.8), (0.6, 0.6, 0.9, 0.9, 0.7)))
    assert flags.tolist() == [True, False, False]
    assert counts.all()


def test_a_box_on_a_region_too_small_is_fitted_on_neither_side() -> None:
    speck = (0.5, 0.5, 0.52, 0.52)
    flags, counts = hits(example(BOX, speck), reading((*BOX, 0.9), (*speck, 0.8)))
    assert flags.tolist() == [True, False]
    assert counts.tolist() == [True, False]


def films(count: int) -> tuple[list[Example], list[Reading]]:
    """Half abnormal with a good box of high score, half normal with a poor one; some noise."""
    rng = np.random.default_rng(1)
    examples, readings = [], []
    for index in range(count):
        abnormal = index % 2 == 0
        film = example(BOX) if abnormal else example(status=Status.NORMAL)
        examples.append(replace(film, id=str(index), patient=str(index)))
        score, logit = rng.normal(0.6 if abnormal else 0.3, 0.1), rng.normal(1 if abnormal else -1)
        readings.append(reading((*BOX, float(np.clip(score, 0.05, 0.95))), image=float(logit)))
    return examples, readings


def test_confidences_mean_what_they_say() -> None:
    examples, readings = films(400)
    calibrated = calibrate(examples, readings)
    confidences = np.array([boxes[0][1] for boxes, _ in calibrated.crossfitted])
    hit = np.array([bool(film.boxes) for film in examples])
    sure = confidences > 0.8
    assert sure.sum() > 50
    assert hit[sure].mean() == pytest.approx(confidences[sure].mean(), abs=0.06)
    assert calibrated.calibration.finding["score"] > 0
    assert calibrated.calibration.image > 0


def test_the_operating_point_keeps_its_promise() -> None:
    normals = [replace(example(status=Status.NORMAL), id=str(index)) for index in range(4)]
    marks = [([(BOX, confidence)], 0.0) for confidence in (0.1, 0.2, 0.305, 0.8)]
    assert operating_point(normals, marks, allowed=0.25) == pytest.approx(0.31)
    assert operating_point(normals, marks, allowed=0.5) == pytest.approx(0.21)


def test_a_gate_knows_its_own_and_survives_being_stored() -> None:
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(0, 1, (400, 6)), rng.normal(0, 1, (400, 6))
    outside[:, 0] += 8
    gate = _fit(inside, outside)
    scores = [gate.frontal_chest(row) for row in inside]
    assert np.mean(np.array(scores) < 0.5) < 0.03
    assert max(gate.frontal_chest(row) for row in outside[:50]) < 0.5
    # Unlike anything seen on either side: only its distance tells.
    assert gate.frontal_chest(np.array([0, 0, 0, 12.0, -12.0, 12.0])) < 0.5
    again = take_gate(gate.tensors())
    assert again.frontal_chest(inside[0]) == pytest.approx(scores[0], abs=1e-4)


def test_each_negative_differs_from_its_film() -> None:
    film = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    for name, make in NEGATIVES.items():
        wrong = make(film, np.random.default_rng(0))
        assert wrong.shape == film.shape, name
        assert (wrong - film).abs().mean() > 0.05, name
