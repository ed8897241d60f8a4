"""Small copies of VinDr-CXR, with real DICOM files, in the form of each of its publishers."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1

from tests.datasets import chest, file_bytes, film, in_syntax

ROWS, COLUMNS = 160, 120
#: image, reader, class, box in pixels; the box empty for "No finding"
Mark = tuple[str, str, str, tuple[float, float, float, float] | None]

MARKS: tuple[Mark, ...] = (
    ("a1", "R8", "Cardiomegaly", (30, 80, 90, 120)),
    ("a1", "R9", "Cardiomegaly", (32, 82, 92, 122)),
    ("a1", "R10", "Cardiomegaly", (34, 78, 94, 118)),
    ("a1", "R10", "Pleural effusion", (5, 130, 40, 155)),
    ("b2", "R8", "No finding", None),
    ("b2", "R9", "No finding", None),
    ("b2", "R10", "No finding", None),
    ("c3", "R1", "Nodule/Mass", (60, 20, 80, 40)),
    ("c3", "R2", "Lung Opacity", (58, 22, 82, 42)),
    ("c3", "R3", "No finding", None),
    ("d4", "R1", "Rib fracture", (20, 30, 22, 32)),
    ("d4", "R2", "No finding", None),
    ("d4", "R3", "No finding", None),
)
CONSENSUS: tuple[Mark, ...] = (
    ("t1", "", "Infiltration", (10.5, 20.25, 60.75, 90.5)),
    ("t2", "", "No finding", None),
)
CLASS_IDS = {"Cardiomegaly": 3, "Lung Opacity": 7, "Nodule/Mass": 8, "Pleural effusion": 10, "No finding": 14}
CLASS_IDS |= {"Rib fracture": 9}


def films() -> dict[str, Dataset]:
    """One film an image of MARKS and CONSENSUS, as real ones come: inverted, windowed, compressed, with padding."""
    anonymous = {"PatientName": "", "PatientID": "", "PatientBirthDate": "", "PatientAge": "000Y", "PatientSex": "O"}
    plain = chest(ROWS, COLUMNS, **anonymous)
    low = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}
    inverted = chest(ROWS, COLUMNS, **anonymous | low)
    inverted.PixelData = (4095 - film(ROWS, COLUMNS)).tobytes()
    windowed = chest(ROWS, COLUMNS, **anonymous | {"WindowCenter": 1500, "WindowWidth": 1000})
    padded = chest(ROWS, COLUMNS, **anonymous | {"PixelPaddingValue": 0, "PixelRepresentation": 0})
    padding = film(ROWS, COLUMNS)
    padding[:, :12] = 0
    padded.PixelData = padding.tobytes()
    return {
        "a1": in_syntax(plain, JPEG2000Lossless),
        "b2": inverted,
        "c3": windowed,
        "d4": padded,
        "t1": in_syntax(plain, JPEGLosslessSV1),
        "t2": plain,
    }


def physionet(folder: Path, marks: Sequence[Mark] = MARKS, consensus: Sequence[Mark] = CONSENSUS) -> Path:
    """train/, test/ and annotations/, readers in the training tables, image-level labels beside the boxes."""
    _write_films(folder / "train", [mark[0] for mark in marks], ".dicom")
    _write_films(folder / "test", [mark[0] for mark in consensus], ".dicom")
    tables = folder / "annotations"
    write_table(
        tables / "annotations_train.csv",
        ["image_id", "rad_id", "class_name", "x_min", "y_min", "x_max", "y_max"],
        [[image, reader, label, *(box or [""] * 4)] for image, reader, label, box in marks],
    )
    write_table(
        tables / "annotations_test.csv",
        ["image_id", "class_name", "x_min", "y_min", "x_max", "y_max"],
        [[image, label, *(box or [""] * 4)] for image, _, label, box in consensus],
    )
    named = {("b2", "R9"): "Tuberculosis", ("c3", "R1"): "Nodule/Mass", ("t2", ""): "Other disease"}
    train = ["Nodule/Mass", "Tuberculosis", "Other diseases", "No finding"]
    write_table(
        tables / "image_labels_train.csv",
        ["image_id", "rad_id", *train],
        [[*key, *_flags(train, named.get(key))] for key in dict.fromkeys(mark[:2] for mark in marks)],
    )
    test = ["Nodule/Mass", "Tuberculosis", "Other disease", "No finding"]
    write_table(
        tables / "image_labels_test.csv",
        ["image_id", *test],
        [[key, *_flags(test, named.get((key, "")), "")] for key in dict.fromkeys(mark[0] for mark in consensus)],
    )
    return folder


def kaggle(folder: Path, marks: Sequence[Mark] = MARKS, ending: str = ".dicom") -> Path:
    """train/ and train.csv with class_id, and the files that lie beside it and are no tables of boxes."""
    _write_films(folder / "train", [mark[0] for mark in marks], ending)
    write_table(
        folder / "train.csv",
        ["image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max"],
        [[image, label, CLASS_IDS[label], reader, *(box or [""] * 4)] for image, reader, label, box in marks],
    )
    write_table(folder / "sample_submission.csv", ["image_id", "PredictionString"], [["t1", "14 1 0 0 1 1"]])
    return folder


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A CSV file, its folder made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def _flags(columns: Sequence[str], named: str | None, nothing: str = "0.0") -> list[str]:
    return ["1.0" if name == (named or "No finding") else nothing for name in columns]


def _write_films(folder: Path, names: Sequence[str], ending: str) -> None:
    folder.mkdir(parents=True)
    datasets: Mapping[str, Dataset] = films()
    for name in dict.fromkeys(names):
        (folder / f"{name}{ending}").write_bytes(file_bytes(datasets[name]))
