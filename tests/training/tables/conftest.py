"""Runs on a disk as a study leaves them, made of films whose outcomes are known."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.examples import example
from training.datalist import Box, Example, Status
from training.evaluation.matching import corners
from training.predictions import Predictions, save

PLACE, ELSEWHERE = (0.2, 0.2, 0.4, 0.4), (0.6, 0.6, 0.9, 0.9)
#: of one film: boxes with scores, best first, and the image's logit
Said = tuple[list[tuple[Box, float]], float]


def film(number: int, label: str | None, **facts: object) -> Example:
    """A film of val with one region of this kind, or a clean normal; patients are numbered like films."""
    made = example(PLACE, labels=(label,)) if label else example(status=Status.NORMAL, readers=("rsna",))
    return replace(made, **{"id": f"film {number}", "patient": f"patient {number}", "split": "val", **facts})


def said(films: Sequence[Example], of: Callable[[Example], Said]) -> Predictions:
    rows = [of(one) for one in films]
    return Predictions(
        ids=tuple(one.id for one in films),
        boxes=tuple(corners([box for box, _ in boxes]).astype(np.float32) for boxes, _ in rows),
        scores=tuple(np.array([score for _, score in boxes], np.float32) for boxes, _ in rows),
        channels=tuple(np.zeros(len(boxes), np.int8) for boxes, _ in rows),
        images=np.array([logit for _, logit in rows], np.float32),
    )


@pytest.fixture
def leave(tmp_path: Path) -> Callable[..., Path]:
    """Write a run's folder; gives the folder of all runs."""

    def write(study: str, name: str, predictions: Predictions, **facts: object) -> Path:
        folder = tmp_path / "runs" / study / name
        folder.mkdir(parents=True)
        save(predictions, folder / "predictions.npz")
        whole = {"study": study, "seed": 0, "fold": None, "target": None, "role": None, **facts}
        (folder / "run.json").write_text(json.dumps(whole))
        return tmp_path / "runs"

    return write
