"""NIH ChestX-ray14 with the regions of ChestX-Det, of RSNA's challenge and of NIH's own list, as one JSON file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.data.example import LOOKS_ONLY_FOR, NEGATIVE, DataError, Example, Region, Status
from training.data.labels import label_of
from training.data.split import adults


def read_nih(folder: Path) -> list[Example]:
    """Every adult's film of `folder`/annotations.json. Raises DataError naming the file and the row that is wrong."""
    path = folder / "annotations.json"
    try:
        rows = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there: name the folder that holds annotations.json and images/") from error
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    return adults(list(_examples(rows, path)))


def _examples(rows: list[dict[str, Any]], path: Path) -> Iterator[Example]:
    known: dict[str, int] = {}
    for number, row in enumerate(rows):
        try:
            example = _example(row, path.parent)
        except KeyError as error:
            raise DataError(f"{path}, row {number} ({row.get('id')}): {error} is missing") from error
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}, row {number} ({row.get('id')}): {error}") from error
        if example.id in known:
            raise DataError(f"{path}, row {number}: film {example.id} stands in row {known[example.id]} already")
        known[example.id] = number
        yield example


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
        reported=frozenset(label for word in row.get("nlp_labels", []) if (label := label_of(word))),
        rsna_class=row.get("rsna_class") or "",
        looked_for=_looked_for(Status(row["status"]), frozenset(row["annotators"])),
    )


def _looked_for(status: Status, readers: frozenset[str]) -> frozenset[str] | None:
    """ChestX-Det's readers looked for everything, and a normal film is normal in all; else what each looks for."""
    if status in NEGATIVE or not readers <= LOOKS_ONLY_FOR.keys():
        return None
    return frozenset[str]().union(*(LOOKS_ONLY_FOR[reader] for reader in readers))


def _region(region: dict[str, Any]) -> Region:
    x0, y0, x1, y1 = map(float, region["box"])
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise ValueError(f"box {region['box']} is not inside the image")
    polygon = region.get("polygon")
    outline = tuple((float(x), float(y)) for x, y in polygon) if polygon else None
    return Region(label=region["label"], reader=region["reader"], box=(x0, y0, x1, y1), polygon=outline)
