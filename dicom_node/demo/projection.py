"""X-ray projection in the plane of the detector: thickness maps of simple bodies, and what a detector makes of them.

Lengths are millimetres at the detector; x runs to the right of the picture, y down, the origin is its centre.
Maps are (rows, columns) float32 on a `Plane`; a thickness is millimetres of water that would attenuate as much.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Map = NDArray[np.float32]

#: attenuation of water at the mean energy of a 120 kVp chest beam, 1/mm (NIST XCOM, about 60 keV)
WATER = 0.0195


@dataclass(frozen=True)
class Plane:
    """A square grid on the detector: `size` pixels a side, `spacing` mm apart."""

    size: int
    spacing: float

    @cached_property
    def x(self) -> Map:
        """(1, columns): mm to the right of the centre."""
        return self._axis[None, :]

    @cached_property
    def y(self) -> Map:
        """(rows, 1): mm below the centre."""
        return self._axis[:, None]

    @cached_property
    def _axis(self) -> Map:
        return ((np.arange(self.size) - (self.size - 1) / 2) * self.spacing).astype(np.float32)

    def zeros(self) -> Map:
        return np.zeros((self.size, self.size), np.float32)

    def pixel(self, mm: float) -> float:
        """The pixel coordinate of `mm` along either axis."""
        return mm / self.spacing + (self.size - 1) / 2

    def window(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice]:
        """(rows, columns) that cover the rectangle, which is in mm, as far as it lies on the plane."""
        columns = np.clip(np.searchsorted(self._axis, (x0, x1)), 0, self.size)
        rows = np.clip(np.searchsorted(self._axis, (y0, y1)), 0, self.size)
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))

    def blur(self, picture: Map, sigma: float) -> Map:
        """Gaussian blur, `sigma` in mm; a wide one is done on a coarser grid."""
        pixels = sigma / self.spacing
        step = max(1, int(pixels / 4))
        if step == 1:
            return np.asarray(ndimage.gaussian_filter(picture, pixels, mode="nearest", truncate=3.0), np.float32)
        rows = -(-self.size // step) * step
        padded = np.pad(picture, ((0, rows - self.size), (0, rows - self.size)), mode="edge")
        coarse = padded.reshape(rows // step, step, rows // step, step).mean((1, 3))
        coarse = ndimage.gaussian_filter(coarse, pixels / step, mode="nearest", truncate=3.0)
        return enlarge(coarse, step)[: self.size, : self.size]


def enlarge(picture: Map, factor: int) -> Map:
    """Linear interpolation to `factor` times the size, pixel centres kept."""
    n = picture.shape[0]
    position = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
    low = np.minimum(position.astype(int), n - 2)
    weight = (position - low).astype(np.float32)
    rows = picture[low] * (1 - weight)[:, None] + picture[low + 1] * weight[:, None]
    out = rows[:, low]
    out += (rows[:, low + 1] - out) * weight
    return np.asarray(out, np.float32)


@dataclass(frozen=True)
class Patch:
    """The thickness of one body, on the window of the plane that it covers."""

    window: tuple[slice, slice]
    thickness: Map


def paint(plane: Plane, patches: Iterable[Patch]) -> Map:
    """The sum of `patches`."""
    out = plane.zeros()
    for patch in patches:
        out[patch.window] += patch.thickness
    return out


def ellipsoid(
    plane: Plane, centre: tuple[float, float], half: tuple[float, float, float], *, turn: float = 0.0
) -> Patch:
    """Chord through an ellipsoid of half axes (along, across, depth); `turn` radians from x towards y."""
    reach = max(half[0], half[1])
    window = plane.window(centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)
    dx, dy = plane.x[:, window[1]] - np.float32(centre[0]), plane.y[window[0]] - np.float32(centre[1])
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    q = ((dx * c + dy * s) / half[0]) ** 2 + ((dy * c - dx * s) / half[1]) ** 2
    return Patch(window, np.asarray(2 * half[2] * np.sqrt(np.clip(1 - q, 0, None)), np.float32))


@dataclass(frozen=True)
class Tube:
    """How far each pixel of a window is from a curve: `q` is (distance/radius)², `nearest` the curve's point."""

    window: tuple[slice, slice]
    q: Map
    nearest: NDArray[np.int32]

    def solid(self, depth: NDArray[np.floating]) -> Patch:
        """A filled tube that is `depth[i]` mm deep at point i."""
        chord = np.sqrt(np.clip(1 - self.q, 0, None)) * depth[self.nearest]
        return Patch(self.window, np.asarray(chord, np.float32))

    def hollow(self, depth: NDArray[np.floating], *, inner: float, marrow: float) -> Patch:
        """A shell whose inner radius is `inner` of the outer; the core counts `marrow` of it."""
        outer = np.sqrt(np.clip(1 - self.q, 0, None))
        core = np.sqrt(np.clip(inner * inner - self.q, 0, None))
        return Patch(self.window, np.asarray((outer - (1 - marrow) * core) * depth[self.nearest], np.float32))


def tube(plane: Plane, curve: NDArray[np.floating], radius: NDArray[np.floating] | float) -> Tube:
    """The tube around `curve` ((n, 2) mm, x then y) with a radius in mm, one for all or one for each point."""
    radii = np.broadcast_to(np.asarray(radius, float), len(curve))
    low, high = (curve - radii[:, None]).min(0), (curve + radii[:, None]).max(0)
    window = plane.window(low[0], low[1], high[0], high[1])
    xs, ys = plane.x[0, window[1]], plane.y[window[0], 0]
    q = np.full((len(ys), len(xs)), 4.0, np.float32)
    nearest = np.zeros(q.shape, np.int32)
    for i, ((cx, cy), r) in enumerate(zip(curve, radii, strict=True)):
        x0, x1 = np.searchsorted(xs, (cx - r, cx + r))
        y0, y1 = np.searchsorted(ys, (cy - r, cy + r))
        here = ((xs[x0:x1] - cx) ** 2 + ((ys[y0:y1] - cy) ** 2)[:, None]) / (r * r)
        closer = here < q[y0:y1, x0:x1]
        np.copyto(q[y0:y1, x0:x1], here, where=closer, casting="same_kind")
        np.copyto(nearest[y0:y1, x0:x1], i, where=closer)
    return Tube(window, q, nearest)


