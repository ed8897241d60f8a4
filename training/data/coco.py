"""Films that are annotated in a COCO file: boxes, outlines, and which kinds were looked for."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from training.data.agree import findings_of
from training.data.boxes import Polygon, within
from training.data.example import DataError, Example, Region, Status
from training.data.headers import Header, lenient, patients_of, read_header
from training.data.labels import label_of
from training.data.split import VALIDATION, adults, split_of

log = logging.getLogger(__name__)

#: the reader of annotations that name none
READER = "coco"
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class _Image:
    """One entry of `images`, with the annotations that are its own."""

    row: Mapping[str, Any]
    path: Path
    annotations: Sequence[Mapping[str, Any]]

    @property
    def drawn(self) -> list[Mapping[str, Any]]:
        """The annotations that are one finding each."""
        return [annotation for annotation in self.annotations if not annotation.get("iscrowd")]

    @property
    def readers(self) -> frozenset[str]:
        return frozenset(map(str, self.row.get("readers") or [READER]))


def read_coco(file: Path, images: Path, *, validation: float = VALIDATION, skip_absent: bool = False) -> list[Example]:
    """Every adult's film that `file` lists, its pictures (PNG, JPEG or DICOM) being in the folder `images`.

    `bbox` is x, y, width, height in pixels. Of `segmentation` polygons are outlines, one Region a part; of one as
    run lengths only the box is taken. An annotation with `iscrowd` is no finding, but its film is no normal one.
    An image without annotations was looked at and nothing was found, of all kinds or of those that it says.

    Beyond COCO's own, an image may say `looked_for` (names of categories), `readers` (who looked; each annotation
    then has a `reader`), `patient`, `split` (train, val, test), `age`, `sex`, `view`, `reported`. Without `split`
    films are split by patient; without `patient` by the DICOM header's, else each film is taken for a patient's only
    one. Raises DataError naming the file and the entry.
    """
    content = _content(file)
    categories = _categories(content["categories"], file)
    listed = _images(content, file, images)
    present = _present(listed, file, images, skip_absent)
    with lenient():
        headers = [_header(image, file) for image in track(present, description=f"headers of {images.name}")]
    patients = patients_of(headers)
    examples = []
    for image, header, patient in zip(present, headers, patients, strict=True):
        try:
            examples.append(_example(image, header, patient, categories, validation))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{file}, image {_named(image.row)}: {_said(error)}") from error
    return adults(examples)


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{file} is no JSON: {error}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(f"{file} is no COCO file: it has no list {key!r}")
    return dict(content)


def _categories(rows: Sequence[Mapping[str, Any]], file: Path) -> dict[int, str]:
    labels: dict[int, str] = {}
    for number, row in enumerate(rows):
        try:
            label = label_of(row["name"])
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{file}, category {number} ({row}): it needs an id and a name") from error
        if label is not None:
            labels[row["id"]] = label
    return labels


def _images(content: Mapping[str, Any], file: Path, folder: Path) -> list[_Image]:
    """All entries with their annotations. Raises DataError where one stands twice or refers to what is not there."""
    rows: dict[Any, Mapping[str, Any]] = {}
    for row in content["images"]:
        if "id" not in row or "file_name" not in row:
            raise DataError(f"{file}, image {_named(row)}: it needs an id and a file_name")
        if row["id"] in rows:
            raise DataError(f"{file}, image {_named(row)}: image {row['id']} is listed twice")
        rows[row["id"]] = row
    name, times = Counter(row["file_name"] for row in rows.values()).most_common(1)[0] if rows else ("", 0)
    if times > 1:
        raise DataError(f"{file}: {name} is listed by {times} images: keep one of them")
    annotations: dict[Any, list[Mapping[str, Any]]] = {key: [] for key in rows}
    for number, annotation in enumerate(content["annotations"]):
        key = annotation.get("image_id")
        if key not in rows:
            raise DataError(f"{file}, annotation {annotation.get('id', number)}: there is no image {key}")
        annotations[key].append(annotation)
    return [_Image(row=row, path=folder / row["file_name"], annotations=annotations[key]) for key, row in rows.items()]


def _present(images: Sequence[_Image], file: Path, folder: Path, skip_absent: bool) -> list[_Image]:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: name the one that file_name in {file} starts from")
    present = [image for image in images if image.path.is_file()]
    if len(present) < len(images):
        first = next(image for image in images if not image.path.is_file())
        said = (
            f"{len(images) - len(present):,} of {len(images):,} films that {file} lists are not in {folder}, "
            f"the first is {_named(first.row)}"
        )
        if not skip_absent:
            raise DataError(f"{said}: bring them, or leave them out with --skip-absent")
        log.warning("%s: left out", said)
    return present


def _header(image: _Image, file: Path) -> Header:
    try:
        header = read_header(image.path)
    except DataError as error:
        raise DataError(f"{file}, image {_named(image.row)}: {error}") from error
    said = (image.row.get("width", header.columns), image.row.get("height", header.rows))
    if said != (header.columns, header.rows):
        raise DataError(
            f"{file}, image {_named(image.row)}: it is said to be {said[0]} x {said[1]} pixels, and the picture is "
            f"{header.columns} x {header.rows}: its boxes would lie elsewhere"
        )
    return header


def _example(image: _Image, header: Header, patient: str, categories: Mapping[int, str], validation: float) -> Example:
    row = image.row
    boxes = _boxes(image, header, categories)
    whose = str(row.get("patient") or patient or row["file_name"])
    looked_for = _looked_for(row.get("looked_for"), categories)
    reported = frozenset(label for name in row.get("reported") or [] if (label := label_of(name)))
    split = row.get("split") or split_of(whose, validation)
    if split not in _SPLITS:
        raise ValueError(f"split is {split!r}: use one of {', '.join(_SPLITS)}")
    return Example(
        id=row["file_name"],
        path=image.path,
        patient=whose,
        width=header.columns,
        view=str(row.get("view") or header.view),
        split=split,
        status=_status(image, reported, looked_for),
        readers=image.readers,
        regions=tuple(part for a, box in zip(image.drawn, boxes, strict=True) for part in _parts(a, box, header)),
        age=row.get("age", header.age),
        sex=str(row.get("sex") or header.sex),
        reported=reported,
        looked_for=looked_for,
        findings=findings_of(boxes, image.readers),
    )


def _status(image: _Image, reported: frozenset[str], looked_for: frozenset[str] | None) -> Status:
    if image.drawn:
        return Status.LOCALISED
    if image.annotations or reported:
        return Status.UNLOCALISED
    return Status.NORMAL if looked_for is None else Status.PARTLY_NORMAL


def _looked_for(names: Sequence[str] | None, categories: Mapping[int, str]) -> frozenset[str] | None:
    if names is None:
        return None
    labels = [label_of(name) for name in names]
    known = set(categories.values())
    unknown = [name for name, label in zip(names, labels, strict=True) if label not in known]
    if unknown:
        raise ValueError(f"looked_for names {unknown[0]!r}, which is no category: there are {', '.join(sorted(known))}")
    return frozenset(label for label in labels if label)


def _boxes(image: _Image, header: Header, categories: Mapping[int, str]) -> list[Region]:
    """Each annotation that is no crowd as its box. Raises ValueError naming the annotation."""
    regions = []
    for annotation in image.drawn:
        try:
            regions.append(_region(annotation, image.readers, header, categories))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"annotation {annotation.get('id')}: {_said(error)}") from error
    return regions


def _region(
    annotation: Mapping[str, Any], readers: frozenset[str], header: Header, categories: Mapping[int, str]
) -> Region:
    x, y, width, height = map(float, annotation["bbox"])
    reader = str(annotation.get("reader", READER))
    if reader not in readers:
        raise ValueError(f"reader {reader!r} is none of the image's readers, {', '.join(sorted(readers))}")
    label = categories.get(annotation["category_id"])
    if label is None:
        raise ValueError(f"there is no category {annotation['category_id']}")
    box = within((x, y, x + width, y + height), header.columns, header.rows)
    return Region(label=label, reader=reader, box=box, polygon=None)


def _parts(annotation: Mapping[str, Any], whole: Region, header: Header) -> Iterator[Region]:
    """The outlined parts of an annotation; the whole as a box where it has no outline."""
    segmentation = annotation.get("segmentation")
    if not segmentation or isinstance(segmentation, Mapping):
        yield whole
        return
    for flat in segmentation:
        if len(flat) < 6 or len(flat) % 2:
            raise ValueError(f"annotation {annotation.get('id')}: an outline needs three points or more, x and y each")
        outline = _outline(flat, header)
        (x0, x1), (y0, y1) = ((min(side), max(side)) for side in zip(*outline, strict=True))
        if x0 < x1 and y0 < y1:
            yield Region(label=whole.label, reader=whole.reader, box=(x0, y0, x1, y1), polygon=outline)


def _outline(flat: Sequence[float], header: Header) -> Polygon:
    across = (min(max(float(x) / header.columns, 0.0), 1.0) for x in flat[::2])
    down = (min(max(float(y) / header.rows, 0.0), 1.0) for y in flat[1::2])
    return tuple(zip(across, down, strict=True))


def _named(row: Mapping[str, Any]) -> str:
    return f"{row.get('id')} ({row.get('file_name')})"


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
