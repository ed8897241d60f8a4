"""The soft parts of a frontal chest: body, lungs, mediastinum, heart, diaphragm, abdomen. Lengths in mm.

The picture's left is the patient's right, as on every frontal film.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from dicom_node.demo.projection import Map, Patch, Plane, ellipsoid, paint, smooth_curve, tube

#: where along the lung's height (0 apex, 1 costophrenic angle) which half-width is measured, for an average adult
_HEIGHT = (0.0, 0.03, 0.08, 0.16, 0.28, 0.42, 0.58, 0.75, 0.9, 1.0, 1.2)
_OUTER = (50.0, 74.0, 91.0, 107.0, 121.0, 131.0, 138.0, 142.0, 143.0, 141.0, 134.0)
_INNER = (44.0, 25.0, 20.0, 16.0, 13.0, 12.0, 12.0, 12.0, 12.0, 12.0, 12.0)
_DEPTH = (18.0, 34.0, 48.0, 62.0, 76.0, 84.0, 88.0, 90.0, 88.0, 82.0, 70.0)

#: what lung tissue at full inspiration attenuates, as a share of water
LUNG_DENSITY = 0.27


@dataclass(frozen=True, kw_only=True)
class Build:
    """One synthetic person and how they stand before the detector."""

    #: y of the lungs' apices, of the right dome's top, of the costophrenic angles
    apex: float
    dome: float
    angle: float
    #: how far the left dome stands below the right one
    left_lower: float
    #: width and depth against the average adult
    width: float
    depth: float
    #: the patient's midline; positive is to the right of the picture
    midline: float
    #: heart's size against the average, breast tissue in mm of depth
    heart: float
    breast: float
    #: soft tissue outside the ribs at the side of the chest
    flank: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Build":
        apex = rng.uniform(-160, -148)
        angle = rng.uniform(118, 134)
        return cls(
            apex=apex,
            angle=angle,
            dome=angle - rng.uniform(46, 56),
            left_lower=rng.uniform(7, 14),
            width=rng.uniform(1.0, 1.08),
            depth=rng.uniform(0.92, 1.02),
            midline=rng.uniform(-4, 4),
            heart=rng.uniform(0.92, 1.04),
            breast=float(rng.choice((0.0, 0.0, 8.0, 12.0))),
            flank=rng.uniform(17, 24),
        )

    def at(self, t: float) -> float:
        """y at the share `t` of the lungs' height."""
        return self.apex + t * (self.angle - self.apex)

    def share(self, y: Map) -> Map:
        return np.asarray((y - self.apex) / (self.angle - self.apex), np.float32)

    def outer(self, y: Map) -> Map:
        """Half-width of the thoracic cavity at `y`."""
        return np.asarray(self.width * PchipInterpolator(_HEIGHT, _OUTER)(np.clip(self.share(y), 0, 1.2)), np.float32)

    def cavity_depth(self, y: Map) -> Map:
        """Half-depth of the thoracic cavity at `y`."""
        return np.asarray(self.depth * PchipInterpolator(_HEIGHT, _DEPTH)(np.clip(self.share(y), 0, 1.2)), np.float32)


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """Thickness maps of the soft parts."""

    #: everything but air and bone, as if there were no lung
    body: Map
    #: aerated lung in front of and behind each pixel
    lung: Map
    #: the cavity of both lungs if heart, mediastinum and diaphragm were not in it
    cavity: Map
    #: gas outside the lungs: airways, stomach, bowel
    gas: Map


def cavity_of(plane: Plane, build: Build) -> Map:
    """The two pleural cavities, mediastinum and abdomen not yet taken out of them."""
    share = build.share(plane.y)
    outer = build.outer(plane.y)
    inner = np.asarray(PchipInterpolator(_HEIGHT, _INNER)(np.clip(share, 0, 1.2)), np.float32)
    middle, half = (outer + inner) / 2, np.maximum((outer - inner) / 2, 1)
    u = (np.abs(plane.x - build.midline) - middle) / half
    side = np.where(u > 0, np.clip(1 - np.abs(u) ** 3.0, 0, None), np.clip(1 - np.abs(u) ** 8, 0, None))
    open_ = np.clip(share / 0.012, 0, 1) * np.clip((1.18 - share) / 0.05, 0, 1)
    return np.asarray(2 * build.cavity_depth(plane.y) * np.sqrt(side) * open_, np.float32)


