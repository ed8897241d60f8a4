"""Diseases never seen: recall on a disease by trainings that had it, had not, or had as many other films less.

The protocol stands in `training.protocol`. Two halves of the patients, each measured by the network trained on the
other, or one of them where the trainings for the other are not all there; a threshold is found for each network on
the clean normals of its half, in each bootstrap row again, so that all are compared at equal false positives on
normal films. A box counts whatever channel says it: of a net with one channel a disease, another disease's will do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.arms import UNSEEN
from training.datalist import Example
from training.evaluation.bootstrap import divide, draws
from training.evaluation.curves import auroc, hits_at
from training.evaluation.matching import Bools, Floats, match, truth_of
from training.predictions import Predictions
from training.protocol import TARGETS, measured
from training.tables.runs import Run, over_seeds

FOLDS = (0, 1)
ROLES = ("seen", "left_out", "control")
#: bootstrap rows; of a thousand no p could be below 1/20 once it is corrected for as many tests as are made here
ROUNDS = 4000
#: false positives a normal film at which recall is told, and how they are written
POINTS: Mapping[float, str] = {0.25: "1/4", 1.0: "1"}


@dataclass(frozen=True, kw_only=True)
class Half:
    """The films of one fold that a target is measured on."""

    examples: tuple[Example, ...]
    #: (N,) clean normals
    normal: Bools
    #: (G,) the findings that are the target
    target: Bools
    #: (B, N)
    drawn: Floats


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One arm in one role on one target; mean over seeds."""

    #: (B, P) recall at POINTS
    recall: Floats
    #: (B, P) the same when every film with the target has the boxes of another such film, what is found by chance;
    #: asked of `left_out` alone
    chance: Floats | None
    #: (B,) films with the target against clean normals, mean of the halves
    auroc: Floats


@dataclass(frozen=True, kw_only=True)
class Results:
    """All of the study that could be measured."""

    #: (target, arm, role)
    measured: Mapping[tuple[str, str, str], Measured]
    #: target → films that show it, findings that are it, clean normals
    counts: Mapping[str, tuple[int, int, int]]


def folds_of(runs: Sequence[Run]) -> tuple[int, ...]:
    """The halves to measure on: those for which no training is missing that the other one has."""
    done = {fold: {(run.arm, run.target, run.role, run.seed) for run in runs if run.fold == fold} for fold in FOLDS}
    most = set().union(*done.values())
    return tuple(fold for fold in FOLDS if done[fold] == most) or FOLDS


def halves(examples: Sequence[Example], target: str, folds: Sequence[int]) -> list[Half]:
    """The halves of `folds`, their patients drawn together."""
    pairs = [measured(examples, fold, target) for fold in folds]
    films = [[*shown, *normals] for shown, normals in pairs]
    drawn = draws([example.patient for half in films for example in half], ROUNDS)
    parts = np.split(drawn, np.cumsum([len(half) for half in films[:-1]]), axis=1)
    return [
        Half(
            examples=tuple(half),
            normal=np.arange(len(half)) >= len(shown),
            target=np.array([bool(f.labels & TARGETS[target]) for e in half for f in e.findings], bool),
            drawn=part,
        )
        for half, (shown, _), part in zip(films, pairs, parts, strict=True)
    ]


def of_networks(of: Sequence[Half], predictions: Sequence[Predictions], by_chance: bool) -> Measured:
    """One network a half."""
    here = [part.on([e.id for e in half.examples]) for half, part in zip(of, predictions, strict=True)]
    ranks = [
        auroc(part.images.astype(np.float64), ~half.normal, half.normal, half.drawn)
        for half, part in zip(of, here, strict=True)
    ]
    return Measured(
        recall=_recall(of, here),
        chance=_recall(of, [exchanged(part, ~half.normal) for half, part in zip(of, here, strict=True)])
        if by_chance
        else None,
        auroc=np.mean(ranks, axis=0),
    )


def _recall(of: Sequence[Half], predictions: Sequence[Predictions]) -> Floats:
    hits, total = [], []
    for half, here in zip(of, predictions, strict=True):
        outcomes = match(here, [truth_of(example) for example in half.examples])
        hits.append(hits_at(outcomes, half.drawn, list(POINTS), counted=half.normal, of=half.target))
        total.append(half.drawn @ outcomes.findings_on(half.target))
    return divide(np.sum(hits, axis=0), np.sum(total, axis=0)[:, None])


def exchanged(predictions: Predictions, films: Bools) -> Predictions:
    """The boxes of `films` (N,) handed on among them in a ring of random order; all else as it was."""
    ring = np.random.default_rng(0).permutation(np.flatnonzero(films))
    source = np.arange(len(films))
    source[ring] = np.roll(ring, 1)
    return replace(
        predictions,
        boxes=tuple(predictions.boxes[index] for index in source),
        scores=tuple(predictions.scores[index] for index in source),
        channels=tuple(predictions.channels[index] for index in source),
    )


def find(runs: Sequence[Run], arm: str, target: str, role: str) -> list[list[Run]]:
    """A run a half, for each seed that has all of them; `seen` may be shared by targets (`target` None)."""
    found = []
    folds = folds_of(runs)
    for seed in sorted({run.seed for run in runs}):
        pair = [_one(runs, (arm, role, seed, fold), target) for fold in folds]
        complete = [run for run in pair if run is not None]
        if len(complete) == len(folds):
            found.append(complete)
    return found


def _one(runs: Sequence[Run], key: tuple[str, str, int, int], target: str) -> Run | None:
    fitting = [run for run in runs if (run.arm, run.role, run.seed, run.fold) == key]
    own = [run for run in fitting if run.target == target]
    shared = [run for run in fitting if run.target is None and run.role == "seen"]
    return next(iter(own + shared), None)


def arms_of(runs: Sequence[Run]) -> list[str]:
    """The arms there are, known ones first."""
    names = {run.arm for run in runs}
    return [arm for arm in UNSEEN if arm in names] + sorted(names - UNSEEN.keys())


def measure(examples: Sequence[Example], runs: Sequence[Run]) -> Results:
    """Everything whose runs are there."""
    results, counts = {}, {}
    # A network that saw everything serves several targets: read once.
    shared = {run.folder: run.predictions() for run in runs if run.target is None}
    for target in TARGETS:
        of = halves(examples, target, folds_of(runs))
        normals = sum(int(half.normal.sum()) for half in of)
        findings = sum(int(half.target.sum()) for half in of)
        counts[target] = (sum(len(half.examples) for half in of) - normals, findings, normals)
        for arm in arms_of(runs):
            for role in ROLES:
                seeds = [
                    of_networks(
                        of,
                        [_predictions(run, half, shared) for run, half in zip(pair, of, strict=True)],
                        by_chance=role == "left_out",
                    )
                    for pair in find(runs, arm, target, role)
                ]
                if seeds:
                    results[target, arm, role] = _mean(seeds, arm + role)
    return Results(measured=results, counts=counts)


def _predictions(run: Run, half: Half, shared: Mapping[Path, Predictions]) -> Predictions:
    predictions = shared[run.folder] if run.target is None else run.predictions()
    run.check(predictions, half.examples)
    return predictions


def _mean(seeds: Sequence[Measured], name: str) -> Measured:
    chances = [one.chance for one in seeds if one.chance is not None]
    return Measured(
        recall=over_seeds([one.recall for one in seeds], name),
        chance=over_seeds(chances, name) if chances else None,
        auroc=over_seeds([one.auroc for one in seeds], name),
    )
