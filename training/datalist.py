"""Films of every source in one list, and the one file that keeps it.

`python -m training.datalist --vindr DIR --out datalist.json` (also `--nih DIR`, `--coco FILE --images DIR`, together
or alone) reads what radiologists drew, checks it, and writes a list of MONAI's Decathlon style. Every training and
evaluation reads that file; the folders of NIH and of VinDr-CXR it reads as they are, too.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from training.data.agree import findings_of
from training.data.boxes import SAME_FINDING, Box, Polygon, area, iou, merge
from training.data.coco import read_coco
from training.data.counts import tables
from training.data.example import (
    FULL_SIZE,
    LOOKS_ONLY_FOR,
    MIN_AREA,
    NEGATIVE,
    OPACITIES,
    DataError,
    Example,
    Finding,
    Region,
    Status,
)
from training.data.nih import read_nih
from training.data.split import MIN_AGE, VALIDATION, check_split
from training.data.store import identity
from training.data.vindr import read_vindr

__all__ = [
    "FULL_SIZE",
    "LOOKS_ONLY_FOR",
    "MIN_AGE",
    "MIN_AREA",
    "NEGATIVE",
    "OPACITIES",
    "SAME_FINDING",
    "Box",
    "DataError",
    "Example",
    "Finding",
    "Polygon",
    "Region",
    "Status",
    "area",
    "iou",
    "merge",
    "read_datalist",
    "read_films",
    "read_nih",
    "write_datalist",
]

log = logging.getLogger(__name__)

#: MONAI's name of each split
SECTIONS: Mapping[str, str] = {"train": "training", "val": "validation", "test": "test"}


def read_films(source: Path) -> list[Example]:
    """The films of a datalist (a file), of NIH's folder or of VinDr-CXR's, told apart by what is in it.

    Raises DataError.
    """
    if not source.is_dir():
        return read_datalist(source)
    return read_nih(source) if (source / "annotations.json").exists() else read_vindr(source)


def write_datalist(examples: Sequence[Example], path: Path) -> None:
    """Keep `examples` in `path`; pictures below its folder are named relative to it. Raises DataError.

    A film that stands twice, a film without its picture, and a patient or a picture in two splits are refused.
    """
    check_films(examples)
    check_split(examples)
    check_pictures(examples)
    path.parent.mkdir(parents=True, exist_ok=True)
    entries: dict[str, list[dict[str, Any]]] = {section: [] for section in SECTIONS.values()}
    for example in examples:
        entries[SECTIONS[example.split]].append(_entry(example, path.parent.resolve()))
    content = {
        "name": path.stem,
        "description": "chest radiographs with what their readers drew; boxes are x0, y0, x1, y1 in fractions",
        "modality": {"0": "X-ray"},
        **{f"num{section.capitalize()}": len(rows) for section, rows in entries.items()},
        **entries,
    }
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, separators=(",", ":")).replace('{"image"', '\n{"image"') + "\n")
    part.replace(path)


def read_datalist(path: Path) -> list[Example]:
    """The films of a datalist, those of the training first. Raises DataError naming section and row.

    Where an entry has no `findings`, as in a list written by hand, the boxes of its readers are fused.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there: python -m training.datalist writes one") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a datalist: {error}") from error
    if not isinstance(content, dict) or not content.keys() & set(SECTIONS.values()):
        raise DataError(
            f"{path} is no datalist: it has none of the lists {', '.join(SECTIONS.values())}; python -m "
            "training.datalist makes one, of a COCO file too"
        )
    examples = []
    for split, section in SECTIONS.items():
        for number, entry in enumerate(content.get(section, [])):
            where = f"{path}, {section} {number} ({entry.get('id') if isinstance(entry, dict) else entry})"
            try:
                examples.append(_example(entry, split, path.parent))
            except KeyError as error:
                raise DataError(f"{where}: {error} is missing") from error
            except (TypeError, ValueError) as error:
                raise DataError(f"{where}: {error}") from error
    return examples


def check_films(examples: Sequence[Example]) -> None:
    """Raise DataError if a film stands twice or its picture is not there."""
    known: dict[str, Example] = {}
    for example in examples:
        if example.id in known:
            other = known[example.id]
            raise DataError(f"film {example.id} stands in the list twice, as {other.path} and as {example.path}")
        known[example.id] = example
    absent = [example for example in examples if not example.path.is_file()]
    if absent:
        raise DataError(
            f"{len(absent):,} of {len(examples):,} films are listed and not there, the first is {absent[0].path} "
            f"({absent[0].id}): bring them, or leave them out with --skip-absent"
        )


