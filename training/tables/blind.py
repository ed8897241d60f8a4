"""Baselines that see no picture: what a model must be better than.

`python -m training.tables blind --data ../shared/data/nih`: the same few boxes on every film, where findings of the
train split most often are; and who was filmed how (view, size of the picture, age, sex) as an image score.
"""

from collections.abc import Sequence

import numpy as np

from training.datalist import Box, Example
from training.evaluation.bootstrap import Estimate, estimate
from training.evaluation.curves import POINTS, auroc, sensitivity
from training.evaluation.groups import comparable, comparable_normal, evaluated, primary
from training.evaluation.matching import LENIENT, STRICT, Bools, Floats, corners, overlaps
from training.evaluation.measures import Scored, pointing, scored
from training.evaluation.sheet import Cell, Sheet
from training.logistic import fit_logistic
from training.predictions import of_boxes
from training.protocol import clean_normal

#: boxes on every film
_BOXES = 16
#: boxes of the train split that the fixed ones are chosen from
_CHOICE = 500


def fixed_boxes(examples: Sequence[Example], count: int = _BOXES) -> list[tuple[Box, float]]:
    """The boxes that hit most of the findings not hit by those before them, each with its hits a film as score."""
    drawn = [box for example in examples for box in example.boxes]
    chosen = np.random.default_rng(0).permutation(len(drawn))[:_CHOICE]
    hits = overlaps(corners([drawn[index] for index in chosen]), corners(drawn)) >= STRICT.least_iou
    found: list[tuple[Box, float]] = []
    for _ in range(min(count, len(chosen))):
        gains = hits.sum(1)
        best = int(gains.argmax())
        found.append((drawn[chosen[best]], float(gains[best]) / len(examples)))
        hits[:, hits[best]] = False
    return found


def blind(examples: Sequence[Example]) -> list[Sheet]:
    """Both baselines on the val split, fitted on the same kind of films of the train split."""
    boxes: list[tuple[Cell, ...]] = []
    images: list[tuple[Cell, ...]] = []
    for which, (counts, normal) in SETS.items():
        train, films = ([e for e in evaluated(examples, split) if counts(e)] for split in ("train", "val"))
        fixed = fixed_boxes(train)
        of = scored(films, of_boxes([e.id for e in films], [fixed] * len(films)), normal=normal)
        boxes += _froc(which, of)
        images += [
            (which, len(films), name, of_columns([e for e in train if e.boxes or normal(e)], of, columns))
            for name, columns in COLUMNS.items()
        ]
    return [
        Sheet(
            title=f"The same {_BOXES} boxes on every film: sensitivity at so many false positives an image",
            columns=("films", "n", "a hit is", *(f"{point:g}" for point in POINTS), "pointing"),
            rows=tuple(boxes),
            notes=("The boxes that hit most findings of the train split; on a normal film all are false.",),
        ),
        Sheet(
            title="Image scores that see no picture: films with findings against normal ones",
            columns=("films", "n", "from", "AUROC"),
            rows=tuple(images),
            notes=("Logistic regression on the train split. Above one half: how films were chosen goes with disease.",),
        ),
    ]


def _froc(which: str, of: Scored) -> list[tuple[Cell, ...]]:
    strict, lenient = ([estimate(column) for column in curve.T] for curve in (of.curve, _lenient(of)))
    count = len(of.examples)
    return [
        (which, count, STRICT.name, *strict, estimate(pointing(of))),
        (which, count, LENIENT.name, *lenient, None),
    ]


def _lenient(of: Scored) -> Floats:
    return sensitivity(of.lenient, of.drawn)


#: films that are told apart: which count, and which of them are normal
SETS = {
    "fully read and clean normals": (primary, clean_normal),
    "all localised and normal": (comparable, comparable_normal),
}
#: what a regression may know
COLUMNS = {
    "view": ("view",),
    "view and size of the picture": ("view", "width"),
    "view, size, age and sex": ("view", "width", "age", "sex"),
}


def of_columns(train: Sequence[Example], of: Scored, columns: Sequence[str]) -> Estimate:
    """AUROC of a regression on some facts of the film."""
    names = sorted({value for e in train for value in _facts(e, columns)})
    abnormal = np.array([bool(e.boxes) for e in train], bool)
    fit = fit_logistic(_table(train, columns, names), abnormal)
    scores = fit.probability(_table(of.examples, columns, names))
    return estimate(auroc(scores, of.abnormal, of.normal, of.drawn))


def _facts(example: Example, columns: Sequence[str]) -> set[str]:
    """One word a fact; age by decade."""
    values = {"view": example.view, "width": example.width, "age": (example.age or 0) // 10, "sex": example.sex}
    return {f"{column} {values[column]}" for column in columns}


def _table(examples: Sequence[Example], columns: Sequence[str], names: Sequence[str]) -> Floats:
    facts: list[Bools] = [np.array([name in _facts(e, columns) for name in names], bool) for e in examples]
    return np.array(facts, np.float64)
