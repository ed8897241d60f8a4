"""Who read which film, and what they drew: the films of `nih/annotations.json` as frozen rows."""

import json
from pathlib import Path
from typing import Any

from training.boxes import SAME_FINDING, Box, Polygon, area, iou, merge
from training.example import LOOKS_ONLY_FOR, MIN_AREA, NEGATIVE, OPACITIES, Example, Finding, Region, Status

__all__ = [
    "LOOKS_ONLY_FOR",
    "MIN_AGE",
    "MIN_AREA",
    "NEGATIVE",
    "OPACITIES",
    "SAME_FINDING",
    "Box",
    "Example",
    "Finding",
    "Polygon",
    "Region",
    "Status",
    "area",
    "iou",
    "merge",
    "read_nih",
]

#: children are left out: thymus and growth plates are not abnormal
MIN_AGE = 16
#: the mined reports' words where the regions' labels have others
_REPORTED = {"Pleural_Thickening": "Pleural Thickening", "Infiltration": "Infiltrate"}


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
        age=row["age"],
        sex=row.get("sex") or "",
        reported=frozenset(_REPORTED.get(word, word) for word in row.get("nlp_labels", []) if word != "No Finding"),
        rsna_class=row.get("rsna_class") or "",
        looked_for=_looked_for(row),
    )


def _looked_for(row: dict[str, Any]) -> frozenset[str] | None:
    """ChestX-Det's readers looked for everything, and a normal film is normal in all; else what each looks for."""
    if Status(row["status"]) in NEGATIVE or not set(row["annotators"]) <= LOOKS_ONLY_FOR.keys():
        return None
    return frozenset[str]().union(*(LOOKS_ONLY_FOR[reader] for reader in row["annotators"]))


def _region(region: dict[str, Any]) -> Region:
    x0, y0, x1, y1 = map(float, region["box"])
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise ValueError(f"box {region['box']} is not inside the image")
    polygon = region.get("polygon")
    outline = tuple((float(x), float(y)) for x, y in polygon) if polygon else None
    return Region(label=region["label"], reader=region["reader"], box=(x0, y0, x1, y1), polygon=outline)
