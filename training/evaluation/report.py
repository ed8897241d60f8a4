"""Everything that is told of one model, as tables: each figure with its interval, the readers beside it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from training.datalist import FULL_SIZE, Example
from training.evaluation.bootstrap import Estimate, draws, estimate, ratio
from training.evaluation.curves import POINTS, false_positives, marked, recall, sensitivity
from training.evaluation.groups import comparable, comparable_normal, films_by, findings_by, primary
from training.evaluation.masks import Cover
from training.evaluation.matching import CRITERIA, Bools, Floats
from training.evaluation.measures import Scored, image_auroc, matched_auroc, pointing, scored
from training.evaluation.operating import FALSE_PER_NORMAL, crossfitted, folds_of
from training.evaluation.reliability import BINS, Reliability, reliability
from training.evaluation.sheet import Cell, Sheet
from training.predictions import Predictions
from training.protocol import clean_normal

#: groups of fewer films with findings are not told
_FEWEST = 10
PRIMARY = "fully read and clean normals"
_HIT = "A hit is IoU ≥ 0.4, one box one finding; equal confidences stand or fall together."
_INTERVAL = "[95 % interval]: 1,000 bootstraps by patient."


class Measured(NamedTuple):
    """A model's predictions on the films that are measured on."""

    examples: Sequence[Example]
    predictions: Predictions
    #: confidence from which a box is shown; None: found on the films of the other folds
    threshold: float | None = None
    #: id of a film with findings → how its mask covers them; empty where masks are not at hand
    covers: Mapping[str, Cover] = {}
    #: all films of the datalist, for what readers reach against readers: that needs no split
    everybody: Sequence[Example] = ()


