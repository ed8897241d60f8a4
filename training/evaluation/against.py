"""The model beside the readers on the very same films: at the readers' own rate of false positives."""

from collections.abc import Sequence

import numpy as np

from training.datalist import Example
from training.evaluation.bootstrap import estimate, holm, p_value
from training.evaluation.curves import false_positives, recall, sensitivity
from training.evaluation.matching import match
from training.evaluation.sheet import Cell, Sheet
from training.predictions import Predictions
from training.readers import PAIRS, compare


def against(examples: Sequence[Example], predictions: Predictions) -> Sheet:
    """For each pair of teams: how the first and the model find what the second drew, paired."""
    rows: list[tuple[Cell, ...]] = []
    p_values: list[float] = []
    for pair in PAIRS:
        if not pair.complete:
            continue
        compared = compare(examples, pair)
        outcomes = compared.outcomes()
        if not outcomes.findings_on().sum():
            continue
        every = np.ones(len(compared.examples), bool)
        readers = recall(outcomes, compared.drawn, 1.0)
        false = false_positives(outcomes, compared.drawn, 1.0, every)
        here = predictions.on([example.id for example in compared.examples])
        model = sensitivity(match(here, compared.truths), compared.drawn, (float(false[0]),))[:, 0]
        change = model - readers
        counts = (len(compared.examples), int(outcomes.findings_on().sum()))
        rows.append((pair.name, *counts, *map(estimate, (false, readers, model, change))))
        p_values.append(p_value(change))
    return Sheet(
        title="The model in the place of the first readers, at their rate of false positives",
        columns=(
            *("readers", "films", "findings", "false positives a film"),
            *("the readers", "the model", "model − readers", "p (Holm)"),
        ),
        rows=tuple((*row, p) for row, p in zip(rows, holm(p_values), strict=True)),
        notes=(
            "The measured films that both teams read; a hit is IoU ≥ 0.4. The model marks whatever looks abnormal.",
        ),
    )
