"""What is known of a picture before its pixels are decoded: its size, and what a DICOM header says of the patient."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from pydicom import Dataset, config, dcmread
from pydicom.errors import InvalidDicomError

from training.data.example import DataError

#: endings of DICOM files; those that neither end so nor begin so are read as pictures
DICOM_ENDINGS = (".dicom", ".dcm")
#: what pydicom raises on a file that breaks its rules
BROKEN = (InvalidDicomError, EOFError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError)
_KEYWORDS = ["Rows", "Columns", "PatientID", "PatientAge", "PatientSex", "ViewPosition"]
#: years a unit of Age String (PS3.5 6.2)
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


@dataclass(frozen=True, kw_only=True)
class Header:
    """Of a picture that is no DICOM file only the size is known."""

    rows: int
    columns: int
    #: a hash of Patient ID; empty where there is none
    patient: str = ""
    #: years
    age: int | None = None
    #: M, F or empty
    sex: str = ""
    #: PA, AP … or empty
    view: str = ""


@contextmanager
def lenient() -> Iterator[None]:
    """Let pydicom read values that break their VR without a warning each; for the whole process, so not per thread."""
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        yield
    finally:
        config.settings.reading_validation_mode = before


def is_dicom(path: Path) -> bool:
    """Whether a file is to be read as DICOM: by its ending, or by how it begins (PS3.10 7.1). Raises OSError."""
    if path.suffix.lower() in DICOM_ENDINGS:
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_header(path: Path) -> Header:
    """The header of a DICOM file or the size of a picture; no pixel is decoded. Raises DataError naming the file."""
    try:
        if is_dicom(path):
            return _of_dicom(dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(_KEYWORDS)))
        with Image.open(path) as picture:
            return Header(rows=picture.height, columns=picture.width)
    except (OSError, *BROKEN) as error:
        raise DataError(f"{path} cannot be read: {error or type(error).__name__}") from error


def patients_of(headers: Sequence[Header]) -> list[str]:
    """Whose each film is; empty where it is not known.

    One Patient ID on all films is what de-identification left, and no patient.
    """
    patients = [header.patient for header in headers]
    return patients if len(set(patients)) > 1 else [""] * len(patients)


def _of_dicom(header: Dataset) -> Header:
    rows, columns = header.get("Rows"), header.get("Columns")
    if not isinstance(rows, int) or not isinstance(columns, int) or rows < 1 or columns < 1:
        raise ValueError("it is no DICOM image: Rows and Columns are missing")
    patient = str(header.get("PatientID") or "").strip()
    sex = str(header.get("PatientSex") or "").strip()
    return Header(
        rows=rows,
        columns=columns,
        patient=hashlib.sha256(patient.encode()).hexdigest()[:16] if patient else "",
        age=_years(str(header.get("PatientAge") or "")),
        sex=sex if sex in ("M", "F") else "",
        view=str(header.get("ViewPosition") or "").strip(),
    )


def _years(age: str) -> int | None:
    """Whole years of an Age String. 000Y is what some write for "not known": infants have days, weeks or months."""
    age = age.strip()
    if len(age) != 4 or not age[:3].isdigit() or age[3] not in _YEARS or age == "000Y":
        return None
    return int(int(age[:3]) * _YEARS[age[3]])
