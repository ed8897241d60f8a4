"""What it is all for: the films that one team of radiologists called normal and another marked.

`python -m training.tables perceptual --data ../shared/data/nih --runs runs` on the networks of the study of unseen
diseases that saw everything, each film by the one that has not seen its patient; `--predictions FILE` on one model
and the val split. Beside it, as what may be expected: the same team's marks on the other films.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from training.datalist import Example, Status
from training.evaluation.bootstrap import Estimate, estimate
from training.evaluation.curves import auroc, false_positives, marked, recall
from training.evaluation.matching import Bools, Floats
from training.evaluation.measures import Scored, scored
from training.evaluation.operating import FALSE_PER_NORMAL, crossfitted, folds_of
from training.evaluation.sheet import Cell, Sheet
from training.predictions import Predictions, joined
from training.protocol import clean_normal, fold_of
from training.readers import sentence
from training.tables.runs import Run, by_arm

_NIH = frozenset({"rsna", "chestx-det", "nih-bbox"})


class Disagreement(NamedTuple):
    """Films on which two teams disagreed, and what they are held against."""

    name: str
    overlooked: Callable[[Example], bool]
    #: the same team's marks on films that the other team did not call normal
    expected: Callable[[Example], bool]


def _drew(example: Example, reader: str) -> bool:
    return bool(example.boxes) and any(region.reader == reader for region in example.regions)


def _read(example: Example, *readers: str) -> bool:
    return set(readers) <= example.readers


DISAGREEMENTS = (
    Disagreement(
        "RSNA's radiologists: normal; ChestX-Det's marked it",
        lambda e: e.rsna_class == "Normal" and _drew(e, "chestx-det"),
        lambda e: e.rsna_class not in ("", "Normal") and _drew(e, "chestx-det"),
    ),
    Disagreement(
        "ChestX-Det's readers: no mark; RSNA's marked it",
        lambda e: _read(e, "chestx-det", "rsna") and not _drew(e, "chestx-det") and _drew(e, "rsna"),
        lambda e: _drew(e, "chestx-det") and _drew(e, "rsna"),
    ),
    Disagreement(
        "report: no finding; radiologists marked it",
        lambda e: bool(e.readers & _NIH) and not e.reported and bool(e.boxes),
        lambda e: bool(e.readers & _NIH) and bool(e.reported) and bool(e.boxes),
    ),
)


class Model(NamedTuple):
    """What one model, or several each on its own films, said."""

    predictions: Predictions
    #: confidence from which a box is shown; None: found on the clean normals of other patients
    threshold: float | None = None
    #: whose films were predicted by the same network: the threshold is found for each by itself
    network: Callable[[Example], int] = lambda _: 0


def of_runs(runs: Sequence[Run]) -> dict[str, Model]:
    """Each arm of the study 'unseen' that saw everything: both halves, each by the network trained on the other."""
    seen = [run for run in runs if run.role == "seen" and run.target is None]
    models = {}
    for (arm, seed), pair in by_arm(seen, lambda run: (run.arm, run.seed)).items():
        if {run.fold for run in pair} == {0, 1}:
            name = arm if seed == 0 else f"{arm}, seed {seed}"
            models[name] = Model(joined([r.predictions() for r in pair]), network=lambda e: fold_of(e.patient))
    return models


def perceptual(examples: Sequence[Example], models: Mapping[str, Model]) -> list[Sheet]:
    """One row a model and disagreement, one for the films where the others saw it too, one for clean normals.

    Raises ValueError where there is no model.
    """
    if not models:
        raise ValueError(
            "no network that saw everything has predicted both halves: start them with python -m training.study unseen,"
            " or name one model's --predictions"
        )
    rows: list[tuple[Cell, ...]] = []
    for name, model in models.items():
        known = set(model.predictions.ids)
        films = [e for e in examples if e.id in known and (e.status is Status.LOCALISED or clean_normal(e))]
        of = scored(films, model.predictions)
        at = _thresholds(of, model)
        for case in DISAGREEMENTS:
            for title, test in ((case.name, case.overlooked), ("… not called normal by them", case.expected)):
                rows.append((name, title, *_figures(of, at, np.array([test(e) for e in films], bool))))
        rows.append((name, "clean normals", *_figures(of, at, of.normal)))
    return [
        Sheet(
            title="Perceptual errors: films that one team of radiologists called normal and another marked",
            columns=(
                *("model", "films", "n", "findings", "found", "at IoU ≥ 0.2"),
                *("films with any box", "boxes that hit nothing", "AUROC against clean normals"),
            ),
            rows=tuple(rows),
            notes=(
                "At the operating point: the one given, or the one found on other patients' clean normals at "
                f"{FALSE_PER_NORMAL} boxes each. [95 % interval]: 1,000 bootstraps by patient.",
                "Whether the first team overlooked a finding or the second saw one where there is none is not known: "
                "the table says how often the model sides with the team that marked.",
                *([beside] if (beside := sentence(examples)) else []),
            ),
        )
    ]


def _thresholds(of: Scored, model: Model) -> Floats:
    if model.threshold is not None:
        return np.full(len(of.examples), model.threshold)
    networks, folds = np.array([model.network(e) for e in of.examples]), folds_of(of.examples)
    at = np.full(len(of.examples), np.inf)
    for network in np.unique(networks):
        own = networks == network
        at[own] = crossfitted(of.strict, of.normal & own, folds)[own]
    return at


def _figures(of: Scored, at: Floats, members: Bools) -> tuple[Cell, ...]:
    drawn = of.drawn * members
    findings = int(of.strict.findings_on()[members].sum())
    found = [estimate(recall(outcomes, drawn, at)) if findings else None for outcomes in (of.strict, of.lenient)]
    rank = None if (members & of.normal).any() else _rank(of, members)
    boxes = (marked(of.strict, of.drawn, at, members), false_positives(of.strict, of.drawn, at, members))
    return int(members.sum()), findings, *found, *map(estimate, boxes), rank


def _rank(of: Scored, members: Bools) -> Estimate:
    return estimate(auroc(of.predictions.images.astype(np.float64), members, of.normal, of.drawn))
