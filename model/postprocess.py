"""A reading to candidates: boxes and masks in pixels of the film."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from model.confidence import finding_confidences
from model.contract import Candidate
from model.fusion import Floats
from model.reading import Reading
from model.weights import Calibration

#: a pixel belongs to a finding from this probability, or from this share of the highest in its box
_PROBABLE = 0.5
_OF_HIGHEST = 0.5
#: where the mask says less than this all over a box, it has no opinion: an ellipse stands in
_NO_OPINION = 0.05
#: probabilities are interpolated on at most this many points a side, then drawn at native size
_FINEST = 256
#: steps between two points in which an edge is drawn; its square fits a byte
_STEPS = 16


def candidates(
    reading: Reading, shape: tuple[int, int], calibration: Calibration, floor: float
) -> tuple[Candidate, ...]:
    """The findings of one film of `shape` (rows, columns), by falling confidence, down to `floor`."""
    confidences = finding_confidences(reading, calibration)
    order = [index for index in np.argsort(-confidences, kind="stable") if confidences[index] >= floor]
    found = []
    for index in order:
        box = pixel_box(reading.boxes.corners[index], shape)
        origin, mask = mask_in(reading.mask, box, shape)
        found.append(Candidate(box=box, confidence=float(confidences[index]), mask_origin=origin, mask=mask))
    return tuple(found)


def pixel_box(corners: Floats, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Fractions to pixels, at least one pixel wide and high and inside the film."""
    rows, columns = shape
    x0, y0, x1, y1 = (float(value) for value in corners)
    left, top = min(x0 * columns, columns - 1.0), min(y0 * rows, rows - 1.0)
    return left, top, max(x1 * columns, left + 1.0), max(y1 * rows, top + 1.0)


def mask_in(
    probabilities: Floats, box: tuple[float, float, float, float], shape: tuple[int, int]
) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """The largest connected part of abnormal tissue in a box, at the film's size, as origin and mask."""
    rows, columns = shape
    x0, y0 = int(box[0]), int(box[1])
    x1, y1 = min(int(np.ceil(box[2])), columns), min(int(np.ceil(box[3])), rows)
    inside = _sample(probabilities, (x0 / columns, y0 / rows, x1 / columns, y1 / rows), (y1 - y0, x1 - x0))
    highest = float(inside.max())
    if highest < _NO_OPINION:
        mask = _ellipse(inside.shape[0], inside.shape[1])
    else:
        mask = _largest(inside >= min(_PROBABLE, _OF_HIGHEST * highest))
    mask = _to_size(mask, (y1 - y0, x1 - x0))
    lines, across = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    tight = mask[lines[0] : lines[-1] + 1, across[0] : across[-1] + 1]
    return (y0 + int(lines[0]), x0 + int(across[0])), np.ascontiguousarray(tight)


def _sample(probabilities: Floats, part: tuple[float, float, float, float], size: tuple[int, int]) -> Floats:
    """Bilinear values of the map over a part of it (fractions), on a grid no finer than needed."""
    x0, y0, x1, y1 = part
    down = _bilinear(probabilities.shape[0], (y0, y1), min(size[0], _FINEST))
    across = _bilinear(probabilities.shape[1], (x0, x1), min(size[1], _FINEST))
    sampled: Floats = (down @ torch.from_numpy(probabilities) @ across.T).numpy()
    return sampled


def _bilinear(cells: int, part: tuple[float, float], count: int) -> torch.Tensor:
    """(count, cells) weights that interpolate at the middles of `count` equal steps over a part of `cells` (fractions).

    Sampling is separable: two small products take a seventh of grid_sample's time.
    """
    below, above, share = _between(cells, part[0] + (part[1] - part[0]) * (np.arange(count) + 0.5) / count)
    weights, rows = np.zeros((count, cells), np.float32), np.arange(count)
    weights[rows, above] = share
    weights[rows, below] += 1 - share
    return torch.from_numpy(weights)


def _between(cells: int, fractions: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """The two of `cells` between whose middles each fraction of them all lies, and the share of the second."""
    places = np.clip(fractions * cells - 0.5, 0, cells - 1)
    below = places.astype(np.intp)
    return below, np.minimum(below + 1, cells - 1), (places - below).astype(np.float32)


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = labels == sizes.argmax()
    return largest


def _ellipse(rows: int, columns: int) -> NDArray[np.bool_]:
    y, x = (np.arange(rows) + 0.5) / rows * 2 - 1, (np.arange(columns) + 0.5) / columns * 2 - 1
    mask: NDArray[np.bool_] = y[:, None] ** 2 + x[None, :] ** 2 <= 1
    return mask if mask.any() else np.ones((rows, columns), np.bool_)


def _to_size(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """To native size with a smoothed edge, so that no stairs are seen."""
    if mask.shape == size:
        return mask
    wide = _blended(np.ascontiguousarray(mask.T).view(np.uint8), size[1], _STEPS)
    grown: NDArray[np.bool_] = _blended(np.ascontiguousarray(wide.T), size[0], _STEPS - 1) >= _STEPS * (_STEPS - 1) // 2
    return grown if grown.any() else np.ones(size, np.bool_)


def _blended(rows: NDArray[np.uint8], count: int, steps: int) -> NDArray[np.uint8]:
    """`steps` times `count` rows interpolated between those given.

    In bytes, since a mask at native size is a million pixels: a third of the time that floats take, and the edge lies
    where theirs would, to a sixteenth of a step.
    """
    below, above, share = _between(len(rows), (np.arange(count) + 0.5) / count)
    weight = np.rint(share * steps).astype(np.uint8)[:, None]
    blended, second = rows[below], rows[above]
    blended *= np.uint8(steps) - weight
    second *= weight
    blended += second
    return blended