def film_sets(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """The primary films, their groups, and the other sets that are told beside them."""
    first = [example for example in examples if primary(example)]
    sets = {PRIMARY: first}
    for name, members in films_by(first).items():
        if not name.startswith("read by"):
            sets[name] = [example for example, member in zip(first, members, strict=True) if member]
    sets["all localised and normal"] = [example for example in examples if comparable(example)]
    for reader in sorted({reader for example in examples for reader in example.readers}):
        sets[f"read by {reader}"] = [e for e in examples if reader in e.readers and comparable(e)]
    # what hospitals send, and what its readers were asked for
    full_size = [e for e in examples if comparable(e) and e.width >= FULL_SIZE]
    sets[f"{FULL_SIZE} px, all"] = full_size
    sets[f"{FULL_SIZE} px, opacities alone"] = [e for e in full_size if not (e.boxes and e.fully_read)]
    return {n: members for n, members in sets.items() if n == PRIMARY or sum(bool(e.boxes) for e in members) >= _FEWEST}


def report(of: Measured) -> dict[str, Sheet]:
    """The tables by name. Films that were declined or are missing count as films without findings."""
    sets = {name: _scored(of, films) for name, films in film_sets(of.examples).items()}
    thresholds = _thresholds(of)
    sheets = {
        "froc": _froc(sets),
        "froc_normals": _per_normal(sets),
        "criteria": _criteria(sets[PRIMARY]),
        "operating": _operating(sets, thresholds, of.threshold),
        "recall": _recall(sets[PRIMARY], thresholds, "of the primary films"),
        "recall_all": _recall(_scored(of, of.examples), thresholds, "of all films, whoever read them"),
        "reliability": _reliability(sets[PRIMARY]),
    }
    if of.covers:
        sheets["masks"] = _masks(of)
    return sheets


def _scored(of: Measured, films: Sequence[Example]) -> Scored:
    # Where earlier figures were measured every radiologist's normal counted; a film with a finding never is one.
    normal = comparable_normal if any(not (primary(e)) for e in films) else clean_normal
    return scored(films, of.predictions, normal=normal)


def _thresholds(of: Measured) -> dict[str, float]:
    """By film: the one that is given, or the cross-fitted."""
    if of.threshold is not None:
        return dict.fromkeys((e.id for e in of.examples), of.threshold)
    every = _scored(of, of.examples)
    clean = np.array([clean_normal(e) for e in of.examples], bool)
    found = crossfitted(every.strict, clean, folds_of(of.examples))
    return dict(zip((e.id for e in of.examples), map(float, found), strict=True))


def _at(of: Scored, thresholds: Mapping[str, float]) -> Floats:
    return np.array([thresholds[example.id] for example in of.examples])


def _counts(of: Scored) -> tuple[int, int, int]:
    return len(of.examples), len(of.strict.film_of_finding), int(of.normal.sum())


def _froc(sets: Mapping[str, Scored]) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for name, of in sets.items():
        at = [estimate(column) for column in of.curve.T]
        images = (pointing(of), image_auroc(of), matched_auroc(of))
        rows.append((name, *_counts(of), *at, *map(estimate, images)))
    return Sheet(
        title="Sensitivity at so many false positives an image",
        columns=("films", "n", "findings", "normals", *map(_name, POINTS), "pointing", "AUROC", "AUROC, matched"),
        rows=tuple(rows),
        notes=(
            _HIT,
            _INTERVAL,
            "AUROC: films with findings against normal ones; matched: only against those of the same view and size.",
        ),
    )


def _per_normal(sets: Mapping[str, Scored]) -> Sheet:
    rows: list[tuple[Cell, ...]] = [
        (name, *_counts(of), *(estimate(c) for c in sensitivity(of.strict, of.drawn, POINTS, counted=of.normal).T))
        for name, of in sets.items()
        if of.normal.any()
    ]
    return Sheet(
        title="Sensitivity at so many false positives a normal film",
        columns=("films", "n", "findings", "normals", *map(_name, POINTS)),
        rows=tuple(rows),
        notes=("False positives on normal films alone: on a film with findings nobody knows what was left undrawn.",),
    )


def _criteria(of: Scored) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for criterion in CRITERIA:
        outcomes = of.outcomes(criterion)
        rows.append((criterion.name, *(estimate(column) for column in sensitivity(outcomes, of.drawn).T)))
    return Sheet(
        title="The primary films by other criteria: sensitivity at so many false positives an image",
        columns=("a hit is", *map(_name, POINTS)),
        rows=tuple(rows),
    )


def _operating(sets: Mapping[str, Scored], thresholds: Mapping[str, float], fixed: float | None) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for name, of in sets.items():
        at, every = _at(of, thresholds), np.ones(len(of.examples), bool)
        figures = (
            recall(of.strict, of.drawn, at),
            recall(of.lenient, of.drawn, at),
            false_positives(of.strict, of.drawn, at, every),
            false_positives(of.strict, of.drawn, at, of.normal),
            marked(of.strict, of.drawn, at, of.normal),
        )
        rows.append((name, *(estimate(rows_) for rows_ in figures)))
    how = (
        f"Threshold {fixed:g}, fixed before."
        if fixed is not None
        else f"Threshold found on other patients' clean normals, in five folds, at {FALSE_PER_NORMAL} boxes on each."
    )
    return Sheet(
        title="What is reached at the operating point",
        columns=(
            *("films", "sensitivity", "at IoU ≥ 0.2", "false positives an image"),
            *("boxes on a normal film", "normals with any box"),
        ),
        rows=tuple(rows),
        notes=(how, _INTERVAL),
    )


def _recall(of: Scored, thresholds: Mapping[str, float], which: str) -> Sheet:
    at = _at(of, thresholds)
    rows: list[tuple[Cell, ...]] = []
    for kind, groups in findings_by(of.examples).items():
        for name, members in groups.items():
            if members.sum() >= _FEWEST:
                curve = sensitivity(of.strict, of.drawn, (0.25, 1.0), of=members)
                operating = recall(of.strict, of.drawn, at, members)
                figures = (operating, recall(of.lenient, of.drawn, at, members), *curve.T)
                rows.append((kind, name, int(members.sum()), *map(estimate, figures)))
    return Sheet(
        title=f"Recall by what the findings are, {which}",
        columns=(
            "by",
            "group",
            "findings",
            "at the operating point",
            "at IoU ≥ 0.2",
            "at 1/4 an image",
            "at 1 an image",
        ),
        rows=tuple(rows),
        notes=(f"{_HIT} Groups of fewer than {_FEWEST} findings are left out.", _INTERVAL),
    )


def confidences(of: Scored) -> Reliability:
    """Of boxes: a hit is true."""
    strict = of.strict
    return reliability(np.clip(strict.score, 0, 1), strict.hit, strict.film, of.drawn)


def image_confidences(of: Scored) -> Reliability:
    """Of films that have findings or are normal."""
    known = of.abnormal | of.normal
    logits = np.clip(of.predictions.images.astype(np.float64), -30, 30)
    said = 1 / (1 + np.exp(-logits))
    return reliability(said[known], of.abnormal[known], np.flatnonzero(known), of.drawn)


def _reliability(of: Scored) -> Sheet:
    rows: list[tuple[Cell, ...]] = []
    for name, one in (("boxes", confidences(of)), ("films", image_confidences(of))):
        rows.append((name, "calibration error", int(one.statements[0].sum()), None, estimate(one.error)))
        for b in range(BINS):
            if one.statements[0, b]:
                said = float(one.said[0, b])
                rows.append(
                    (
                        name,
                        f"{b / BINS:g}–{(b + 1) / BINS:g}",
                        int(one.statements[0, b]),
                        said,
                        estimate(one.true[:, b]),
                    )
                )
    return Sheet(
        title="Reliability: what was said and what was true, on the primary films",
        columns=("of", "confidence", "n", "mean confidence", "true"),
        rows=tuple(rows),
        notes=("Calibration error: mean distance over the bins. It is upwards biased in small samples.",),
    )


def _masks(of: Measured) -> Sheet:
    films = [example for example in of.examples if example.id in of.covers]
    covers = [of.covers[example.id] for example in films]
    drawn = draws([example.patient for example in films])
    outlined = np.array([one.outlines is not None for one in covers], bool)
    hits = np.array([len(one.hits) for one in covers], np.float64)

    def mean(values: Sequence[float], counted: Bools) -> Estimate:
        return estimate(ratio(drawn, np.array(values) * counted, counted.astype(np.float64)))

    def of_hits(side: int, figure: int) -> Estimate:
        return estimate(ratio(drawn, np.array([sum(h[side][figure] for h in one.hits) for one in covers]), hits))

    def added(figure: int) -> Estimate:
        gains = [sum(mask[figure] - box[figure] for mask, box in one.hits) for one in covers]
        return estimate(ratio(drawn, np.array(gains), hits))

    every = np.ones(len(films), bool)
    fitted = [one.outlines or (0.0, 0.0) for one in covers]
    rows: tuple[tuple[Cell, ...], ...] = (
        ("films, against filled boxes", len(films), *(mean([c.boxes[f] for c in covers], every) for f in (0, 1))),
        ("films, against outlines", int(outlined.sum()), *(mean([c[f] for c in fitted], outlined) for f in (0, 1))),
        ("findings hit: mask against outline", int(hits.sum()), *(of_hits(0, f) for f in (0, 1))),
        ("findings hit: filled box against outline", int(hits.sum()), *(of_hits(1, f) for f in (0, 1))),
        ("findings hit: what the mask adds to the box", int(hits.sum()), *(added(f) for f in (0, 1))),
    )
    return Sheet(
        title="Masks at the operating point",
        columns=("what", "n", "Dice", "IoU"),
        rows=rows,
        notes=("Films with findings; a film on which nothing is shown has 0. On a grid of 256 × 256.",),
    )


def _name(point: float) -> str:
    return f"1/{1 / point:g}" if point < 1 else f"{point:g}"
