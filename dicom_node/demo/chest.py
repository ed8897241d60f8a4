"""Synthetic frontal chest radiographs, from a seed: a projection through a modelled thorax, nobody's picture.

What the films of real people lent to this is written as numbers in `anatomy`, `skeleton` and here: mean shapes of
lung fields and the spread of grey values. The model that ships with chexnode is never trained on what this draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_node.demo.anatomy import LUNG_DENSITY, Build, thorax_of
from dicom_node.demo.opacities import Opacity, Wish, box_of, opacity_of
from dicom_node.demo.projection import Exposure, Map, Plane, expose, fractal, marker, present
from dicom_node.demo.skeleton import bones_of
from dicom_node.demo.vessels import vessels_of

#: anatomy is drawn on a plane of half the film's resolution, noise at the full one
ANATOMY = Plane(1200, 0.35)
FINER = 2
FILM = Plane(ANATOMY.size * FINER, ANATOMY.spacing / FINER)
#: bits of a stored value
BITS = 12
#: mm of water that processing turns black and white; the means of real films' grey values fall into place so
_BLACK, _WHITE = 20.0, 178.0


@dataclass(frozen=True, kw_only=True)
class Planted:
    """One opacity of a synthetic film."""

    kind: Opacity
    #: x0, y0, x1, y1 in pixels of the film: x along columns, origin at the top left corner
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Radiograph:
    """A synthetic film, as a detector would hand it on for presentation."""

    #: (rows, columns) uint16, 12 bits, MONOCHROME2: bone is bright
    pixels: NDArray[np.uint16]
    #: mm between pixels at the detector
    spacing: float
    planted: tuple[Planted, ...] = ()
    #: years and sex of the person that was modelled; sex decides nothing but breast tissue
    age: int
    sex: str


def chest(seed: int, wishes: Sequence[Wish] = ()) -> Radiograph:
    """A frontal (PA) chest of FILM.size², the same for the same seed; `wishes` changes nothing else of the person."""
    rng = np.random.default_rng(seed)
    build = Build.draw(rng)
    thorax = thorax_of(ANATOMY, rng, build)
    vessels = vessels_of(ANATOMY, rng, build, thorax.lung)
    bones = bones_of(ANATOMY, rng, build)
    lung = thorax.lung * (1 - LUNG_DENSITY) * (1 + 0.010 * fractal(rng, ANATOMY, slope=1.2, longest=15, shortest=1.2))
    tissue = thorax.body * (1 + 0.006 * fractal(rng, ANATOMY, slope=1.7, longest=80, shortest=3))
    water = tissue - lung + vessels + bones - 0.95 * thorax.gas
    opacities = [opacity_of(ANATOMY, np.random.default_rng([seed, i]), build, thorax, w) for i, w in enumerate(wishes)]
    for added in opacities:
        water = water + added
    return Radiograph(
        pixels=develop(rng, water),
        spacing=FILM.spacing,
        planted=tuple(
            Planted(kind=wish.kind, box=_in_film(box_of(ANATOMY, added)))
            for wish, added in zip(wishes, opacities, strict=True)
        ),
        age=int(rng.integers(34, 71)),
        sex="F" if build.breast else "M",
    )


def develop(rng: np.random.Generator, water: Map) -> NDArray[np.uint16]:
    """Expose `water` (on the plane ANATOMY), put the side marker on, process it for presentation."""
    water = np.clip(water, 0, None) + marker(ANATOMY, (-178.0 + float(rng.uniform(0, 8)) + 350, -188.0))
    log_map = expose(rng, ANATOMY, np.asarray(water, np.float32), Exposure(), factor=FINER)
    shown = present(FILM, log_map, low=_BLACK, high=_WHITE)
    return np.asarray(np.clip(np.rint(shown * (2**BITS - 1)), 0, 2**BITS - 1), np.uint16)


def _in_film(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (v * FINER for v in box)
    return x0, y0, x1, y1
