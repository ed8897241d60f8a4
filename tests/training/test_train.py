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
from training.loop import Epoch, Loop
from training.pretrain import films_of, pretraining, save_encoder
from training.pretrain import stage as pretraining_stage
from training.recipe import Recipe, Stage, order, read_recipe, trainable
from training.train import Place, Training, from_scratch


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


LOSSES = {"heat": 1.0, "box": 2.0, "quality": 0.5, "outline": 1.0, "projection": 0.5, "contrast": 0.1, "image": 0.5}
RECIPE = Recipe(seed=3, losses=LOSSES, stages=(stage(), stage(name="96", size=96, epochs=1)))


def fresh() -> LocalizationUNet:
    torch.manual_seed(7)
    return LocalizationUNet(**RECIPE.network)


def on_cpu(folder: Path) -> Place:
    folder.mkdir(exist_ok=True)
    return Place(folder=folder, device=torch.device("cpu"))


@pytest.mark.timeout(120)
def test_stopped_and_resumed_is_the_same_as_uninterrupted(films: list[Example], tmp_path: Path) -> None:
    assert Training(RECIPE, films, on_cpu(tmp_path / "whole"), fresh()).run()
    for stop in (1, 2):
        assert not Training(RECIPE, films, on_cpu(tmp_path / "parts"), fresh()).run(steps=stop)
    assert Training(RECIPE, films, on_cpu(tmp_path / "parts"), fresh()).run()
    for name in ("stage-64.safetensors", "stage-96.safetensors"):
        whole, parts = (load_file(tmp_path / run / name) for run in ("whole", "parts"))
        for key, value in whole.items():
            torch.testing.assert_close(parts[key], value, rtol=0, atol=0, msg=f"{name}: {key}")


def test_a_killed_write_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert checkpoint.load(path) is None
    path.with_suffix(".part").write_bytes(b"half of one")
    assert checkpoint.load(path) is None


def test_two_trainings_in_one_folder_do_not_undo_each_other(films: list[Example], tmp_path: Path) -> None:
    place = on_cpu(tmp_path)
    with checkpoint.alone(tmp_path / "checkpoint.pt"), pytest.raises(checkpoint.Taken, match="another run folder"):
        Training(RECIPE, films, place, fresh()).run(steps=1)
    assert not Training(RECIPE, films, place, fresh()).run(steps=1)


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


@pytest.mark.parametrize("name", ["recipe.json", "recipe_large.json"])
def test_the_recipes_that_ship_are_read(name: str) -> None:
    recipe = read_recipe(Path(__file__).parents[2] / "training" / "configs" / name)
    assert all(stage.size % 32 == 0 for stage in recipe.stages)


def test_a_recipe_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no loss \\['dice'\\]"):
        Recipe(seed=0, losses={"dice": 1.0}, stages=(stage(),))
    with pytest.raises(ValueError, match="no channels 'lungs'"):
        Recipe(seed=0, channels="lungs", stages=(stage(),))


def test_an_epoch_may_end_a_stage(films: list[Example], tmp_path: Path) -> None:
    seen: list[Epoch] = []

    def enough(epoch: Epoch) -> bool:
        seen.append(epoch)
        return epoch.stage == "64"

    place = Place(folder=tmp_path, device=torch.device("cpu"), on_epoch=enough)
    assert Training(RECIPE, films, place, fresh()).run()
    assert [(epoch.stage, epoch.epoch) for epoch in seen] == [("64", 1), ("96", 1)]
    assert set(seen[0].terms) == set(LOSSES)
    assert all(np.isfinite(value) for value in seen[0].terms.values())


def test_pretraining_goes_on_where_it_was(films: list[Example], tmp_path: Path) -> None:
    table = films_of(films, 64, tmp_path, torch.device("cpu"))
    plan = pretraining_stage(64, 2, 2)

    def loop(name: str) -> Loop:
        return pretraining("efficientnet-lite0", table, list(range(len(films))), plan, 0, tmp_path / name)

    whole = loop("whole.pt")
    whole.run()
    half = loop("parts.pt")
    assert half.run(3) == 0
    half.save()
    rest = loop("parts.pt")
    rest.run()
    save_encoder(rest, tmp_path / "encoder.safetensors")
    encoder = load_file(tmp_path / "encoder.safetensors")
    for name, value in whole.objective.encoder.state_dict().items():
        torch.testing.assert_close(encoder[name], value, rtol=0, atol=0, msg=name)


@pytest.mark.data
def test_no_patient_is_in_both_splits(data: Path) -> None:
    examples = read_nih(data / "nih")
    train, val = ({e.patient for e in examples if e.split == split} for split in ("train", "val"))
    assert train
    assert val
    assert not train & val


def test_norms_that_start_from_nothing_say_soon_what_the_weights_need() -> None:
    torch.manual_seed(0)
    shares = []
    for scratch in (False, True):
        network = LocalizationUNet().train()
        if scratch:
            from_scratch(network)
        films = 5 + torch.randn(4, 1, 64, 64)
        with torch.no_grad():
            for _ in range(50):
                network(films)
            wanted = network.encoder.stem[:2](films).mean((0, 2, 3))
        norm = network.encoder.stem[2]
        shares.append(float((norm.running_mean / wanted).mean()))
    assert shares[0] < 0.5
    assert shares[1] == pytest.approx(1, abs=0.02)
