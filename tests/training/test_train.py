"""A training that is stopped goes on as if it had not been; on films drawn here."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from model.network import LocalizationUNet
from training import checkpoint
from training.datalist import Example, read_nih
from training.recipe import Recipe, Stage, order, read_recipe, trainable
from training.train import Training


@pytest.fixture
def films(tmp_path: Path) -> list[Example]:
    """Eight small films with their annotations: bright squares are the findings."""
    rng = np.random.default_rng(0)
    rows = []
    for index in range(8):
        grey = rng.integers(40, 120, (64, 64), dtype=np.uint8)
        abnormal = index % 2 == 0
        if abnormal:
            grey[16:32, 24:40] = 230
        Image.fromarray(grey).save(tmp_path / f"{index}.png")
        region = {"label": "Mass", "reader": "chestx-det", "box": [24 / 64, 0.25, 40 / 64, 0.5]}
        rows.append(
            {
                "id": str(index),
                "file": f"{index}.png",
                "patient": str(index),
                "width": 64,
                "view": "PA",
                "age": 50,
                "split": "train",
                "status": "abnormal_localised" if abnormal else "normal",
                "annotators": ["chestx-det"],
                "regions": [region] if abnormal else [],
            }
        )
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    return trainable(read_nih(tmp_path))


def stage(**changed: object) -> Stage:
    plan = {"name": "64", "size": 64, "epochs": 2, "batch": 4, "learning_rate": 1e-3, "report_share": 1.0}
    return Stage(**plan | {"small_share": 1.0, "blur_share": 0.5, "blur_sides": (32,)} | changed)  # type: ignore[arg-type]  # each key is checked by Stage


RECIPE = Recipe(seed=3, stages=(stage(), stage(name="96", size=96, epochs=1)))


def fresh() -> LocalizationUNet:
    torch.manual_seed(7)
    return LocalizationUNet()


@pytest.mark.timeout(120)
def test_stopped_and_resumed_is_the_same_as_uninterrupted(films: list[Example], tmp_path: Path) -> None:
    assert Training(RECIPE, films, tmp_path / "whole", fresh()).run()
    for stop in (1, 2):
        assert not Training(RECIPE, films, tmp_path / "parts", fresh()).run(steps=stop)
    assert Training(RECIPE, films, tmp_path / "parts", fresh()).run()
    for name in ("stage-64.safetensors", "stage-96.safetensors"):
        whole, parts = (load_file(tmp_path / run / name) for run in ("whole", "parts"))
        for key, value in whole.items():
            torch.testing.assert_close(parts[key], value, rtol=0, atol=0, msg=f"{name}: {key}")


def test_a_killed_write_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert checkpoint.load(path) is None
    path.with_suffix(".part").write_bytes(b"half of one")
    assert checkpoint.load(path) is None


def test_an_epoch_is_the_same_each_time_it_is_asked_for(films: list[Example]) -> None:
    first = order(films, RECIPE, 0, 0)
    assert first == order(films, RECIPE, 0, 0)
    assert sorted(first) == list(range(8))
    assert first != order(films, RECIPE, 0, 1)
    fewer = Recipe(seed=3, stages=(stage(small_share=0.0),))
    assert order(films, fewer, 0, 0) == []


def test_children_and_wrong_boxes(tmp_path: Path, films: list[Example]) -> None:
    rows = json.loads((tmp_path / "annotations.json").read_text())
    rows[0]["age"] = 15
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    assert len(read_nih(tmp_path)) == len(films) - 1
    rows[2]["regions"][0]["box"] = [0.5, 0.5, 0.4, 0.6]
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"row 2 .*not inside the image"):
        read_nih(tmp_path)
    del rows[2]["split"]
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"row 2 .*split"):
        read_nih(tmp_path)


def test_the_recipes_that_ship_are_read() -> None:
    for path in (Path(__file__).parents[2] / "training" / "configs").glob("train*.json"):
        recipe = read_recipe(path)
        assert all(stage.size % 32 == 0 for stage in recipe.stages)


@pytest.mark.data
def test_no_patient_is_in_both_splits(data: Path) -> None:
    examples = read_nih(data / "nih")
    train, val = ({e.patient for e in examples if e.split == split} for split in ("train", "val"))
    assert train
    assert val
    assert not train & val
