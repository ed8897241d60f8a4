"""VinDr-CXR (Nguyen et al., Scientific Data 2022, arXiv 2012.15029) as PhysioNet and as Kaggle (VinBigData) publish it.

Each training film was read by three radiologists, each of PhysioNet's test films by five in consensus. What tells the
dialects apart is read from the files: a table of boxes is any CSV with an image, a class and four corners; a reader
(`rad_id`) stands in it or there is one, the consensus; a table of image-level labels has a column "No finding".
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import track

from training.data.agree import findings_of
from training.data.boxes import Box, within
from training.data.example import DataError, Example, Region, Status
from training.data.headers import DICOM_ENDINGS, Header, lenient, patients_of, read_header
from training.data.labels import label_of
from training.data.rows import Row, columns_of, read_rows
from training.data.split import VALIDATION, adults, split_of

log = logging.getLogger(__name__)

_BOX = ("x_min", "y_min", "x_max", "y_max")
_MARKED = frozenset({"image_id", "class_name", *_BOX})
_LABELLED = frozenset({"image_id", "No finding"})
#: the reader of a table without `rad_id`
CONSENSUS = "consensus"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One box as it was drawn."""

    row: Row
    label: str
    reader: str
    #: x0, y0, x1, y1; pixels of the DICOM image
    box: Box


@dataclass(kw_only=True)
class Sheet:
    """All that the tables say of one film."""

    #: the first row that names it
    row: Row
    readers: set[str] = field(default_factory=set)
    marks: list[Mark] = field(default_factory=list)
    #: kinds that image-level labels name, our names
    reported: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The training or the test films: their folder and their tables."""

    test: bool
    films: Path
    marked: Path
    labelled: Path | None


@dataclass(frozen=True, kw_only=True)
class _Film:
    """A film that is there."""

    sheet: Sheet
    path: Path
    header: Header
    test: bool


def read_vindr(folder: Path, *, validation: float = VALIDATION, skip_absent: bool = False) -> list[Example]:
    """Every adult's film of the copy of VinDr-CXR in `folder`, which holds train/ (and test/) and the CSV files.

    Readers looked for everything, so `looked_for` is None. Boxes of several readers are fused (`agree`); image-level
    labels (a tuberculosis without a box) are kept as `reported`. The publisher's test films are `test`. The others
    are split by patient where the headers tell patients apart. Where de-identification left no Patient ID, or one
    and the same, they are split by a hash of the image's id: then nobody can say which films are of one patient, nor
    promise that two splits share none. Raises DataError naming file and row.
    """
    films: list[_Film] = []
    for part in _parts(folder):
        sheets = read_sheets(part.marked, part.labelled)
        files = _present(sheets, part.films, skip_absent)
        with lenient():
            for name, path in track(files, description=f"headers of {part.films.name}"):
                films.append(_Film(sheet=sheets[name], path=path, header=_header(sheets[name], path), test=part.test))
    patients = patients_of([film.header for film in films])
    examples = [_example(film, patient, validation) for film, patient in zip(films, patients, strict=True)]
    return adults(_apart(examples))


def read_sheets(marked: Path, labelled: Path | None = None) -> dict[str, Sheet]:
    """What the table of boxes and that of labels say, film by film; no film is opened. Raises DataError."""
    sheets: dict[str, Sheet] = {}
    for row in read_rows(marked, _MARKED):
        sheet = _sheet(sheets, row)
        label = label_of(row["class_name"])
        if label is not None:
            sheet.marks.append(Mark(row=row, label=label, reader=_reader(row), box=_corners(row)))
    for row in read_rows(labelled, _LABELLED) if labelled else ():
        sheet = _sheet(sheets, row)
        named = [name for name in row.values if name not in ("image_id", "rad_id") and row.number_of(name) > 0]
        sheet.reported.update(label for name in named if (label := label_of(name)))
    return sheets


def _sheet(sheets: dict[str, Sheet], row: Row) -> Sheet:
    name = row["image_id"]
    if not name:
        raise row.wrong("image_id is empty")
    sheet = sheets.setdefault(name, Sheet(row=row))
    sheet.readers.add(_reader(row))
    return sheet


def _reader(row: Row) -> str:
    if "rad_id" not in row.values:
        return CONSENSUS
    if not row["rad_id"]:
        raise row.wrong("rad_id is empty")
    return row["rad_id"]


def _corners(row: Row) -> Box:
    x0, y0, x1, y1 = (row.number_of(column, required=True) for column in _BOX)
    return x0, y0, x1, y1


def _parts(folder: Path) -> list[Part]:
    """The parts that `folder` holds the tables of. Raises DataError where there is none or too many."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: name the one that holds train/ and the CSV files")
    marked: dict[str, Path] = {}
    labelled: dict[str, Path] = {}
    for path in sorted([*folder.glob("*.csv"), *(folder / "annotations").glob("*.csv")]):
        columns = columns_of(path)
        tables = marked if columns >= _MARKED else labelled if columns >= _LABELLED else None
        if tables is None:
            _refuse_incomplete(path, columns)
            continue
        films = "test" if "test" in path.stem else "train"
        if films in tables:
            raise DataError(f"{tables[films]} and {path} are both tables of the films in {films}/: keep one of them")
        tables[films] = path
    if not marked:
        raise DataError(
            f"no table of boxes in {folder} or its annotations/: VinDr-CXR has annotations_train.csv (PhysioNet) or "
            f"train.csv (Kaggle), with the columns {', '.join(sorted(_MARKED))}"
        )
    return [
        Part(test=name == "test", films=folder / name, marked=path, labelled=labelled.get(name))
        for name, path in sorted(marked.items(), reverse=True)
    ]


