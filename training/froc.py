"""Free-response ROC of boxes, hit rate and AUROC.

A hit is an overlap of at least `least_iou` with a finding no better box has hit; one box, one finding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.datalist import Box, iou

#: false positives an image at which sensitivity is told
POINTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, kw_only=True)
class Marked:
    """One film: what was predicted and what is true."""

    #: (x0, y0, x1, y1) with a score, in any order and any one unit
    predicted: Sequence[tuple[Box, float]]
    #: in the same unit
    findings: Sequence[Box]
    normal: bool


def outcomes(films: Sequence[Marked], least_iou: float = 0.4) -> list[tuple[float, bool, bool]]:
    """(score, hit, on a normal film) of each box of all films, best first; equal scores keep no order."""
    rows = []
    for film in films:
        found: set[int] = set()
        for box, score in sorted(film.predicted, key=lambda item: -item[1]):
            free = [(iou(box, true), k) for k, true in enumerate(film.findings) if k not in found]
            best, which = max(free, default=(0.0, -1))
            hit = best >= least_iou
            if hit:
                found.add(which)
            rows.append((score, hit, film.normal))
    return sorted(rows, key=lambda row: -row[0])


def froc(films: Sequence[Marked], points: Sequence[float] = POINTS, least_iou: float = 0.4) -> dict[float, float]:
    """Sensitivity at each number of false positives an image; equal scores stand or fall together."""
    rows = outcomes(films, least_iou)
    total = max(sum(len(film.findings) for film in films), 1)
    score = np.array([row[0] for row in rows])
    hit = np.array([row[1] for row in rows], bool)
    last_of_tie = np.append(score[1:] != score[:-1], True) if len(rows) else np.zeros(0, bool)
    true, false = np.cumsum(hit)[last_of_tie], np.cumsum(~hit)[last_of_tie]
    return {point: float(true[false <= point * len(films)].max(initial=0)) / total for point in points}


@dataclass(frozen=True, kw_only=True)
class AtThreshold:
    """What one operating point means."""

    sensitivity: float
    false_per_image: float
    false_per_normal: float
    normals_marked: float


def at_threshold(films: Sequence[Marked], threshold: float, least_iou: float = 0.4) -> AtThreshold:
    """The reached point when boxes from `threshold` on are shown."""
    rows = [row for row in outcomes(films, least_iou) if row[0] >= threshold]
    normals = [film for film in films if film.normal]
    marked = sum(any(score >= threshold for _, score in film.predicted) for film in normals)
    total = max(sum(len(film.findings) for film in films), 1)
    return AtThreshold(
        sensitivity=sum(hit for _, hit, _ in rows) / total,
        false_per_image=sum(not hit for _, hit, _ in rows) / max(len(films), 1),
        false_per_normal=sum(normal for _, _, normal in rows) / max(len(normals), 1),
        normals_marked=marked / max(len(normals), 1),
    )


def pointing_hits(films: Sequence[Marked]) -> float:
    """Share of the films with findings whose best box has its centre in one; a film without a box misses."""
    hits, count = 0, 0
    for film in films:
        if not film.findings:
            continue
        count += 1
        if film.predicted:
            box, _ = max(film.predicted, key=lambda item: item[1])
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            hits += any(f[0] <= x <= f[2] and f[1] <= y <= f[3] for f in film.findings)
    return hits / max(count, 1)


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive scores above a negative, ties counting half; nan where one side is empty."""
    if not len(positive) or not len(negative):
        return float("nan")
    a, b = np.asarray(positive)[:, None], np.asarray(negative)[None]
    return float((a > b).mean() + 0.5 * (a == b).mean())
