"""What one team of readers reaches against another by the very measure a model is measured by.

`python -m training.readers --data ../shared/data/nih`: one team as if it were the model, the other as the truth, on
all adult films that both have read. RSNA's looked for opacities alone, so of ChestX-Det's regions only those that
show one count, or all of them, as of a model that names no disease. The labels' own noise is the ceiling of every
table; readers who only drew what a report had named ('nih-bbox') say nothing of false positives.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.datalist import MIN_AREA, OPACITIES, Box, Example, area, merge, read_films
from training.evaluation.bootstrap import Estimate, draws, estimate
from training.evaluation.curves import false_positives, recall
from training.evaluation.groups import by_size, films_by
from training.evaluation.matching import CRITERIA, STRICT, Bools, Floats, Outcomes, Truth, corners, match
from training.evaluation.sheet import Cell, Sheet
from training.predictions import Predictions, of_boxes

#: subgroups below this many films or findings are not told
_FEWEST = 40


class Team(NamedTuple):
    """Readers, and what of theirs counts."""

    reader: str
    #: None: all they drew
    labels: frozenset[str] | None = None


class Pair(NamedTuple):
    """Two teams that read the same films."""

    name: str
    #: stands for the model
    first: Team
    #: stands for the truth
    second: Team
    #: the truth names everything of its kinds, so that what it has not is false
    complete: bool = True


PAIRS = (
    Pair("ChestX-Det's opacities against RSNA's", Team("chestx-det", OPACITIES), Team("rsna")),
    Pair("RSNA's against ChestX-Det's opacities", Team("rsna"), Team("chestx-det", OPACITIES)),
    Pair("ChestX-Det's regions of any kind against RSNA's", Team("chestx-det"), Team("rsna")),
    Pair("ChestX-Det's against NIH's boxes", Team("chestx-det"), Team("nih-bbox"), complete=False),
)


class Compared(NamedTuple):
    """One team's boxes against the other's on N films."""

    examples: tuple[Example, ...]
    #: (B, N)
    drawn: Floats
    predictions: Predictions
    truths: tuple[Truth, ...]

    def outcomes(self) -> Outcomes:
        """By the strict criterion."""
        return match(self.predictions, self.truths)


def drawn_by(example: Example, team: Team) -> list[Box]:
    """The findings of one team on a film, those drawn twice merged, those too small to be scored left out."""
    regions = [r for r in example.regions if r.reader == team.reader and area(r.box) >= MIN_AREA]
    return merge([r.box for r in regions if team.labels is None or r.label in team.labels])


def truth_by(example: Example, team: Team) -> Truth:
    """The same as a truth: what the team drew too small, or of kinds not asked for, is neither hit nor false."""
    others = [
        r.box
        for r in example.regions
        if r.reader == team.reader
        and (area(r.box) < MIN_AREA or (team.labels is not None and r.label not in team.labels))
    ]
    return Truth(findings=corners(drawn_by(example, team)), ignored=corners(others))


def compare(examples: Sequence[Example], pair: Pair) -> Compared:
    """Both teams on the films that both read."""
    both = tuple(e for e in examples if {pair.first.reader, pair.second.reader} <= e.readers)
    return Compared(
        examples=both,
        drawn=draws([e.patient for e in both]),
        predictions=of_boxes([e.id for e in both], [[(box, 1.0) for box in drawn_by(e, pair.first)] for e in both]),
        truths=tuple(truth_by(e, pair.second) for e in both),
    )


def reached(compared: Compared, of: Bools | None = None) -> tuple[Estimate, Estimate]:
    """Sensitivity and false positives a film by the strict measure; `of` (N,) are the films that count."""
    drawn = compared.drawn if of is None else compared.drawn * of
    outcomes = compared.outcomes()
    every = np.ones(len(compared.examples), bool)
    return estimate(recall(outcomes, drawn, 1.0)), estimate(false_positives(outcomes, drawn, 1.0, every))


def sentence(examples: Sequence[Example]) -> str:
    """The first pair on all films that both read, for the notes of a model's table; empty where there are none."""
    compared = compare(examples, PAIRS[0])
    if not compared.outcomes().findings_on().sum():
        return ""
    found, false = reached(compared)
    return (
        f"Readers by the same measure: {PAIRS[0].name} find {found} at {false} false positives a film, on the "
        f"{len(compared.examples)} films that both read."
    )


def sheet(examples: Sequence[Example], pairs: Sequence[Pair] = PAIRS) -> Sheet:
    """Every pair on all films and on every group of them that is large enough."""
    compared = [(compare(examples, pair), pair) for pair in pairs]
    rows = [row for both, pair in compared if both.examples for row in _rows(both, pair)]
    return Sheet(
        title="One team of readers against another, by the measure that the model is measured by",
        columns=("readers", "films are", "films", "findings", *(c.name for c in CRITERIA), "false positives a film"),
        rows=tuple(rows),
        notes=("Adults. [95 % interval]: 1,000 bootstraps by patient.",),
    )


def _rows(compared: Compared, pair: Pair) -> list[tuple[Cell, ...]]:
    of_criteria = [match(compared.predictions, compared.truths, criterion) for criterion in CRITERIA]
    strict = of_criteria[CRITERIA.index(STRICT)]
    both_drew = np.array(
        [len(s) > 0 and len(t.findings) > 0 for s, t in zip(compared.predictions.scores, compared.truths, strict=True)],
        bool,
    )
    every = np.ones(len(compared.examples), bool)
    groups = {"all": every, "both drew": both_drew, **films_by(compared.examples)}
    rows: list[tuple[Cell, ...]] = []
    for name, members in groups.items():
        findings = int(strict.findings_on()[members].sum())
        whole = name.startswith("read by") or (name != "all" and bool(members.all()))
        if whole or (name != "all" and min(int(members.sum()), findings) < _FEWEST):
            continue
        drawn = compared.drawn * members
        found = (estimate(recall(outcomes, drawn, 1.0)) for outcomes in of_criteria)
        false = estimate(false_positives(strict, drawn, 1.0, every)) if pair.complete else None
        rows.append((pair.name, name, int(members.sum()), findings, *found, false))
    sizes = by_size(np.concatenate([corners([]), *(truth.findings for truth in compared.truths)]))
    for name, findings_in in sizes.items():
        if findings_in.sum() >= _FEWEST:
            found = (estimate(recall(outcomes, compared.drawn, 1.0, findings_in)) for outcomes in of_criteria)
            rows.append(
                (pair.name, f"findings of {name}", len(compared.examples), int(findings_in.sum()), *found, None)
            )
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.readers", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="datalist, or folder with annotations.json")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    table = sheet(read_films(arguments.data))
    print(table.markdown())
    if arguments.out:
        arguments.out.write_text(json.dumps(table.plain(), indent=1) + "\n")


if __name__ == "__main__":
    main()
