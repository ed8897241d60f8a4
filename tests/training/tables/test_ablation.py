"""The ablation: what an arm finds is what its row says, and a part that brings nothing is said to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.tables.conftest import ELSEWHERE, PLACE, Said, film, said
from training.datalist import Example
from training.evaluation.bootstrap import Estimate
from training.tables.ablation import STEPS, ablation, verdict
from training.tables.runs import budget, over_seeds, read_runs

FILMS = [film(n, "Mass" if n % 2 else None, width=512 if n % 3 else 128) for n in range(120)]
FACTS = {"train_films": 100, "size": 64, "epochs": 2, "seconds": 3.0, "device": "cpu"}


def finds(share: float) -> Callable[[Example], Said]:
    """A network that finds the mass on this share of the films, and marks no normal."""

    def of(one: Example) -> Said:
        number = int(one.id.split()[1])
        there = bool(one.boxes)
        return ([(PLACE if (number // 2) % 10 < share * 10 else ELSEWHERE, 0.9)] if there else []), float(there)

    return of


def write(leave: Callable[..., Path], arm: str, shares: list[float]) -> Path:
    for seed, share in enumerate(shares):
        folder = leave("ablation", f"{arm}-{seed}", said(FILMS, finds(share)), arm=arm, seed=seed, **FACTS)
    return folder


def test_each_part_is_told_from_nothing_or_not(leave: Callable[..., Path]) -> None:
    write(leave, "plain", [0.2, 0.2, 0.2])
    write(leave, "transfer", [0.8, 0.9, 0.8])
    write(leave, "contrastive", [0.9, 0.8, 0.8])
    runs = read_runs(write(leave, "box_loss", [0.3, 0.3]), "ablation")
    arms, steps, others = ablation(FILMS, runs)

    rows = {row[0]: dict(zip(arms.columns, row, strict=True)) for row in arms.rows}
    assert list(rows) == ["plain", "transfer", "contrastive", "box_loss"]
    assert rows["plain"]["sensitivity at 1"].value == pytest.approx(0.2)
    assert rows["transfer"]["sensitivity at 1"].value == pytest.approx((0.8 + 0.9 + 0.8) / 3)
    assert rows["plain"]["AUROC"].value == 1.0
    assert rows["box_loss"]["seeds"] == 2
    assert "100 training films, 64 px, 2 epochs, 3 s a run, on cpu" in arms.notes[2]
    assert "box_loss seed 2" in arms.notes[-1]

    said_of = {row[0]: dict(zip(steps.columns, row, strict=True)) for row in steps.rows}
    claims = {part: row["at 1 an image it brings"] for part, row in said_of.items()}
    assert claims == {
        "ImageNet weights": "a gain",
        "contrastive stage": "nothing",
        "box loss instead of filled boxes": "a loss",
    }
    assert said_of["ImageNet weights"]["p (Holm)"] < 0.01
    assert sum(note.startswith("Not there") for note in steps.notes) == len(STEPS) - 3

    by_films = {row[0]: dict(zip(others.columns, row, strict=True)) for row in others.rows}
    assert by_films["plain"]["128 px"].value == pytest.approx(0.2, abs=0.1)
    assert "64 px" not in others.columns


def test_no_run_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"python -m training\.study ablation"):
        ablation(FILMS, read_runs(tmp_path, "ablation"))


def test_a_run_that_has_not_ended_is_no_run(leave: Callable[..., Path]) -> None:
    runs = write(leave, "plain", [0.2, 0.2])
    (runs / "ablation" / "plain-1" / "predictions.npz").unlink()
    assert [run.seed for run in read_runs(runs, "ablation")] == [0]
    (runs / "ablation" / "plain-0" / "run.json").write_text('{"seed": 0}')
    with pytest.raises(ValueError, match=r"plain-0/run\.json does not describe a run: KeyError\('arm'\)"):
        read_runs(runs, "ablation")
    assert budget([]) == "no run"


def test_a_run_on_other_films_is_named(leave: Callable[..., Path]) -> None:
    runs = read_runs(leave("ablation", "plain-0", said(FILMS[:50], finds(0.5)), arm="plain"), "ablation")
    with pytest.raises(ValueError, match=r"plain-0 holds no prediction of 70 of the 120 films"):
        ablation(FILMS, runs)


def test_the_same_training_twice_is_refused(leave: Callable[..., Path]) -> None:
    write(leave, "plain", [0.2])
    runs = leave("ablation", "again", said(FILMS, finds(0.5)), arm="plain", seed=0)
    with pytest.raises(ValueError, match="are the same training: keep one of them"):
        read_runs(runs, "ablation")


@pytest.mark.parametrize(
    ("change", "p", "word"),
    [
        (Estimate(0.1, 0.05, 0.2), 0.01, "a gain"),
        (Estimate(-0.1, -0.2, -0.05), 0.01, "a loss"),
        (Estimate(0.1, 0.01, 0.2), 0.2, "a gain before correction only"),
        (Estimate(0.1, -0.01, 0.2), 0.2, "nothing"),
        (Estimate(float("nan"), float("nan"), float("nan")), float("nan"), "–"),
    ],
)
def test_what_may_be_claimed(change: Estimate, p: float, word: str) -> None:
    assert verdict(change, p) == word


def test_the_mean_over_seeds_is_as_uncertain_as_the_seeds() -> None:
    alike = [np.full(1001, 0.5)] * 3
    apart = [np.full(1001, value) for value in (0.3, 0.5, 0.7)]
    assert np.ptp(over_seeds(alike, "a")) == 0
    rows = over_seeds(apart, "a")
    assert rows[0] == pytest.approx(0.5)
    # Of three seeds drawn three times: standard deviation of one over the root of three.
    assert rows[1:].std() == pytest.approx(np.std([0.3, 0.5, 0.7]) / np.sqrt(3), rel=0.1)
    assert not np.allclose(rows, over_seeds(apart, "b"))
    assert over_seeds([np.ones((1001, 2))], "a").shape == (1001, 2)
