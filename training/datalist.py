"""Who read which film, and what they drew: the films of `nih/annotations.json` as frozen rows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

#: children are left out: thymus and growth plates are not abnormal
MIN_AGE = 16
#: regions below this share of the film are too small to be scored, and never trained as background
MIN_AREA = 0.001
#: boxes of one film that overlap more than this (IoU) are one finding, drawn twice
SAME_FINDING = 0.3

Box = tuple[float, float, float, float]
Polygon = tuple[tuple[float, float], ...]


class Status(StrEnum):
    """What is known of a film as a whole."""

    LOCALISED = "abnormal_localised"
    UNLOCALISED = "abnormal_unlocalised"
    ABNORMAL_REPORT = "abnormal_nlp"
    NORMAL = "normal"
    NORMAL_REPORT = "normal_nlp"
    NORMAL_WEAK = "normal_weak"


#: films without regions whose background may be trained as background
NEGATIVE = frozenset({Status.NORMAL, Status.NORMAL_REPORT, Status.NORMAL_WEAK})


@dataclass(frozen=True, kw_only=True)
class Region:
    """One drawn region; all coordinates are fractions of the film, origin top left."""

    label: str
    reader: str
    #: x0, y0, x1, y1
    box: Box
    #: the outline, where the reader drew one
    polygon: Polygon | None


@dataclass(frozen=True, kw_only=True)
class Example:
    """One film and what its readers said."""

    id: str
    path: Path
    patient: str
    #: columns of the picture at hand: 512, 128 or 64
    width: int
    view: str
    split: str
    status: Status
    readers: frozenset[str]
    regions: tuple[Region, ...]

    @property
    def boxes(self) -> list[Box]:
        """The findings: regions large enough, those drawn twice merged."""
        return merge([region.box for region in self.regions if area(region.box) >= MIN_AREA])

    @property
    def too_small(self) -> list[Box]:
        """Regions that are neither trained as findings nor as background."""
        return [region.box for region in self.regions if area(region.box) < MIN_AREA]

    @property
    def fully_read(self) -> bool:
        """All of the film was looked at: by ChestX-Det's readers, or it is a normal film."""
        return "chestx-det" in self.readers or self.status in NEGATIVE


def area(box: Sequence[float]) -> float:
    """Width times height, in the square of the box's unit."""
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (area(a) + area(b) - width * height)


def merge(boxes: Sequence[Box], overlap: float = SAME_FINDING) -> list[Box]:
    """Boxes that overlap more than `overlap` become the one box around both, until none do."""
    merged: list[Box] = []
    for box in boxes:
        while True:
            partner = next((other for other in merged if iou(box, other) > overlap), None)
            if partner is None:
                break
            merged.remove(partner)
            box = _around(box, partner)
        merged.append(box)
    return merged


def _around(a: Box, b: Box) -> Box:
    return (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))


def read_nih(folder: Path) -> list[Example]:
    """Every adult's film of `folder`/annotations.json. Raises ValueError naming the row that is wrong."""
    rows = json.loads((folder / "annotations.json").read_text())
    examples = []
    for number, row in enumerate(rows):
        try:
            example = _example(row, folder)
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{folder}/annotations.json, row {number} ({row.get('id')}): {error}") from error
        if row["age"] is None or row["age"] >= MIN_AGE:
            examples.append(example)
    return examples


def _example(row: dict[str, Any], folder: Path) -> Example:
    return Example(
        id=row["id"],
        path=folder / row["file"],
        patient=row["patient"],
        width=row["width"],
        view=row["view"],
        split=row["split"],
        status=Status(row["status"]),
        readers=frozenset(row["annotators"]),
        regions=tuple(_region(region) for region in row["regions"]),
    )


def _region(region: dict[str, Any]) -> Region:
    x0, y0, x1, y1 = map(float, region["box"])
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise ValueError(f"box {region['box']} is not inside the image")
    polygon = region.get("polygon")
    outline = tuple((float(x), float(y)) for x, y in polygon) if polygon else None
    return Region(label=region["label"], reader=region["reader"], box=(x0, y0, x1, y1), polygon=outline)
