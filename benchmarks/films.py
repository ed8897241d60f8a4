"""Synthetic chests at the size of a large flat detector, 2,500 × 3,000, as data sets and as files."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, cycle
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from dicom_node.demo.chest import BITS, Radiograph, chest
from dicom_node.demo.dx import Visit, data_set
from dicom_node.demo.studies import ABNORMAL, ABNORMAL_SEED, CLEAN_SEED

#: rows, columns
DETECTOR = (3000, 2500)
_EPOCH = datetime(2026, 1, 1)  # noqa: DTZ001 - a data set says the time of its place


def abnormal() -> Radiograph:
    """The demonstration's chest with two opacities, which the packaged model marks."""
    return _enlarged(chest(ABNORMAL_SEED, ABNORMAL))


def clean() -> Radiograph:
    """The demonstration's clean chest, on which the packaged model marks nothing."""
    return _enlarged(chest(CLEAN_SEED))


def studies() -> Iterator[tuple[bool, Dataset]]:
    """Studies of one film each, every one with UIDs of its own, every third clean: (is abnormal, data set)."""
    films = {True: abnormal(), False: clean()}
    for number, marked in zip(count(1), cycle((True, True, False)), strict=False):
        yield marked, data_set(films[marked], _visit(number))


def write(folder: Path, film: Radiograph, number: int) -> Path:
    """A file of `film`; `number` makes its UIDs."""
    path = folder / f"{number}.dcm"
    data_set(film, _visit(number)).save_as(path, enforce_file_format=True)
    return path


def _visit(number: int) -> Visit:
    return Visit(
        number=number,
        family_name=f"Bench{number}",
        body_part="CHEST",
        study_description="Chest PA",
        taken_at=_EPOCH + timedelta(minutes=number),
    )


def _enlarged(film: Radiograph) -> Radiograph:
    rows, columns = DETECTOR
    picture = Image.fromarray(film.pixels.astype(np.int32)).resize((columns, rows), Image.Resampling.BICUBIC)
    return replace(film, pixels=np.asarray(picture).clip(0, 2**BITS - 1).astype(np.uint16))
