"""Bronchovascular markings: trees that branch from the hila and thin out towards the pleura."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_node.demo.anatomy import LUNG_DENSITY, Build
from dicom_node.demo.projection import Map, Plane, ellipsoid, paint, threads

#: radius in mm below which a vessel is no longer seen
_FINEST = 0.3
#: points along one branch
_STEPS = 60

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Generation:
    """Branches that start together: where, in which direction (0 outwards, positive down), how thick."""

    at: Vector
    heading: Vector
    radius: Vector
    #: -1 for branches of the lung on the picture's left, 1 on its right
    side: Vector


def vessels_of(plane: Plane, rng: np.random.Generator, build: Build, lung: Map) -> Map:
    """What vessels and hila add to the lung, mm of water; nothing where there is no `lung`."""
    trunks, lumps = [], []
    for side in (-1, 1):
        root = np.array([build.midline + side * 33, build.at(0.49) - (0 if side < 0 else 9)])
        for x, y, a, b in ((4, -10, 9, 13), (9, 4, 9, 14), (7, 20, 7, 16), (15, -3, 10, 6)):
            centre = (float(root[0] + side * x), float(root[1] + y))
            lumps.append(ellipsoid(plane, centre, (a, b, 6), turn=side * 0.3))
        for angle in np.linspace(-1.3, 1.42, 11) + rng.normal(0, 0.08, 11):
            start = root + np.array([side * 6 * np.cos(angle), 16 * np.sin(angle)])
            trunks.append((start, angle, rng.uniform(2.1, 3.4) * (1.08 if angle > 0 else 0.85), side))
        trunks.append((root, rng.uniform(1.0, 1.25), rng.uniform(5.0, 5.8), side))
    tree = _grow(plane, rng, Generation(*(np.array(column, float) for column in zip(*trunks, strict=True))))
    hila = plane.blur(paint(plane, lumps), 2.0)
    return np.asarray((tree + hila) * np.clip(lung / 40, 0, 1) * (1 - LUNG_DENSITY), np.float32)


def _grow(plane: Plane, rng: np.random.Generator, born: Generation) -> Map:
    """All branches that come of `born`, mm of water."""
    points, radii, volumes = [], [], []
    while len(born.radius):
        n = len(born.radius)
        length = rng.uniform(6, 12, n) * born.radius**0.75 + 3
        wander = np.cumsum(rng.normal(0, 0.022, (n, _STEPS)), 1)
        curl = rng.normal(0, 0.25, (n, 1)) * np.linspace(0, 1, _STEPS)
        bend = born.heading[:, None] + wander + curl
        step = length / _STEPS
        # a branch that leaves the plane of the picture looks shorter and brighter
        seen = (step * rng.uniform(0.6, 1.0, n))[:, None, None]
        path = np.stack([born.side[:, None] * np.cos(bend), np.sin(bend)], 2) * seen
        path = born.at[:, None] + np.cumsum(path, 1)
        taper = born.radius[:, None] * np.linspace(1, 0.93, _STEPS)
        points.append(path.reshape(-1, 2))
        radii.append(taper.ravel())
        volumes.append((np.pi * taper**2 * step[:, None]).ravel())
        # Murray's law, with the exponent that fits pulmonary arteries
        share = rng.uniform(0.22, 0.5, n)
        fork = rng.uniform(0.5, 0.9, n) * rng.choice((-1.0, 1.0), n)
        radius = born.radius * np.stack([1 - share, share]) ** (1 / 2.75)
        heading = bend[:, -1] + np.stack([-fork * share * 0.7, fork * (1 - share)])
        alive = radius > _FINEST
        twice = np.stack([path[:, -1], path[:, -1]])
        born = Generation(twice[alive], heading[alive], radius[alive], np.stack([born.side, born.side])[alive])
    return threads(plane, np.concatenate(points), np.concatenate(volumes), np.concatenate(radii))
