"""The tables of diseases never seen: `python -m training.tables unseen --data ../shared/data/nih --runs runs`."""

from collections.abc import Callable, Mapping, Sequence

from training.arms import UNSEEN
from training.datalist import Example
from training.evaluation.bootstrap import divide, estimate, holm, p_value
from training.evaluation.matching import Floats
from training.evaluation.sheet import Cell, Sheet
from training.protocol import TARGETS
from training.readers import sentence
from training.tables.runs import Run, budget
from training.tables.unseen import FOLDS, POINTS, ROLES, ROUNDS, Measured, Results, arms_of, find, folds_of, measure

#: of POINTS
WORDS = ("a quarter of a false positive", "one false positive")
#: what an arm is held against: that which it changes one thing of
BASES: Mapping[str, str] = {
    "transfer": "binary",
    "diseases": "transfer",
    "contrastive": "transfer",
    "box_loss": "transfer",
}

#: a figure's (B,) rows of what was measured
Figure = Callable[[Measured], Floats]


def unseen(examples: Sequence[Example], runs: Sequence[Run]) -> list[Sheet]:
    """The tables. Raises ValueError when there is no run."""
    if not runs:
        raise ValueError("no run of the study 'unseen' has ended: start them with python -m training.study unseen")
    results = measure(examples, runs)
    beside = sentence(examples)
    recalls = [recall_sheet(runs, results, point, beside) for point in range(len(POINTS))]
    return [*recalls, arms_sheet(results), auroc_sheet(runs, results)]


def recall_sheet(runs: Sequence[Run], results: Results, point: int, readers: str) -> Sheet:
    """Recall at one of POINTS in all roles, what is kept of it, and the paired differences."""
    rows: list[tuple[Cell, ...]] = []
    for target, (films, findings, _) in results.counts.items():
        for arm in arms_of(runs):
            seen, left, control = _roles(results, target, arm, lambda one: one.recall[:, point])
            if seen is None and left is None and control is None:
                continue
            kept = None if left is None or seen is None else estimate(divide(left, seen))
            without = results.measured.get((target, arm, "left_out"))
            chance = None if without is None or without.chance is None else without.chance[:, point]
            figures = (*(_estimate(one) for one in (seen, left, control)), kept, _estimate(chance))
            rows.append((target, films, findings, arm, *figures, _change(left, seen), _change(left, control)))
    return Sheet(
        title=f"Diseases never seen: recall at {WORDS[point]} a normal film",
        columns=(
            *("target", "films", "findings", "arm", "seen", "left out", "control"),
            *("share kept", "left out, by chance", "left out − seen", "left out − control"),
        ),
        rows=tuple(rows),
        notes=(
            "A hit is IoU ≥ 0.4 with a finding of the target; thresholds found on the clean normals of the half that "
            "is measured on, for each network and in each bootstrap row by itself. 'Left out' trained without any film "
            "that shows or reports the target, 'control' without as many films of the same status and size, taken at "
            "random. 'By chance': the films with the target have each other's boxes. "
            f"[95 % interval]: {ROUNDS:,} bootstraps by patient, paired.",
            *([readers] if readers else []),
            f"Each run: {budget(runs)}.",
            *_one_half(runs),
            *missing(runs),
        ),
    )


def arms_sheet(results: Results) -> Sheet:
    """What transfer, contrast, the box loss and disease channels change on diseases left out."""
    figures: dict[str, Figure] = {
        f"recall at {name}": lambda one, point=point: one.recall[:, point]  # type: ignore[misc]  # a default binds it
        for point, name in enumerate(POINTS.values())
    }
    figures["AUROC"] = lambda one: one.auroc
    pairs = [
        (target, arm, base, results.measured[target, arm, "left_out"], results.measured[target, base, "left_out"])
        for target in results.counts
        for arm, base in BASES.items()
        if {(target, one, "left_out") for one in (arm, base)} <= results.measured.keys()
    ]
    changes = {name: [of(one) - of(other) for *_, one, other in pairs] for name, of in figures.items()}
    corrected = {name: holm([p_value(change) for change in changes[name]]) for name in figures}
    return Sheet(
        title="Diseases never seen: each arm minus the one that it builds on, both without the disease",
        columns=("target", "arm", "minus", *(column for name in figures for column in (name, f"p of {name} (Holm)"))),
        rows=tuple(
            (
                target,
                arm,
                base,
                *(cell for name in figures for cell in (estimate(changes[name][i]), corrected[name][i])),
            )
            for i, (target, arm, base, *_) in enumerate(pairs)
        ),
        notes=(f"Paired bootstrap by patient; each column is corrected for its {len(pairs)} tests.",),
    )


def auroc_sheet(runs: Sequence[Run], results: Results) -> Sheet:
    """The image score: films with the target against clean normals."""
    rows: list[tuple[Cell, ...]] = []
    for target, (films, _, normals) in results.counts.items():
        for arm in arms_of(runs):
            seen, left, control = _roles(results, target, arm, lambda one: one.auroc)
            if seen is not None or left is not None or control is not None:
                three = (_estimate(one) for one in (seen, left, control))
                rows.append((target, films, normals, arm, *three, _change(left, seen), _change(left, control)))
    return Sheet(
        title="Diseases never seen: AUROC of films with the target against clean normals",
        columns=(
            *("target", "films", "normals", "arm", "seen", "left out", "control"),
            *("left out − seen", "left out − control"),
        ),
        rows=tuple(rows),
        notes=("Each half by its own network, then the mean of both.",),
    )


def missing(runs: Sequence[Run]) -> list[str]:
    """One sentence on what the study has and the folder has not."""
    absent = [
        f"{arm} {role.replace('_', ' ')} {target}"
        for arm in UNSEEN
        for target in TARGETS
        for role in ROLES
        if not find(runs, arm, target, role)
    ]
    return [f"Not there yet: {', '.join(absent)}."] if absent else []


def _one_half(runs: Sequence[Run]) -> list[str]:
    folds = folds_of(runs)
    if len(folds) == len(FOLDS):
        return []
    return [f"Measured on half of the patients (fold {folds[0]}): the trainings for the others are not all there yet."]


def _roles(results: Results, target: str, arm: str, of: Figure) -> list[Floats | None]:
    found = (results.measured.get((target, arm, role)) for role in ROLES)
    return [None if one is None else of(one) for one in found]


def _estimate(rows: Floats | None) -> Cell:
    return None if rows is None else estimate(rows)


def _change(one: Floats | None, other: Floats | None) -> Cell:
    return None if one is None or other is None else estimate(one - other)
