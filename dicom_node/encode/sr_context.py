"""What a study's report is made of: its images and what became of each, and the revision that it tells of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydicom.dataset import Dataset

from dicom_node.domain import Finding
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.identity import read_text


class Fate(StrEnum):
    """What became of an image by the time of the report."""

    ANALYSED = "analysed"
    #: not ours to read, which is as it should be
    DECLINED = "declined"
    #: it should have been read, and could not be
    FAILED = "failed"
    #: its analysis, or one more of it, has not ended
    PENDING = "pending"


@dataclass(frozen=True, kw_only=True)
class ReportedImage:
    """One current image of the study, and what a model, or nobody, said of it."""

    sop_class_uid: str
    sop_instance_uid: str
    #: SHA-256 of the data set as received, 64 hex digits
    input_digest: str
    #: its HEADER_KEYWORDS; None: nothing is known of it but its UIDs
    header: Dataset | None = None
    fate: Fate
    #: in plain words why, of one that is not ANALYSED; ASCII
    because: str = ""
    #: what the image's own results were made with; None: it was never analysed
    reading: EncodeContext | None = None
    #: those that are marked, in the order of their numbers
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an object stands in an archive: what a reference to it says."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """The moment and the settings of one report."""

    #: of the study, from 1
    revision: int
    #: the reports that it replaces
    predecessors: tuple[Place, ...] = ()
    #: objects of the study that are no radiographs, and that are not told of one by one
    other_objects: int = 0
    #: when the report is made, with its time zone; written in the source's zone where that is told
    content_time: datetime
    #: version of chexnode
    software_version: str
    sr_description: str = "AI RESEARCH chexnode report"
    sr_series_number: int = 9903

    def __post_init__(self) -> None:
        if self.content_time.tzinfo is None:
            raise ValueError("content_time has no time zone: give an aware datetime")


def identity_header(images: Sequence[ReportedImage]) -> Dataset | None:
    """The header that says whose report it is: that of the image that stands last, the newest one."""
    return next((image.header for image in reversed(images) if image.header is not None), None)


def of_one_patient(images: Sequence[ReportedImage]) -> tuple[list[ReportedImage], list[ReportedImage]]:
    """The images of the patient whom `identity_header` names, and those whose header names another one.

    An image without a header is nobody else's: it stays.
    """
    owner = identity_header(images)
    ours: list[ReportedImage] = []
    others: list[ReportedImage] = []
    for image in images:
        same = image.header is None or owner is None or _patient(image.header) == _patient(owner)
        (ours if same else others).append(image)
    return ours, others


def _patient(header: Dataset) -> tuple[str, ...]:
    return tuple(read_text(header, keyword) for keyword in ("StudyInstanceUID", "PatientID", "IssuerOfPatientID"))