def diaphragm_of(plane: Plane, build: Build) -> Map:
    """The abdomen's content that bulges into the cavity; the edge of each dome is a tangent and thus sharp."""
    dx = plane.x - build.midline
    reach = build.width * 140
    out = plane.zeros()
    for side in (-1, 1):
        top = build.dome + (build.left_lower if side > 0 else 0.0)
        centre = side * reach * 0.50
        lateral = side * (dx - centre) / (reach * 0.52)
        drop = np.where(lateral > 0, (build.angle - top + 9) * np.abs(lateral) ** 3.1, 15 * np.abs(lateral) ** 2.2)
        below = plane.y - (top + drop)
        ball = np.sqrt(np.clip(1 - (1 - np.clip(below / 58, 0, 1)) ** 2, 0, None))
        out = np.where(side * dx > 0, 2 * build.depth * 88 * ball, out).astype(np.float32)
    return out


def heart_of(plane: Plane, build: Build) -> Map:
    """Heart, great vessels and the rest of the mediastinum."""
    m, k = build.midline, build.heart
    foot = build.dome
    parts = [
        # left ventricle, its apex, right atrium, outflow tract and left appendage, pulmonary trunk, aortic arch
        ellipsoid(plane, (m + 27, foot - 30), (72 * k, 50 * k, 52), turn=0.66),
        ellipsoid(plane, (m + 42, foot - 16), (52 * k, 38 * k, 48), turn=0.85),
        ellipsoid(plane, (m - 8, foot - 35), (39 * k, 54 * k, 46), turn=0.1),
        ellipsoid(plane, (m + 20, foot - 70), (30, 52, 40), turn=-0.42),
        ellipsoid(plane, (m + 24, build.at(0.45)), (16, 26, 26), turn=-0.2),
        ellipsoid(plane, (m + 20, build.at(0.35)), (17, 18, 24)),
    ]
    trunk = smooth_curve(
        np.array([[m + 1, build.apex - 45], [m - 1, build.at(0.2)], [m - 2, build.at(0.5)], [m + 2, 215]])
    )
    heights = (build.apex - 40, build.at(0.12), build.at(0.35), build.at(0.6), 210)
    half = np.interp(trunk[::4, 1], heights, (26, 24, 24, 23, 24))
    deep = np.interp(trunk[::4, 1], heights, (30, 46, 66, 70, 70))
    parts.append(tube(plane, trunk[::4], half).solid(deep))
    aorta = smooth_curve(
        np.array([[m + 21, build.at(0.36)], [m + 25, build.at(0.5)], [m + 20, build.at(0.75)], [m + 12, 160]])
    )
    parts.append(tube(plane, aorta[::3], 13.0).solid(np.full(len(aorta[::3]), 26.0)))
    cava = smooth_curve(np.array([[m - 17, build.at(0.06)], [m - 22, build.at(0.3)], [m - 26, build.at(0.5)]]))
    parts.append(tube(plane, cava[::3], 11.0).solid(np.full(len(cava[::3]), 24.0)))
    # oesophagus and what lies beside the spine behind the heart
    parts.append(ellipsoid(plane, (m + 8, foot + 8), (46, 30, 50)))
    # fat that rounds the angles between heart and diaphragm
    parts.append(ellipsoid(plane, (m - 38, foot + 6), (26, 13, 30), turn=-0.5))
    parts.append(ellipsoid(plane, (m + 84 * k, foot + 5), (24, 11, 30), turn=0.5))
    total = np.sqrt(paint(plane, [Patch(part.window, part.thickness**2) for part in parts]))
    return np.asarray(np.minimum(total, 0.93 * 2 * build.cavity_depth(plane.y)), np.float32)


