"""Which predicted box hits which finding: what everything else is counted from.

Best box first, each takes the finding that it fits best among those no better box has taken; one box, one finding.
Whether a box hits does not depend on the threshold, so this is done once a film.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training.datalist import Example
from training.predictions import Predictions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """When a box hits a finding."""

    name: str
    #: least intersection over union
    least_iou: float
    #: the centre of the predicted box lies in the finding
    centre: bool = False


STRICT = Criterion(name="IoU ≥ 0.4", least_iou=0.4)
LENIENT = Criterion(name="IoU ≥ 0.2", least_iou=0.2)
CENTRE = Criterion(name="centre inside", least_iou=0.0, centre=True)
#: boxes of several channels that overlap this much (IoU) are one, as in the looks that ship
SAME_PLACE = 0.35
CRITERIA = (STRICT, LENIENT, CENTRE)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is true of one film, in fractions of it."""

    #: (G, 4) x0, y0, x1, y1
    findings: Floats
    #: (I, 4) a box on one of these is neither hit nor false: too small to be scored, or of a kind not asked for
    ignored: Floats


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What became of the K boxes on N films with G findings; ignored boxes are not among the K."""

    #: (K,) scores, falling
    score: Floats
    #: (K,) index of the film
    film: Ints
    #: (K,) index of the finding that was hit, -1: a false positive
    finding: Ints
    #: (G,) index of the film that a finding is on
    film_of_finding: Ints
    films: int

    @property
    def hit(self) -> Bools:
        """(K,)"""
        return self.finding >= 0

    @property
    def found_at(self) -> Floats:
        """(G,) the score of the box that hit; -inf where none did."""
        found = np.full(len(self.film_of_finding), -np.inf)
        found[self.finding[self.hit]] = self.score[self.hit]
        return found

    def findings_on(self, of: Bools | None = None) -> Floats:
        """(N,) how many findings each film has; `of` (G,) names those that count."""
        films = self.film_of_finding if of is None else self.film_of_finding[of]
        return np.bincount(films, minlength=self.films).astype(np.float64)


def truth_of(example: Example) -> Truth:
    """The findings of a film, and the regions that are too small to be scored."""
    return Truth(findings=corners(example.boxes), ignored=corners(example.too_small))


def corners(boxes: Sequence[Sequence[float]]) -> Floats:
    """(K, 4), also of no box."""
    return np.array(boxes, np.float64).reshape(-1, 4)


def overlaps(a: Floats, b: Floats) -> Floats:
    """(K, G) intersection over union of (K, 4) boxes with (G, 4) others; 0 for boxes without area."""
    inner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = inner.clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    iou: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def fits(predicted: Floats, true: Floats, criterion: Criterion) -> Floats:
    """(K, G) how well each box fits each finding, -1 where it does not count as a hit."""
    iou = overlaps(predicted, true)
    if not criterion.centre:
        return np.where((iou >= criterion.least_iou) & (iou > 0), iou, -1.0)
    centre = (predicted[:, None, :2] + predicted[:, None, 2:]) / 2
    inside = ((centre >= true[None, :, :2]) & (centre <= true[None, :, 2:])).all(2)
    return np.where(inside, iou, -1.0)


def one_list(predictions: Predictions, overlap: float = SAME_PLACE) -> Predictions:
    """The boxes of all channels as one list a film: of those that overlap `overlap` or more (IoU) the best remains.

    What a channel calls a box does not matter to where it is: a net with one channel a disease is measured by the
    same findings as one that names none.
    """
    kept = [
        np.arange(len(boxes)) if len(set(channels.tolist())) < 2 else _best_of_each_place(boxes, overlap)
        for boxes, channels in zip(predictions.boxes, predictions.channels, strict=True)
    ]
    return replace(
        predictions,
        boxes=tuple(part[keep] for part, keep in zip(predictions.boxes, kept, strict=True)),
        scores=tuple(part[keep] for part, keep in zip(predictions.scores, kept, strict=True)),
        channels=tuple(part[keep] for part, keep in zip(predictions.channels, kept, strict=True)),
    )


def _best_of_each_place(boxes: NDArray[np.float32], overlap: float) -> Ints:
    near = overlaps(boxes.astype(np.float64), boxes.astype(np.float64)) >= overlap
    kept: list[int] = []
    for index in range(len(boxes)):
        if not near[index, kept].any():
            kept.append(index)
    return np.array(kept, np.int64)


def match_film(predicted: Floats, truth: Truth, criterion: Criterion) -> tuple[Ints, Bools]:
    """For (K, 4) boxes, best first: (K,) index of the finding hit or -1, and (K,) which are ignored."""
    which = np.full(len(predicted), -1, np.int64)
    fit = fits(predicted, truth.findings, criterion)
    for box in np.flatnonzero((fit >= 0).any(1)) if fit.size else ():
        best = int(fit[box].argmax())
        if fit[box, best] >= 0:
            which[box] = best
            fit[:, best] = -1
    on_ignored = (fits(predicted, truth.ignored, criterion) >= 0).any(1)
    return which, (which < 0) & on_ignored


def match(predictions: Predictions, truths: Sequence[Truth], criterion: Criterion = STRICT) -> Outcomes:
    """The outcomes of one prediction a film, in the order of `truths`."""
    start = np.cumsum([0, *(len(truth.findings) for truth in truths)])
    scores, films, findings = [np.zeros(0)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for index, (boxes, score, truth) in enumerate(zip(predictions.boxes, predictions.scores, truths, strict=True)):
        which, ignored = match_film(boxes.astype(np.float64), truth, criterion)
        scores.append(score[~ignored].astype(np.float64))
        films.append(np.full(int((~ignored).sum()), index, np.int64))
        findings.append(np.where(which >= 0, which + start[index], -1)[~ignored])
    of_all = np.concatenate(scores)
    order = np.argsort(-of_all, kind="stable")
    return Outcomes(
        score=of_all[order],
        film=np.concatenate(films)[order],
        finding=np.concatenate(findings)[order],
        film_of_finding=np.repeat(np.arange(len(truths)), np.diff(start)),
        films=len(truths),
    )
