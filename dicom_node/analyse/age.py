"""How old the patient was, and how old the study is, by headers that are often wrong."""

import re
from datetime import date

from pydicom.dataset import Dataset

from dicom_node.analyse.headers import text

_YEAR = 365.2425
#: days in a unit of VR AS (PS3.5 6.2); real files leave the unit away and mean years
_DAYS = {"D": 1.0, "W": 7.0, "M": _YEAR / 12, "Y": _YEAR, "": _YEAR}

#: nobody is older: what a header says beyond it is a placeholder
_OLDEST = 125.0


def age_in_years(header: Dataset, *, arrived: date) -> float | None:
    """The age at the examination in years, or None where the header does not say it believably.

    Patient's Age counts, except where it is zero years: that is what systems write that do not know, and a newborn's
    age comes in days. Else Birth Date and the date of the study (`arrived` where there is none); 18000101, 00000000
    and other dates that make nobody of 0 to 125 years are placeholders too.
    """
    stated = re.fullmatch(r"(\d{1,4})\s*([DWMY]?)", text(header, "PatientAge").upper())
    if stated and int(stated[1]) > 0:
        years = int(stated[1]) * _DAYS[stated[2]] / _YEAR
        if years <= _OLDEST:
            return years
    if stated and int(stated[1]) == 0 and stated[2] in ("D", "W", "M"):
        return 0.0
    born = _date(header, "PatientBirthDate")
    if born is None:
        return None
    years = _years_between(born, study_date(header) or arrived)
    return years if 0 <= years <= _OLDEST else None


def study_date(header: Dataset) -> date | None:
    """Study Date, or the nearest thing to it; None where no attribute holds a date that exists."""
    for keyword in ("StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate"):
        if (day := _date(header, keyword)) is not None:
            return day
    return None


def _years_between(born: date, then: date) -> float:
    whole = then.year - born.year - ((then.month, then.day) < (born.month, born.day))
    return float(whole)


def _date(header: Dataset, keyword: str) -> date | None:
    """VR DA, also with the separators of its retired form (PS3.5 6.2)."""
    digits = re.fullmatch(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})", text(header, keyword))
    if digits is None:
        return None
    try:
        return date(int(digits[1]), int(digits[2]), int(digits[3]))
    except ValueError:
        return None