def _refuse_incomplete(path: Path, columns: frozenset[str]) -> None:
    """A table of boxes that misses a column is not just another file."""
    if "class_name" in columns or columns & set(_BOX):
        raise DataError(f"{path}: column {', '.join(sorted(_MARKED - columns))} is missing")


def _present(sheets: Mapping[str, Sheet], films: Path, skip_absent: bool) -> list[tuple[str, Path]]:
    """The file of each film. Raises DataError where a film has two, or none and that is not to be skipped."""
    files: dict[str, Path] = {}
    for path in sorted(films.iterdir()) if films.is_dir() else ():
        if path.suffix.lower() in DICOM_ENDINGS:
            if path.stem in files:
                raise DataError(f"{files[path.stem]} and {path} are both the film {path.stem}: keep one of them")
            files[path.stem] = path
    absent = [name for name in sheets if name not in files]
    if absent:
        row = sheets[absent[0]].row
        said = (
            f"{len(absent):,} of {len(sheets):,} films that {row.path} lists are not in {films} as .dicom or .dcm, "
            f"the first is {absent[0]} (line {row.line})"
        )
        if not skip_absent:
            raise DataError(f"{said}: bring them, or leave them out with --skip-absent")
        log.warning("%s: left out", said)
    return [(name, files[name]) for name in sheets if name in files]


def _header(sheet: Sheet, path: Path) -> Header:
    try:
        return read_header(path)
    except DataError as error:
        raise sheet.row.wrong(str(error)) from error


def _example(film: _Film, known: str, validation: float) -> Example:
    sheet, header = film.sheet, film.header
    patient = known or film.path.stem
    regions = tuple(_region(mark, header) for mark in sheet.marks)
    return Example(
        id=film.path.stem,
        path=film.path,
        patient=patient,
        width=header.columns,
        view=header.view,
        split="test" if film.test else split_of(patient, validation),
        status=Status.LOCALISED if regions else Status.UNLOCALISED if sheet.reported else Status.NORMAL,
        readers=frozenset(sheet.readers),
        regions=regions,
        age=header.age,
        sex=header.sex,
        reported=frozenset(sheet.reported),
        findings=findings_of(regions, sheet.readers),
    )


def _region(mark: Mark, header: Header) -> Region:
    try:
        box = within(mark.box, header.columns, header.rows)
    except ValueError as error:
        raise mark.row.wrong(str(error)) from error
    return Region(label=mark.label, reader=mark.reader, box=box, polygon=None)


def _apart(examples: Sequence[Example]) -> list[Example]:
    """Without the films that are not test films but of one of their patients."""
    tested = {example.patient for example in examples if example.split == "test"}
    apart = [example for example in examples if example.split == "test" or example.patient not in tested]
    if len(apart) < len(examples):
        log.warning("%d films are left out: others of their patients are test films", len(examples) - len(apart))
    return apart
