"""A synthetic radiograph of a hand: what an archive also sends to a chest node, and what that must decline."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dicom_node.demo.chest import ANATOMY, FILM, Radiograph, develop
from dicom_node.demo.projection import Map, Patch, Plane, ellipsoid, fractal, paint, smooth_curve, tube

#: rows and columns of the collimated field, pixels of the film
_FIELD = (slice(330, 2130), slice(480, 1920))
#: base and head of each metacarpal, then the lengths of the phalanges; mm, fingers point up
_RAYS = (
    ((-30.0, 42.0), (-56.0, 6.0), (31.0, 22.0)),
    ((-18.0, 30.0), (-27.0, -30.0), (39.0, 23.0, 18.0)),
    ((-5.0, 28.0), (-7.0, -34.0), (43.0, 27.0, 19.0)),
    ((7.0, 30.0), (12.0, -28.0), (40.0, 26.0, 19.0)),
    ((18.0, 34.0), (30.0, -18.0), (32.0, 19.0, 17.0)),
)
_CARPALS = (
    (-22, 45, 8, 6), (-12, 43, 6, 6), (0, 44, 7, 9), (12, 46, 8, 8),
    (-20, 58, 7, 10), (-5, 60, 8, 7), (9, 60, 7, 7), (15, 56, 5, 5),
)  # fmt: skip


def hand(seed: int) -> Radiograph:
    """A PA hand, the same for the same seed; nothing is planted."""
    rng = np.random.default_rng(seed)
    grain = 1 + 0.08 * fractal(rng, ANATOMY, slope=0.7, longest=6, shortest=0.9)
    bone = ANATOMY.blur(paint(ANATOMY, _bones(ANATOMY)), 0.3) * grain
    # 50 kVp: everything attenuates about four times as much as in the beam of a chest film
    water = np.asarray(4.0 * (_flesh(ANATOMY) + 1.6 * bone), np.float32)
    return Radiograph(
        pixels=np.ascontiguousarray(develop(rng, water)[_FIELD]),
        spacing=FILM.spacing,
        age=int(rng.integers(34, 71)),
        sex="F",
    )


def _rays() -> Iterator[list[NDArray[np.float64]]]:
    """The joints of each finger, from the wrist outwards."""
    for base, head, lengths in _RAYS:
        start, end = np.array(base), np.array(head)
        along = (end - start) / np.hypot(*(end - start))
        joints = [start, end]
        for length in lengths:
            joints.append(joints[-1] + along * (length + 2.0))
        yield joints


def _bones(plane: Plane) -> Iterator[Patch]:
    for joints in _rays():
        for number, (start, end) in enumerate(pairwise(joints)):
            wide = (6.0, 5.0, 4.3, 3.8)[number]
            along = (end - start) / np.hypot(*(end - start))
            shaft = smooth_curve(np.stack([start + along * wide * 0.8, end - along * wide * 0.9]), step=1.0)
            t = np.linspace(-1, 1, len(shaft))
            half = wide * (0.68 + 0.32 * t**4)
            yield tube(plane, shaft, half).hollow(2.0 * half, inner=0.7, marrow=0.45)
    for x, y, a, b in _CARPALS:
        outer = ellipsoid(plane, (x, y), (a, b, 7))
        yield Patch(outer.window, np.asarray(np.minimum(outer.thickness, 9.0) * 0.8, np.float32))
    for points, (wrist_half, shaft_half) in (
        (((-12, 70), (-13, 82), (-10, 110), (-8, 230)), (14.0, 8.0)),
        (((17, 74), (18, 86), (18, 110), (17, 230)), (8.0, 6.5)),
    ):
        shaft = smooth_curve(np.array(points, float), step=1.0)
        half = np.interp(shaft[:, 1], (70, 78, 112), (wrist_half, wrist_half, shaft_half))
        yield tube(plane, shaft, half).hollow(np.full(len(shaft), 16.0), inner=0.78, marrow=0.45)


def _flesh(plane: Plane) -> Map:
    """Skin and muscle around the bones."""
    layers = []
    for joints in _rays():
        finger = smooth_curve(np.array([*joints[:-1], joints[-1] + (joints[-1] - joints[-2]) * 0.12]), step=2.0)
        layers.append(paint(plane, [tube(plane, finger, 9.5).solid(np.full(len(finger), 17.0))]))
    wrist = smooth_curve(np.array([(1.0, 48.0), (2.0, 75.0), (4.0, 230.0)]), step=4.0)
    half = np.interp(wrist[:, 1], (48, 75, 160), (33, 29, 34))
    layers.append(paint(plane, [tube(plane, wrist, half).solid(np.full(len(wrist), 38.0))]))
    layers.append(paint(plane, [ellipsoid(plane, (-1.0, 10.0), (56, 44, 16), turn=1.6)]))
    layers.append(paint(plane, [ellipsoid(plane, (-36.0, 27.0), (36, 20, 14), turn=-2.1)]))
    return plane.blur(np.max(layers, axis=0), 1.0)
