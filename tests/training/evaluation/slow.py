"""The measures written down as they are defined, film by film and threshold by threshold, to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.datalist import Box, iou
from training.evaluation.matching import Truth, corners
from training.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class Film:
    predicted: list[tuple[Box, float]]
    findings: list[Box]
    normal: bool = False


def predictions(films: Sequence[Film]) -> Predictions:
    ordered = [sorted(film.predicted, key=lambda item: -item[1]) for film in films]
    return Predictions(
        ids=tuple(map(str, range(len(films)))),
        boxes=tuple(corners([box for box, _ in film]).astype(np.float32) for film in ordered),
        scores=tuple(np.array([score for _, score in film], np.float32) for film in ordered),
        channels=tuple(np.zeros(len(film), np.int8) for film in ordered),
        images=np.zeros(len(films), np.float32),
    )


def truths(films: Sequence[Film]) -> list[Truth]:
    return [Truth(findings=corners(film.findings), ignored=corners([])) for film in films]


def count(film: Film, threshold: float, least_iou: float) -> tuple[int, int]:
    """Hits and false positives of one film when boxes from `threshold` on are shown."""
    free, hits, false = list(film.findings), 0, 0
    for box, score in sorted(film.predicted, key=lambda item: -item[1]):
        if score < threshold:
            continue
        best = max(free, key=lambda finding: iou(box, finding), default=None)
        if best is not None and iou(box, best) >= least_iou:
            free.remove(best)
            hits += 1
        else:
            false += 1
    return hits, false


def froc(films: Sequence[Film], point: float, *, normals: bool = False, least_iou: float = 0.4) -> float:
    """The best sensitivity of any threshold that allows no more false positives."""
    best = 0
    counted = [film for film in films if film.normal or not normals]
    for threshold in sorted({score for film in films for _, score in film.predicted}):
        if sum(count(film, threshold, least_iou)[1] for film in counted) <= point * len(counted):
            best = max(best, sum(count(film, threshold, least_iou)[0] for film in films))
    return best / sum(len(film.findings) for film in films)
