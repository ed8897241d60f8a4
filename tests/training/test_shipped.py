"""The packaged model through the node's predictor: what is measured is what the node would say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from model.weights import describe
from training.datalist import Status, read_nih
from training.evaluate import shipped

CONFIGS = Path(__file__).parents[2] / "training" / "configs"


def test_the_weights_that_ship_are_what_the_recipe_and_the_export_say() -> None:
    packaged = json.loads((describe(None).folder / "manifest.json").read_text())
    assert packaged["recipe"] == json.loads((CONFIGS / "recipe.json").read_text())
    settings = json.loads((CONFIGS / "export.json").read_text())
    for key in ("name", "version", "family", "input_size", "looks", "floor", "gate", "data"):
        assert packaged[key] == settings[key], key


def test_a_declined_film_is_one_without_findings(data: Path, tmp_path: Path) -> None:
    localised = (e for e in read_nih(data / "nih") if e.status is Status.LOCALISED and e.width == 512)
    film = next(e for e in localised if e.split == "val")
    noise = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8)).save(noise)
    measured = shipped(None, [film, replace(film, id="noise", path=noise)])

    boxes, nothing = measured.predictions.boxes
    assert len(boxes) > 0
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    assert len(nothing) == 0
    assert measured.predictions.images[1] < measured.predictions.images[0]
    assert measured.threshold == describe(None).manifest.operating_point
    assert set(measured.covers) == {film.id, "noise"}
    assert measured.covers["noise"].boxes == (0.0, 0.0)
    assert 0 <= measured.covers[film.id].boxes[1] <= measured.covers[film.id].boxes[0] <= 1
