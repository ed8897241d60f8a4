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
    inner = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(inner, 0, None).prod(1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - shared
    iou: Floats = shared / np.maximum(union, np.float32(1e-9))
    return iou


def fuse(looks: Sequence[Boxes], same: float) -> Boxes:
    """Boxes that overlap more than `same` become their mean, weighted by score.

    The score is the mean over all looks: what only one of them saw counts for less.
    """
    corners = np.concatenate([look.corners for look in looks])
    scores = np.concatenate([look.scores for look in looks])
    fused = np.zeros((0, 4), np.float32)
    sums: list[tuple[Floats, float, int]] = []
    for index in np.argsort(-scores, kind="stable"):
        box, score = corners[index], float(scores[index])
        near = overlaps(box, fused) if len(fused) else np.zeros(0, np.float32)
        best = int(near.argmax()) if len(near) else -1
        if best >= 0 and near[best] > same:
            weighted, total, members = sums[best]
            sums[best] = (weighted + box * score, total + score, members + 1)
            fused[best] = sums[best][0] / sums[best][1]
        else:
            sums.append((box * score, score, 1))
            fused = np.concatenate([fused, box[None]])
    means = [total / max(members, len(looks)) for _, total, members in sums]
    return _ranked(fused, np.array(means, np.float32))


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
