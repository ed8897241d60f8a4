"""What the tests send: synthetic chests of the demonstration, each time as a study of its own."""

import copy
import functools
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_node.demo.studies import shipped


@functools.cache
def _drawn() -> tuple[Dataset, ...]:
    with tempfile.TemporaryDirectory() as folder:
        studies = shipped(Path(folder), datetime.now(UTC))
        return tuple(dcmread(study.images[0].path) for study in studies)


def _fresh(dataset: Dataset) -> Dataset:
    fresh = copy.deepcopy(dataset)
    fresh.StudyInstanceUID, fresh.SeriesInstanceUID = generate_uid(), generate_uid()
    fresh.SOPInstanceUID = fresh.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    fresh.PatientID = f"ORTHANC-{fresh.StudyInstanceUID[-8:]}"
    return fresh


def abnormal() -> Dataset:
    """A chest with planted opacities, in a new study of a new patient."""
    return _fresh(_drawn()[0])


def clean() -> Dataset:
    """A chest with nothing planted, in a new study of a new patient."""
    return _fresh(_drawn()[1])


def another_image(of: Dataset) -> Dataset:
    """The same picture as a further image of `of`'s study and series."""
    another = copy.deepcopy(of)
    another.SOPInstanceUID = another.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    another.InstanceNumber = int(of.InstanceNumber) + 1
    return another
