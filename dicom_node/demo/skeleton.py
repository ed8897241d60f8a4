"""The bones of a frontal chest: spine, ribs, clavicles, scapulae, humeri; in mm of water above soft tissue."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dicom_node.demo.anatomy import Build
from dicom_node.demo.projection import Map, Patch, Plane, ellipsoid, fractal, paint, smooth_curve, tube

#: half-width of the arc of ribs 1..10 against the cavity, drop from back to front in mm
_RIB_DROP = (34.0, 52.0, 66.0, 76.0, 84.0, 90.0, 95.0, 98.0, 96.0, 88.0)


def bones_of(plane: Plane, rng: np.random.Generator, build: Build) -> Map:
    """Every bone of the picture, mm of water above the soft tissue that it displaces."""
    bone = paint(plane, [*ribs_of(plane, rng, build), *spine_of(plane, rng, build), *girdle_of(plane, rng, build)])
    grain = 1 + 0.10 * fractal(rng, plane, slope=0.8, longest=8, shortest=1.0)
    return plane.blur(np.asarray(bone * grain, np.float32), 0.35)


def rib_heights(build: Build) -> list[float]:
    """y where ribs 1..10 leave the spine."""
    gaps = np.linspace(20.5, 26.5, 9) * (build.angle - build.apex) / 265
    return [float(v) for v in build.apex + 4 + np.concatenate(([0.0], np.cumsum(gaps)))]


def ribs_of(plane: Plane, rng: np.random.Generator, build: Build) -> Iterator[Patch]:
    """Posterior and anterior arcs, which cross each other as on a film."""
    for side in (-1, 1):
        lift = rng.normal(0, 1.5)
        for number, top in enumerate(rib_heights(build)):
            drop = _RIB_DROP[number] * rng.uniform(0.96, 1.04) * (build.angle - build.apex) / 265
            yield from _rib(plane, rng, build, side, number, top + lift, drop)


def _rib(
    plane: Plane, rng: np.random.Generator, build: Build, side: int, number: int, top: float, drop: float
) -> Iterator[Patch]:
    """One rib: an ellipse in a tilted plane, seen from behind; deeper where it runs along the beam."""
    level = np.array([top + 0.5 * drop], np.float32)
    reach = (
        (float(build.outer(level)[0]) + 1.0) * (0.72, 0.93)[number] if number < 2 else float(build.outer(level)[0]) + 1
    )
    front = np.radians(rng.uniform(150, 158) if number < 6 else 146 - 9 * (number - 6))
    angle = np.linspace(np.radians(6), front, 400)
    x = build.midline + side * reach * np.sin(angle) ** 0.92
    y = top + drop * (1 - np.cos(angle)) / 2 - 5 * np.sin(2 * np.clip(angle, 0, np.pi / 2)) + 2
    z = -float(build.cavity_depth(level)[0]) * np.cos(angle)
    run = np.hypot(np.gradient(x), np.gradient(y))
    foreshortened = np.clip(
        np.sqrt(run**2 + np.gradient(z) ** 2) / np.maximum(run, 1e-6), 1, 1.2 if number == 0 else 1.9
    )
    half = np.interp(angle, (0.2, 0.8, np.pi / 2, 2.0, front), (4.6, 6.0, 6.2, 6.6, 7.2)) * rng.uniform(0.94, 1.04)
    depth = np.interp(angle, (0.2, 0.7, np.pi / 2, 2.2, front), (15.0, 16.0, 14.0, 11.5, 9.5)) * foreshortened**0.6
    depth = depth * np.clip((front - angle) / 0.16, 0.12, 1)
    # both arcs end at the side of the chest: half of the bone each
    depth = depth * (1 - 0.5 * np.exp(-(((angle - np.pi / 2) / 0.2) ** 2)))
    for part in (angle <= np.pi / 2, angle > np.pi / 2):
        curve = np.stack([x[part], y[part]], 1)
        keep = _every(curve, 1.2)
        yield tube(plane, curve[keep], half[part][keep]).hollow(depth[part][keep], inner=0.87, marrow=0.42)


def _every(curve: NDArray[np.float64], step: float) -> list[int]:
    """Indices of points at least `step` mm apart along `curve`."""
    along = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))))
    return sorted({int(i) for i in np.searchsorted(along, np.arange(0, along[-1], step))})


def spine_of(plane: Plane, rng: np.random.Generator, build: Build) -> Iterator[Patch]:
    """Vertebral bodies with end plates, pedicles and spinous processes, discs left dark between them."""
    y = build.apex - 72.0
    bow = rng.normal(0, 2.0)
    while y < 215:
        grow = float(np.clip((y - build.apex) / (build.angle - build.apex), -0.3, 1.3))
        high, half = 17 + 6.5 * grow, 13 + 4.5 * grow
        cx = build.midline + bow * np.sin((y + 150) / 120)
        yield _vertebra(plane, cx, y, half, high / 2)
        for s in (-1, 1):
            yield ellipsoid(plane, (cx + s * half * 0.62, y - high * 0.18), (3.1, 4.4, 4.5))
            yield ellipsoid(plane, (cx + s * half * 1.25, y - high * 0.22), (half * 0.62, 4.0, 4.0), turn=-s * 0.22)
        yield ellipsoid(plane, (cx, y + high * 0.42), (3.0, 6.5, 6.0))
        y += high + 4.2


def _vertebra(plane: Plane, x: float, y: float, half: float, tall: float) -> Patch:
    window = plane.window(x - half - 2, y - tall - 2, x + half + 2, y + tall + 2)
    u, v = np.abs((plane.x[:, window[1]] - x) / half), np.abs((plane.y[window[0]] - y) / tall)
    waist = 1 - 0.10 * (1 - np.clip(v, 0, 1) ** 2)
    box = np.clip(1 - (u / waist) ** 12, 0, 1) * np.clip(1 - v**14, 0, 1)
    core = np.clip(1 - (u / waist / 0.93) ** 12, 0, 1) * np.clip(1 - (v / 0.88) ** 14, 0, 1)
    return Patch(window, np.asarray((17 * box - 7 * core) * np.clip(1 - 0.45 * u**2, 0, 1), np.float32))


def girdle_of(plane: Plane, rng: np.random.Generator, build: Build) -> Iterator[Patch]:
    """Clavicles, scapulae rolled clear of the lungs, heads of the humeri."""
    tilt = rng.uniform(-6, 6)
    for side in (-1, 1):

        def at(*points: tuple[float, float], side: int = side) -> NDArray[np.float64]:
            return np.array([(build.midline + side * x * build.width, build.apex + y) for x, y in points])

        rise = tilt * side * 0.5
        clavicle = smooth_curve(at((15, 42), (35, 34), (70, 20 + rise), (110, 6 + rise), (140, -3 + rise), (158, rise)))
        half = np.interp(np.linspace(0, 1, len(clavicle)), (0, 0.12, 0.45, 0.8, 1), (8.2, 6.4, 5.2, 6.0, 7.0))
        yield tube(plane, clavicle, half).hollow(np.full(len(clavicle), 22.0), inner=0.78, marrow=0.42)
        border = smooth_curve(at((166, 12), (150, 40), (141, 90), (144, 135), (158, 152)))
        yield tube(plane, border, 3.6).solid(np.full(len(border), 8.0))
        spine = smooth_curve(at((140, 58), (160, 22), (182, -2)))
        half = np.interp(np.linspace(0, 1, len(spine)), (0, 1), (4.0, 7.0))
        yield tube(plane, spine, half).hollow(np.full(len(spine), 12.0), inner=0.75, marrow=0.5)
        (plate,) = at((166, 84))
        sheet = ellipsoid(plane, (plate[0], plate[1]), (30, 68, 2.4), turn=-side * 0.18)
        yield Patch(sheet.window, np.minimum(sheet.thickness, 3.6))
        (socket,) = at((171, 18))
        yield ellipsoid(plane, (socket[0], socket[1]), (9, 19, 7), turn=-side * 0.15)
        humerus = smooth_curve(at((192, 22), (198, 40), (214, 95), (236, 190)))
        half = np.interp(np.linspace(0, 1, len(humerus)), (0, 0.1, 0.25, 1), (23, 22, 13, 11.5))
        yield tube(plane, humerus, half).hollow(np.interp(half, (11, 23), (34, 44)), inner=0.84, marrow=0.42)
