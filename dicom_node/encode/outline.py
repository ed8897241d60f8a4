"""The outline of a mask: a light line beside a dark one, outside of what it encloses, antialiased.

Distances come from a Gaussian: beside a straight edge a mask blurred with sigma s has the value Phi(-d/s) at distance
d, so d = -s * inverse Phi. That also smooths the steps of a mask that was made at a coarser size than it is shown.
"""

from dataclasses import dataclass
from math import ceil, erf, sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicom_node.domain import Finding

#: inverse of Phi as a table: probabilities, and the distance in sigmas at which the blur has them
_SIGMAS = np.linspace(-4, 4, 1025)
_PHI = np.array([(1 + erf(s / sqrt(2))) / 2 for s in _SIGMAS])


@dataclass(frozen=True, kw_only=True)
class Pen:
    """How outlines are drawn, in pixels of the picture."""

    #: width of the light line and of the dark one
    width: float
    #: clear space between the region and the light line
    gap: float

    @property
    def reach(self) -> int:
        """Pixels around a region that its outline may touch."""
        return ceil(self.gap + 2 * self.width + 1.5)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The outline of one finding in a window of the picture."""

    #: first row and column of the window
    top: int
    left: int
    #: (rows, columns) float32, 0..1: how much of a pixel each line covers
    light: NDArray[np.float32]
    dark: NDArray[np.float32]
    #: (rows, columns) bool: the region and its outline
    covered: NDArray[np.bool_]

    @property
    def window(self) -> tuple[slice, slice]:
        """Where it lies in the picture: rows, columns."""
        rows, columns = self.light.shape
        return slice(self.top, self.top + rows), slice(self.left, self.left + columns)


def outline(finding: Finding, *, scale: tuple[float, float], size: tuple[int, int], pen: Pen) -> Outline:
    """The outline of `finding` in a picture of `size` (rows, columns), `scale` picture pixels a film pixel."""
    sigma = pen.reach / 2.4
    margin = pen.reach + ceil(3 * sigma)
    region, top, left = _resampled(finding, scale=scale, size=size, margin=margin)
    _keep_visible(region, top=top, left=left, size=size, pen=pen)
    distance = _distance(region, sigma)
    # the window was widened beyond the picture so that the blur needs no edge rule
    rows = slice(max(0, -top), region.shape[0] - max(0, top + region.shape[0] - size[0]))
    columns = slice(max(0, -left), region.shape[1] - max(0, left + region.shape[1] - size[1]))
    distance = distance[rows, columns]
    light = _line(distance, pen.gap + pen.width / 2, pen.width)
    dark = _line(distance, pen.gap + pen.width * 1.5, pen.width)
    return Outline(
        top=max(0, top),
        left=max(0, left),
        light=light,
        dark=dark,
        covered=distance <= pen.gap + 2 * pen.width,
    )


def _resampled(
    finding: Finding, *, scale: tuple[float, float], size: tuple[int, int], margin: int
) -> tuple[NDArray[np.float32], int, int]:
    """The mask at the picture's scale with `margin` pixels around it, and the window's first row and column."""
    spans, pads = [], []
    for origin, length, factor, most in zip(finding.mask_origin, finding.mask.shape, scale, size, strict=True):
        first = min(int(origin * factor), most - 1)
        last = max(first + 1, min(ceil((origin + length) * factor), most))
        spans.append((first, last))
        pads.append((ceil(abs(origin - first / factor)) + 1, ceil(abs(last / factor - origin - length)) + 1))
    padded = np.pad(finding.mask.astype(np.uint8) * 255, pads)
    rows, columns = (
        ((span[0] / factor - origin + pad[0]), (span[1] / factor - origin + pad[0]))
        for span, factor, origin, pad in zip(spans, scale, finding.mask_origin, pads, strict=True)
    )
    inner = Image.fromarray(padded).resize(
        (spans[1][1] - spans[1][0], spans[0][1] - spans[0][0]),
        Image.Resampling.BILINEAR,
        box=(columns[0], rows[0], columns[1], rows[1]),
    )
    region = np.pad(np.asarray(inner).astype(np.float32) / np.float32(255), margin)
    return region, spans[0][0] - margin, spans[1][0] - margin


def _keep_visible(region: NDArray[np.float32], *, top: int, left: int, size: tuple[int, int], pen: Pen) -> None:
    """Let no outline fall off the picture, and none vanish because its region is smaller than the pen (in place)."""
    rows = np.arange(region.shape[0])[:, None] + top
    columns = np.arange(region.shape[1])[None, :] + left
    weight = float(region.sum())
    centre = (
        ((region.sum(1) @ rows[:, 0]) / weight, (region.sum(0) @ columns[0]) / weight)
        if weight > 0
        else (rows.mean(), columns.mean())
    )
    if weight < np.pi * pen.reach**2 / 4:
        disc = np.hypot(rows - centre[0], columns - centre[1]) <= pen.reach / 2
        np.maximum(region, disc, out=region)
    inside = (
        (rows >= min(pen.reach, size[0] // 3))
        & (rows < size[0] - min(pen.reach, size[0] // 3))
        & (columns >= min(pen.reach, size[1] // 3))
        & (columns < size[1] - min(pen.reach, size[1] // 3))
    )
    if (region * inside).any():
        region *= inside


def _distance(region: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Signed distance to the edge of `region`, pixels, negative inside; good to about 2.4 sigma."""
    reach = ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    blurred = _convolved(_convolved(region, kernel).T, kernel).T
    distance = np.where(blurred > 0.5, np.float32(-np.inf), np.float32(np.inf))
    near = (blurred > _PHI[0]) & (blurred < _PHI[-1])
    distance[near] = -sigma * np.interp(blurred[near], _PHI, _SIGMAS)
    return distance


def _convolved(picture: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along the rows' axis, zeros beyond the edge."""
    reach = len(kernel) // 2
    padded = np.pad(picture, ((reach, reach), (0, 0)))
    out = np.zeros(picture.shape, np.float32)
    part = np.empty(picture.shape, np.float32)
    for shift, weight in enumerate(kernel):
        out += np.multiply(padded[shift : shift + picture.shape[0]], weight, out=part)
    return out


def _line(distance: NDArray[np.float32], centre: float, width: float) -> NDArray[np.float32]:
    """How much of each pixel a line of `width` at `centre` covers."""
    covered: NDArray[np.float32] = np.clip(width / 2 + 0.5 - np.abs(distance - centre), 0, 1, dtype=np.float32)
    return covered