def check_pictures(examples: Sequence[Example]) -> None:
    """Raise DataError if one picture is a film of two splits, whatever its patient is called; warn of other repeats."""
    known: dict[str, Example] = {}
    again = []
    for example in track(examples, description="repeated pictures"):
        other = known.setdefault(identity(example.path), example)
        if other.split != example.split:
            raise DataError(
                f"{other.path} ({other.split}) and {example.path} ({example.split}) are the same picture: it would "
                "be measured on what was trained on; take one of them away, and say --skip-absent"
            )
        if other is not example:
            again.append((other, example))
    if again:
        first, second = again[0]
        log.warning("%d pictures are listed twice, the first as films %s and %s", len(again), first.id, second.id)


def _entry(example: Example, folder: Path) -> dict[str, Any]:
    # the link itself, should the picture be one: only where it lies matters
    path = Path(os.path.abspath(example.path))  # noqa: PTH100 - resolve() would follow links
    return {
        "image": (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix(),
        "id": example.id,
        "patient": example.patient,
        "width": example.width,
        "view": example.view,
        "age": example.age,
        "sex": example.sex,
        "status": example.status.value,
        "readers": sorted(example.readers),
        "looked_for": None if example.looked_for is None else sorted(example.looked_for),
        "reported": sorted(example.reported),
        "rsna_class": example.rsna_class,
        "regions": [
            {"label": region.label, "reader": region.reader, "box": region.box, "polygon": region.polygon}
            for region in example.regions
        ],
        "findings": [
            {"box": finding.box, "labels": sorted(finding.labels), "agreement": finding.agreement}
            for finding in example.findings
        ],
    }


def _example(entry: Mapping[str, Any], split: str, folder: Path) -> Example:
    looked_for = entry.get("looked_for")
    regions = tuple(
        Region(label=row["label"], reader=row["reader"], box=_box(row["box"]), polygon=_outline(row.get("polygon")))
        for row in entry["regions"]
    )
    readers = frozenset(entry["readers"])
    return Example(
        id=entry["id"],
        path=folder / entry["image"],
        patient=entry["patient"],
        width=entry["width"],
        view=entry.get("view", ""),
        split=split,
        status=Status(entry["status"]),
        readers=readers,
        regions=regions,
        age=entry.get("age"),
        sex=entry.get("sex", ""),
        reported=frozenset(entry.get("reported", [])),
        rsna_class=entry.get("rsna_class", ""),
        looked_for=None if looked_for is None else frozenset(looked_for),
        findings=_findings(entry["findings"]) if "findings" in entry else findings_of(regions, readers),
    )


def _findings(rows: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(
        Finding(box=_box(row["box"]), labels=frozenset(row["labels"]), agreement=float(row["agreement"]))
        for row in rows
    )


def _box(sides: Sequence[float]) -> Box:
    x0, y0, x1, y1 = map(float, sides)
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise ValueError(f"box {list(sides)} is not inside the image")
    return x0, y0, x1, y1


def _outline(points: Sequence[Sequence[float]] | None) -> Polygon | None:
    return tuple((float(x), float(y)) for x, y in points) if points else None


def gather(arguments: argparse.Namespace) -> list[Example]:
    """The films of all sources that the command line names. Raises DataError."""
    options = {"validation": arguments.validation, "skip_absent": arguments.skip_absent}
    examples: list[Example] = []
    if arguments.nih:
        films = read_nih(arguments.nih)
        examples += [film for film in films if film.path.is_file()] if arguments.skip_absent else films
    if arguments.vindr:
        examples += read_vindr(arguments.vindr, **options)
    if arguments.coco:
        examples += read_coco(arguments.coco, arguments.images, **options)
    if not examples:
        raise DataError("no film is left to list")
    return examples


def main(words: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.datalist", description=__doc__)
    parser.add_argument("--nih", type=Path, metavar="DIR", help="folder with annotations.json")
    parser.add_argument("--vindr", type=Path, metavar="DIR", help="folder with VinDr-CXR's train/ and CSV files")
    parser.add_argument("--coco", type=Path, metavar="FILE", help="a COCO file, its pictures in --images")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder that the COCO file's file_name starts from")
    parser.add_argument("--out", type=Path, help="the datalist to write")
    parser.add_argument("--show", type=Path, metavar="FILE", help="count the films of a datalist that is there")
    parser.add_argument(
        "--validation", type=float, default=VALIDATION, help="share of the patients where no split is published"
    )
    parser.add_argument("--skip-absent", action="store_true", help="leave out films whose picture is not there")
    arguments = parser.parse_args(words)
    if bool(arguments.coco) != bool(arguments.images):
        parser.error("--coco and --images go together")
    if bool(arguments.show) == bool(arguments.out):
        parser.error("say --out FILE with the sources to read, or --show FILE")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if arguments.out:
            write_datalist(gather(arguments), arguments.out)
        examples = read_datalist(arguments.show or arguments.out)
    except DataError as error:
        sys.exit(f"{error}")
    console = Console()
    for table in tables(examples):
        console.print(table)


if __name__ == "__main__":
    main()
