"""Boxes of several looks at one film made into one list (weighted boxes fusion, arXiv 1910.13302)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Boxes(NamedTuple):
    """K boxes of one film, best first."""

    #: (K, 4) x0, y0, x1, y1 as fractions of the film
    corners: Floats
    #: (K,) 0..1
    scores: Floats


def overlaps(box: Floats, others: Floats) -> Floats:
    """(K,) intersection over union of one box with (K, 4) others."""
    x0, y0, x1, y1 = box.tolist()
    left, top, right, bottom = others.T
    # columns, not rows of four: these arrays are short, and it is the number of calls that takes the time
    width = np.minimum(right, x1) - np.maximum(left, x0)
    height = np.minimum(bottom, y1) - np.maximum(top, y0)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    union = (x1 - x0) * (y1 - y0) + (right - left) * (bottom - top) - shared
    iou: Floats = shared / np.maximum(union, 1e-9)
    return iou


def fuse(looks: Sequence[Boxes], same: float) -> Boxes:
    """Boxes that overlap more than `same` become their mean, weighted by score.

    The score is the mean over all looks: what only one of them saw counts for less.
    """
    corners = np.concatenate([look.corners for look in looks])
    scores = np.concatenate([look.scores for look in looks])
    fused = np.empty((len(scores), 4), np.float32)
    sums: list[tuple[Floats, float, int]] = []
    for index in np.argsort(-scores, kind="stable"):
        box, score = corners[index], float(scores[index])
        near = overlaps(box, fused[: len(sums)])
        best = int(near.argmax()) if len(near) else -1
        if best >= 0 and near[best] > same:
            weighted, total, members = sums[best]
            sums[best] = (weighted + box * score, total + score, members + 1)
            fused[best] = sums[best][0] / sums[best][1]
        else:
            fused[len(sums)] = box
            sums.append((box * score, score, 1))
    means = [total / max(members, len(looks)) for _, total, members in sums]
    return _ranked(fused[: len(sums)], np.array(means, np.float32))


def join(channels: Sequence[Boxes], same: float) -> Boxes:
    """Boxes of channels that looked for different things: of those that overlap more than `same` the mean,
    weighted by score, with the best score: a finding that only one channel looks for is no weaker for it."""
    if len(channels) == 1:
        return channels[0]
    fused = fuse(channels, same)
    scores = np.concatenate([boxes.scores for boxes in channels])
    corners = np.concatenate([boxes.corners for boxes in channels])
    best = [max(scores[overlaps(box, corners) > same], default=score) for box, score in zip(*fused, strict=True)]
    return _ranked(fused.corners, np.array(best, np.float32))


def suppress(boxes: Boxes, overlap: float) -> Boxes:
    """Only boxes that overlap no better one by `overlap` or more."""
    kept: list[int] = []
    for index in range(len(boxes.scores)):
        if not kept or overlaps(boxes.corners[index], boxes.corners[kept]).max() < overlap:
            kept.append(index)
    return Boxes(boxes.corners[kept], boxes.scores[kept])


def _ranked(corners: Floats, scores: Floats) -> Boxes:
    order = np.argsort(-scores, kind="stable")
    return Boxes(corners[order], scores[order])
