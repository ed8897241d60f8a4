"""One model on one set of films: matched once, then any measure of it for every bootstrap row.

The measures' rows, not their intervals, are what is returned: those of two models on the same films make paired
differences.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from training.datalist import Example
from training.evaluation.bootstrap import ROUNDS, draws, ratio
from training.evaluation.curves import POINTS, auroc, sensitivity
from training.evaluation.matching import CENTRE, LENIENT, STRICT, Bools, Criterion, Floats, Outcomes, match, truth_of
from training.predictions import Predictions
from training.protocol import clean_normal


@dataclass(frozen=True, kw_only=True)
class Scored:
    """N films, what was predicted on them, and how often each is drawn in each row."""

    examples: tuple[Example, ...]
    predictions: Predictions
    #: (B, N)
    drawn: Floats
    #: (N,) the films on which every box is false
    normal: Bools

    @cached_property
    def abnormal(self) -> Bools:
        """(N,) films with a finding."""
        return np.array([bool(example.boxes) for example in self.examples], bool)

    @cached_property
    def strict(self) -> Outcomes:
        """By the measure that counts: IoU ≥ 0.4."""
        return self.outcomes(STRICT)

    @cached_property
    def lenient(self) -> Outcomes:
        """IoU ≥ 0.2."""
        return self.outcomes(LENIENT)

    @cached_property
    def centre(self) -> Outcomes:
        """The centre of the box inside the finding."""
        return self.outcomes(CENTRE)

    @cached_property
    def curve(self) -> Floats:
        """(B, P) sensitivity at POINTS false positives an image, IoU ≥ 0.4."""
        return sensitivity(self.strict, self.drawn, POINTS)

    def outcomes(self, criterion: Criterion) -> Outcomes:
        """What became of the boxes by a criterion."""
        return match(self.predictions, [truth_of(example) for example in self.examples], criterion)


def scored(
    examples: Sequence[Example],
    predictions: Predictions,
    drawn: Floats | None = None,
    normal: Callable[[Example], bool] = clean_normal,
) -> Scored:
    """Bring films and predictions together by id; a film without prediction is one in which nothing was found."""
    if drawn is None:
        drawn = draws([example.patient for example in examples], ROUNDS)
    return Scored(
        examples=tuple(examples),
        predictions=predictions.on([example.id for example in examples]),
        drawn=drawn,
        normal=np.array([normal(example) for example in examples], bool),
    )


def pointing(of: Scored) -> Floats:
    """(B,) share of the films with findings whose best box has its centre in one (CheXlocalize's hit rate).

    A film without a box misses.
    """
    hits = np.zeros(len(of.examples))
    for index, (example, boxes) in enumerate(zip(of.examples, of.predictions.boxes, strict=True)):
        if len(boxes):
            x, y = (boxes[0, :2] + boxes[0, 2:]) / 2
            hits[index] = any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in example.boxes)
    return ratio(of.drawn, hits, of.abnormal.astype(np.float64))


def image_auroc(of: Scored) -> Floats:
    """(B,) films with findings against normal ones, by the image score."""
    return auroc(of.predictions.images.astype(np.float64), of.abnormal, of.normal, of.drawn)


def matched_auroc(of: Scored) -> Floats:
    """(B,) the same among films of one view and one size: neither tells then what is abnormal."""
    _, strata = np.unique([f"{e.view} {e.width}" for e in of.examples], return_inverse=True)
    return auroc(of.predictions.images.astype(np.float64), of.abnormal, of.normal, of.drawn, strata)


#: what trainings are compared by, the first is what the claim rests on
MEASURES: Mapping[str, Callable[[Scored], Floats]] = {
    "sensitivity at 1": lambda of: of.curve[:, POINTS.index(1.0)],
    "at 1/4": lambda of: of.curve[:, POINTS.index(0.25)],
    "mean of 1/8 to 8": lambda of: np.asarray(of.curve.mean(1)),
    "at 1/4 a normal film": lambda of: sensitivity(of.strict, of.drawn, (0.25,), counted=of.normal)[:, 0],
    "at 1, IoU ≥ 0.2": lambda of: sensitivity(of.lenient, of.drawn, (1.0,))[:, 0],
    "pointing": pointing,
    "AUROC": image_auroc,
}