def smooth_curve(points: NDArray[np.floating], *, step: float = 1.5) -> NDArray[np.float64]:
    """A smooth curve through `points` (n, k), sampled about every `step` mm along its first two coordinates."""
    from scipy.interpolate import PchipInterpolator

    chord = np.hypot(*np.diff(points[:, :2], axis=0).T)
    along = np.concatenate(([0.0], np.cumsum(chord)))
    at = np.linspace(0, along[-1], max(2, int(along[-1] / step)))
    return np.asarray(PchipInterpolator(along, points)(at))


def threads(
    plane: Plane, points: NDArray[np.floating], volume: NDArray[np.floating], radius: NDArray[np.floating]
) -> Map:
    """Thickness of many thin tubes given as points: each (x, y) brings `volume` mm³, spread over its `radius`."""
    out = plane.zeros()
    n = plane.size
    column = np.clip(points[:, 0] / plane.spacing + n / 2, 0, n - 1).astype(int)
    row = np.clip(points[:, 1] / plane.spacing + n / 2, 0, n - 1).astype(int)
    edges = np.geomspace(max(radius.min(), 1e-3), radius.max() * 1.001, 9)
    for low, high in pairwise(edges):
        chosen = (radius >= low * 0.9999) & (radius < high)
        if not chosen.any():
            continue
        flat = np.bincount(row[chosen] * n + column[chosen], volume[chosen], n * n)
        layer = (flat.reshape(n, n) / plane.spacing**2).astype(np.float32)
        out += plane.blur(layer, max(float(np.sqrt(low * high)) * 0.5, plane.spacing * 0.6))
    return out


def fractal(rng: np.random.Generator, plane: Plane, *, slope: float, longest: float, shortest: float) -> Map:
    """Noise of mean 0 and deviation 1 whose amplitude falls as frequency**-slope between two wavelengths in mm."""
    step = max(1, int(shortest / plane.spacing / 3))
    n = -(-plane.size // step)
    white = rng.standard_normal((n, n), np.float32)
    fy = np.fft.fftfreq(n, plane.spacing * step)[:, None]
    fx = np.fft.rfftfreq(n, plane.spacing * step)[None, :]
    f = np.hypot(fx, fy) + 1e-9
    gain = np.where(f < 1 / longest, 0, f**-slope) * np.exp(-((f * shortest / 2) ** 2))
    picture = np.fft.irfft2(np.fft.rfft2(white) * gain.astype(np.float32), s=(n, n)).astype(np.float32)
    picture /= picture.std()
    return enlarge(picture, step)[: plane.size, : plane.size] if step > 1 else picture


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """One exposure and the way from quanta to stored values."""

    #: scatter that passes the grid, as a share of the primary
    scatter: float = 0.28
    #: spread of the scatter, mm
    scatter_sigma: float = 35.0
    #: quanta that a pixel of the fine plane counts where nothing attenuates
    quanta: float = 90_000.0
    #: blur of the detector, mm
    blur: float = 0.13


def expose(rng: np.random.Generator, plane: Plane, water: Map, exposure: Exposure, *, factor: int) -> Map:
    """The logarithm of what the detector sees, as mm of water, on a plane `factor` times finer, noise included."""
    primary = np.exp(-WATER * water)
    seen = primary + exposure.scatter * plane.blur(primary, exposure.scatter_sigma)
    seen = enlarge(seen / np.float32(1 + exposure.scatter), factor)
    grain = rng.standard_normal(seen.shape, np.float32)
    seen = seen + grain * np.sqrt(seen / np.float32(exposure.quanta))
    fine = Plane(plane.size * factor, plane.spacing / factor)
    seen = fine.blur(seen, exposure.blur)
    return np.asarray(-np.log(np.clip(seen, 1e-6, None)) / WATER, np.float32)


def present(plane: Plane, log_map: Map, *, low: float, high: float) -> Map:
    """Processing for presentation: contrast between two thicknesses (mm of water), evened out, sharpened; 0..1."""
    value = (log_map - np.float32(low)) / np.float32(high - low)
    coarse = Plane(plane.size // 2, plane.spacing * 2)
    half = value.reshape(coarse.size, 2, coarse.size, 2).mean((1, 3))
    wide = np.maximum(coarse.blur(half, 30.0), np.float32(0.35))
    taken = 0.42 * (wide - 0.5) + 0.45 * coarse.blur(half, 7.0) + 0.4 * coarse.blur(half, 1.6)
    value = 1.85 * value - enlarge(np.asarray(taken, np.float32), 2)
    return np.asarray(1 / (1 + np.exp(np.float32(-4.6) * (value - np.float32(0.5)))), np.float32)


def marker(plane: Plane, corner: tuple[float, float], *, tall: float = 14.0) -> Map:
    """The lead letter L that technologists put at the patient's left; `corner` is its top left, in mm."""
    out = plane.zeros()
    x, y = corner
    out[plane.window(x, y, x + 2.4, y + tall)] = 130.0
    out[plane.window(x, y + tall - 2.4, x + tall * 0.6, y + tall)] = 130.0
    return out
