"""Trainings as they lie on a disk: a folder each, with `run.json` and `predictions.npz`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.datalist import Example
from training.evaluation.matching import Floats, one_list
from training.predictions import Predictions, load

DESCRIPTION, PREDICTIONS = "run.json", "predictions.npz"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training that has ended, and where its predictions lie."""

    folder: Path
    study: str
    arm: str
    seed: int
    #: the fold held out; None: the val split is
    fold: int | None
    #: what was held back; None: nothing
    target: str | None
    #: seen, left_out or control
    role: str | None
    #: everything that `run.json` says
    facts: Mapping[str, Any]

    def predictions(self) -> Predictions:
        """The boxes of all channels as one list a film. Raises ValueError when the file is damaged."""
        return one_list(load(self.folder / PREDICTIONS))

    def check(self, predictions: Predictions, films: Sequence[Example]) -> None:
        """Raise ValueError where a film is not among the predictions: a study declines none, so something is amiss."""
        absent = {film.id for film in films} - set(predictions.ids)
        if absent:
            raise ValueError(
                f"{self.folder} holds no prediction of {len(absent)} of the {len(films)} films that are measured on, "
                f"{min(absent)} among them: run it again"
            )


def read_runs(folder: Path, study: str) -> list[Run]:
    """The runs of `folder`/`study` that have ended, by name: one without predictions has not.

    Raises ValueError naming a `run.json` that says too little, or two runs of the same training.
    """
    described = sorted((folder / study).glob(f"*/{DESCRIPTION}"))
    runs = [_run(path, study) for path in described if (path.parent / PREDICTIONS).exists()]
    first: dict[tuple[object, ...], Run] = {}
    for run in runs:
        other = first.setdefault((run.arm, run.seed, run.fold, run.target, run.role), run)
        if other is not run:
            raise ValueError(f"{run.folder} and {other.folder} are the same training: keep one of them")
    return runs


def _run(path: Path, study: str) -> Run:
    try:
        facts = json.loads(path.read_text())
        return Run(
            folder=path.parent,
            study=study,
            arm=facts["arm"],
            seed=int(facts["seed"]),
            fold=facts.get("fold"),
            target=facts.get("target"),
            role=facts.get("role"),
            facts=facts,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not describe a run: {error!r}; it needs at least arm and seed") from error


def budget(runs: Sequence[Run]) -> str:
    """What the runs were given, for a table's notes: films, size, epochs, time and device, each as a range."""
    if not runs:
        return "no run"
    words = []
    for key, unit in (("train_films", "training films"), ("size", "px"), ("epochs", "epochs"), ("seconds", "s a run")):
        values = sorted(run.facts[key] for run in runs if run.facts.get(key) is not None)
        if values:
            low, high = (f"{value:,.0f}" for value in (values[0], values[-1]))
            words.append(f"{low} {unit}" if low == high else f"{low}–{high} {unit}")
    devices = sorted({str(run.facts["device"]) for run in runs if run.facts.get("device")})
    return ", ".join(words + ([f"on {' and '.join(devices)}"] if devices else []))


def over_seeds(rows: Sequence[Floats], arm: str) -> Floats:
    """(B, ...) the mean over seeds; in each bootstrap row the seeds too are drawn again, with replacement.

    `rows` holds (B, ...) of each seed. Row 0 is the plain mean. What is drawn depends on the arm, so that two arms
    are no more alike than their seeds make them.
    """
    stacked = np.stack(list(rows))
    seeds, rounds = stacked.shape[:2]
    rng = np.random.default_rng([seeds, rounds, *arm.encode()])
    chosen = rng.integers(0, seeds, (rounds, seeds))
    chosen[0] = np.arange(seeds)
    picked = stacked[chosen, np.arange(rounds)[:, None]]
    return np.asarray(picked.mean(1))


def by_arm(runs: Sequence[Run], key: Callable[[Run], Any] = lambda run: run.arm) -> dict[Any, list[Run]]:
    """The runs under each key, in the order of their seeds."""
    groups: dict[Any, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        groups.setdefault(key(run), []).append(run)
    return groups