def body_of(plane: Plane, build: Build) -> Map:
    """Trunk, neck, shoulders, arms and breasts, as thickness of water with nothing inside."""
    y, dx = plane.y, plane.x - build.midline
    outer = build.outer(y) + build.flank
    shoulder = build.apex + 22
    trunk_half = np.interp(
        y[:, 0],
        (build.apex - 75, build.apex - 42, shoulder - 32, shoulder, build.at(0.3), build.at(0.5)),
        (60, 66, 118, 168, 168, 160),
    )[:, None]
    blend = np.clip((y - build.at(0.32)) / 60, 0, 1)
    half = trunk_half * (1 - blend) + outer * blend
    depth = np.interp(
        y[:, 0],
        (build.apex - 80, build.apex - 30, build.at(0.15), build.at(0.45), build.at(1.1)),
        (56, 60, 84, 106, 112),
    )[:, None]
    trunk = 2 * build.depth * depth * np.sqrt(np.clip(1 - np.abs(dx / half) ** 3.2, 0, None))
    body = trunk.astype(np.float32)
    for side in (-1, 1):
        m = build.midline
        arm = smooth_curve(
            np.array(
                [
                    [m + side * 120, shoulder - 8],
                    [m + side * 165, shoulder + 18],
                    [m + side * 205, shoulder + 85],
                    [m + side * 235, shoulder + 190],
                    [m + side * 250, shoulder + 260],
                ]
            )
        )[::4]
        radius = np.interp(arm[:, 1], (shoulder, shoulder + 60, shoulder + 200), (38, 42, 36))
        limb = paint(plane, [tube(plane, arm, radius).solid(np.full(len(arm), 82.0))])
        body = np.sqrt(body * body + limb * limb)
        if build.breast:
            centre = (m + side * 84 * build.width, build.at(0.72))
            breast = paint(plane, [ellipsoid(plane, centre, (62, 56, build.breast), turn=-side * 0.25)])
            body = body + breast * np.clip((y - centre[1] + 60) / 70, 0, 1)
    return plane.blur(np.asarray(body, np.float32), 1.5)


def gas_of(plane: Plane, rng: np.random.Generator, build: Build, diaphragm: Map) -> Map:
    """Trachea and main bronchi, the stomach's bubble, some bowel."""
    m = build.midline
    carina = build.at(0.42)
    wind = smooth_curve(np.array([[m, build.apex - 70], [m, build.at(0.1)], [m - 3, build.at(0.28)], [m - 2, carina]]))
    pockets = [tube(plane, wind, 8.5).solid(np.full(len(wind), 21.0))]
    for x, y, r in ((-34, 24, 6.0), (40, 30, 5.2)):
        bronchus = smooth_curve(np.array([[m - 2, carina - 4], [m + x / 2, carina + 8], [m + x, carina + y]]))
        pockets.append(tube(plane, bronchus, r).solid(np.full(len(bronchus), 1.5 * r)))
    left = build.dome + build.left_lower
    for _ in range(int(rng.integers(1, 5))):
        where = (m + rng.uniform(35, 120), left + rng.uniform(60, 110))
        half = (rng.uniform(9, 20), rng.uniform(7, 11), 6.0)
        pockets.append(ellipsoid(plane, where, half, turn=rng.uniform(-1, 1)))
    bubble = ellipsoid(plane, (m + rng.uniform(62, 84), left + 24), (rng.uniform(26, 36), 22, 22), turn=0.2)
    level = left + rng.uniform(24, 38)
    under = np.clip((diaphragm - 120) / 15, 0, 1) * np.clip((level - plane.y) / 1.5, 0, 1)
    gas = paint(plane, pockets) + paint(plane, [bubble]) * under
    return plane.blur(np.asarray(gas, np.float32), 1.0)


def thorax_of(plane: Plane, rng: np.random.Generator, build: Build) -> Thorax:
    """All soft parts of one person."""
    cavity, diaphragm = cavity_of(plane, build), diaphragm_of(plane, build)
    filled = np.sqrt(heart_of(plane, build) ** 2 + diaphragm**2)
    lung = plane.blur(np.clip(cavity - filled, 0, None), 0.7)
    gas = gas_of(plane, rng, build, diaphragm)
    return Thorax(body=body_of(plane, build), lung=lung, cavity=cavity, gas=gas)
