"""What each part of the training brings: every arm against the one without it, on the same films.

`python -m training.tables ablation --data ../shared/data/nih --runs runs`
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from training.arms import ABLATION
from training.datalist import Example
from training.evaluation.bootstrap import Estimate, draws, estimate, holm, p_value
from training.evaluation.groups import comparable, evaluated, primary
from training.evaluation.matching import Floats
from training.evaluation.measures import MEASURES, Scored, scored
from training.evaluation.sheet import Cell, Sheet
from training.readers import sentence
from training.runs import SEEDS
from training.tables.runs import Run, budget, by_arm, over_seeds

#: of the family of steps, after Holm's correction
LEVEL = 0.05


class Step(NamedTuple):
    """One part, the arm that has it and the arm that has all but it."""

    part: str
    having: str
    without: str


STEPS = (
    Step("ImageNet weights", "transfer", "plain"),
    Step("self-supervised pretraining", "self_supervised", "plain"),
    Step("contrastive stage", "contrastive", "transfer"),
    Step("box loss instead of filled boxes", "box_loss", "contrastive"),
    Step("instance heads instead of components", "instances", "box_loss"),
    Step("channels by protocol, outlines, undrawn films", "all", "instances"),
    Step("boxes dissociated from their class: instance heads", "instances", "diseases"),
    Step("boxes dissociated from their class: masks", "transfer", "disease_masks"),
    Step("contrastive stage beside instance heads", "instances", "no_contrast"),
)
#: measure → arm → (B,) rows, mean over seeds
Rows = Mapping[str, Mapping[str, Floats]]


def measure(examples: Sequence[Example], runs: Sequence[Run]) -> dict[str, dict[str, Floats]]:
    """Every measure of every arm on the same films, in the same bootstrap rows."""
    drawn = draws([example.patient for example in examples])
    rows: dict[str, dict[str, Floats]] = {name: {} for name in MEASURES}
    for arm, members in by_arm(runs).items():
        of_seeds = [_scored(run, examples, drawn) for run in members]
        for name, of in MEASURES.items():
            rows[name][arm] = over_seeds([of(one) for one in of_seeds], arm)
    return rows


def arms_sheet(rows: Rows, runs: Sequence[Run], films: Scored, readers: str) -> Sheet:
    """One row an arm."""
    seeds = {arm: len(members) for arm, members in by_arm(runs).items()}
    table: list[tuple[Cell, ...]] = [
        (arm, seeds[arm], *(estimate(rows[name][arm]) for name in MEASURES)) for arm in _ordered(seeds)
    ]
    return Sheet(
        title="Ablation: mean over seeds on the val split's fully read films and clean normals",
        columns=("arm", "seeds", *MEASURES),
        rows=tuple(table),
        notes=(
            f"{len(films.examples)} films, {len(films.strict.film_of_finding)} findings, {films.normal.sum()} normals. "
            "Sensitivity at so many false positives an image, a hit is IoU ≥ 0.4, one box one finding.",
            "[95 % interval]: 1,000 bootstraps by patient, the seeds drawn again in each.",
            *([readers] if readers else []),
            f"Each run: {budget(runs)}.",
            *missing(runs),
        ),
    )


def steps_sheet(rows: Rows) -> Sheet:
    """One row a step: what it changes, and whether that can be told from nothing."""
    present = [step for step in STEPS if {step.having, step.without} <= rows[_claim()].keys()]
    corrected = {name: holm([p_value(_change(rows, name, step)) for step in present]) for name in MEASURES}
    table: list[tuple[Cell, ...]] = []
    for index, step in enumerate(present):
        changes = [estimate(_change(rows, name, step)) for name in MEASURES]
        p = corrected[_claim()][index]
        # Every measure's family is corrected by itself; the verdict rests on the first measure alone.
        others = [name for name in list(MEASURES)[1:] if corrected[name][index] < LEVEL]
        table.append(
            (
                step.part,
                f"{step.having} − {step.without}",
                *changes,
                p,
                verdict(changes[0], p),
                ", ".join(others) or None,
            )
        )
    return Sheet(
        title="What each part brings: differences on the same films",
        columns=("part", "arms", *MEASURES, "p (Holm)", "at 1 an image it brings", "also changes (p < 0.05, Holm)"),
        rows=tuple(table),
        notes=(
            "Paired bootstrap by patient, seeds drawn again; p two-sided on the sensitivity at 1 false positive an "
            f"image, corrected for {len(present)} steps. 'Nothing' means: not told from nothing by these films and "
            "seeds; the interval says how much it could still be.",
            *(f"Not there: {step.part} ({step.having}, {step.without})." for step in STEPS if step not in present),
        ),
    )


def verdict(change: Estimate, p: float) -> str:
    """What may be claimed of a part: the interval decides, and the correction whether it stands."""
    if np.isnan(p):
        return "–"
    if change.low <= 0 <= change.high:
        return "nothing"
    word = "a gain" if change.value > 0 else "a loss"
    return word if p < LEVEL else f"{word} before correction only"


def others_sheet(examples: Sequence[Example], runs: Sequence[Run]) -> Sheet:
    """The claim's measure on other films of the val split."""
    films = evaluated(examples)
    sets = {
        "fully read and clean normals": [e for e in films if primary(e)],
        "all localised and normal": [e for e in films if comparable(e)],
        "read by RSNA's": [e for e in films if "rsna" in e.readers],
    }
    sets |= {f"{width} px": [e for e in films if e.width == width and primary(e)] for width in (512, 128, 64)}
    columns = {name: _on(members, runs) for name, members in sets.items() if any(e.boxes for e in members)}
    return Sheet(
        title="Ablation: sensitivity at 1 false positive an image on other films",
        columns=("arm", *columns),
        rows=tuple((arm, *(rows[arm] for rows in columns.values())) for arm in _ordered(by_arm(runs))),
        notes=("Films by size are of those fully read and the clean normals.",),
    )


