"""What the demo plants into a lung: an opacity is air replaced by water, in mm, where there is lung to replace."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dicom_node.demo.anatomy import LUNG_DENSITY, Build, Thorax
from dicom_node.demo.projection import Map, Plane, ellipsoid, fractal, paint

#: mm of water from which a planted opacity counts as seen: what its box encloses
_SEEN = 12.0


class Opacity(StrEnum):
    """The kinds of opacity that can be planted."""

    CONSOLIDATION = "consolidation"
    MASS = "mass"
    EFFUSION = "effusion"


class Side(StrEnum):
    """The patient's side; the picture's left is the patient's right."""

    RIGHT = "right"
    LEFT = "left"

    @property
    def sign(self) -> int:
        """The direction along x in which this side lies."""
        return -1 if self is Side.RIGHT else 1


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One opacity that a film is to show."""

    kind: Opacity
    side: Side
    #: where along the lung's height its centre lies, 0 apex to 1 costophrenic angle; not for an effusion
    height: float = 0.6
    #: diameter in mm; of an effusion: how far it stands above the dome of the diaphragm
    size: float = 70.0


def opacity_of(plane: Plane, rng: np.random.Generator, build: Build, thorax: Thorax, wish: Wish) -> Map:
    """Thickness of water that `wish` adds."""
    if wish.kind is Opacity.EFFUSION:
        return _effusion(plane, build, thorax, wish)
    y = build.at(wish.height)
    half_width = float(build.outer(np.array([y], np.float32))[0])
    centre = (build.midline + wish.side.sign * half_width * rng.uniform(0.55, 0.62), y)
    if wish.kind is Opacity.MASS:
        return _mass(plane, rng, thorax, centre, wish.size / 2)
    return _consolidation(plane, rng, thorax, centre, wish.size / 2)


def _consolidation(
    plane: Plane, rng: np.random.Generator, thorax: Thorax, centre: tuple[float, float], radius: float
) -> Map:
    """A patch of filled alveoli: dense in the middle, its border frayed at every scale."""
    distance = np.hypot((plane.x - centre[0]) / 1.0, (plane.y - centre[1]) / 0.85) / radius
    frayed = 1.0 - distance + 0.16 * fractal(rng, plane, slope=2.3, longest=50, shortest=2.0)
    fill = np.clip(frayed / 0.75, 0, 1)
    fill = fill * fill * (3 - 2 * fill) * (1 + 0.07 * fractal(rng, plane, slope=2.0, longest=20, shortest=2.5))
    return np.asarray(0.45 * thorax.lung * (1 - LUNG_DENSITY) * np.clip(fill, 0, 1.2), np.float32)


def _mass(plane: Plane, rng: np.random.Generator, thorax: Thorax, centre: tuple[float, float], radius: float) -> Map:
    """A round mass, slightly lobulated."""
    lobes = [ellipsoid(plane, centre, (radius, radius * 0.9, radius * 0.95), turn=rng.uniform(0, 3))]
    for turn in rng.uniform(0, 2 * np.pi, 4):
        at = (centre[0] + 0.5 * radius * float(np.cos(turn)), centre[1] + 0.5 * radius * float(np.sin(turn)))
        lobes.append(ellipsoid(plane, at, (radius * 0.55, radius * 0.5, radius * 0.35), turn=turn))
    chord = plane.blur(np.minimum(paint(plane, lobes), 2.1 * radius), 1.2)
    return np.asarray(np.minimum(chord, thorax.lung) * (1.06 - LUNG_DENSITY), np.float32)


def _effusion(plane: Plane, build: Build, thorax: Thorax, wish: Wish) -> Map:
    """Free fluid at the base, its surface drawn up along the wall: the meniscus."""
    sign = wish.side.sign
    dome = build.dome + (build.left_lower if wish.side is Side.LEFT else 0.0)
    outwards = sign * (plane.x - build.midline)
    wall = build.outer(plane.y) - outwards
    surface = dome - wish.size + 18 - 55 * np.exp(-np.clip(wall, 0, None) / 22)
    fill = np.clip((plane.y - surface) / 26, 0, 1) ** 0.8 * (outwards > 8)
    return plane.blur(np.asarray(0.9 * thorax.lung * (1 - LUNG_DENSITY) * fill, np.float32), 1.0)


def box_of(plane: Plane, water: Map) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 in pixels of `plane` around what an opacity visibly adds. Raises ValueError for nothing."""
    smooth = plane.blur(water, 2.0)
    level = max(_SEEN, 0.4 * float(smooth.max()))
    rows, columns = np.flatnonzero((smooth > level).any(1)), np.flatnonzero((smooth > level).any(0))
    if not len(rows):
        raise ValueError("the opacity lies where there is no lung; choose another height or side")
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