def missing(runs: Sequence[Run]) -> list[str]:
    """One sentence on the runs that the study has and the folder has not."""
    there = {(run.arm, run.seed) for run in runs}
    absent = [f"{arm} seed {seed}" for arm in ABLATION for seed in SEEDS if (arm, seed) not in there]
    return [f"Not there yet: {', '.join(absent)}."] if absent else []


def ablation(examples: Sequence[Example], runs: Sequence[Run]) -> list[Sheet]:
    """The tables. Raises ValueError when there is no run."""
    if not runs:
        raise ValueError("no run of the study 'ablation' has ended: start them with python -m training.study ablation")
    films = [example for example in evaluated(examples) if primary(example)]
    rows = measure(films, runs)
    first = scored(films, runs[0].predictions())
    return [arms_sheet(rows, runs, first, sentence(examples)), steps_sheet(rows), others_sheet(examples, runs)]


def _on(films: Sequence[Example], runs: Sequence[Run]) -> dict[str, Estimate]:
    drawn = draws([example.patient for example in films])
    of = MEASURES[_claim()]
    return {
        arm: estimate(over_seeds([of(_scored(run, films, drawn)) for run in members], arm))
        for arm, members in by_arm(runs).items()
    }


def _scored(run: Run, films: Sequence[Example], drawn: Floats) -> Scored:
    predictions = run.predictions()
    run.check(predictions, films)
    return scored(films, predictions, drawn)


def _change(rows: Rows, name: str, step: Step) -> Floats:
    return rows[name][step.having] - rows[name][step.without]


def _claim() -> str:
    return next(iter(MEASURES))


def _ordered(arms: Mapping[str, object]) -> list[str]:
    known = [arm for arm in ABLATION if arm in arms]
    return known + sorted(arms.keys() - ABLATION.keys())
