"""Sources and findings for the tests of the encode room; nothing in here is random."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.domain import EncodedResult, Finding, Kind, Profile
from dicom_node.encode.builders import BUILDERS, build
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.identity import header_of
from dicom_node.encode.profiles import PROFILES
from tests.datasets import chest, computed_radiography, secondary_capture

CONTEXT = EncodeContext(
    algorithm_name="probe",
    algorithm_version="1.2.3",
    algorithm_family=("123110", "DCM", "Artificial Intelligence"),
    model_digest="a1" * 32,
    parameters="b2" * 32,
    threshold=0.25,
    input_digest="c3" * 32,
    content_time=datetime(2026, 3, 4, 12, 30, 15, 250_000, tzinfo=UTC),
    software_version="0.1.0",
)

#: the kinds that belong to one image
KINDS = tuple(BUILDERS)
#: every object of one image that there is
ALL = [(profile, kind) for profile, row in PROFILES.items() for kind in row.kinds]

#: fixed, so that two runs of the tests encode the same
UIDS = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.10.1.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.10.1.2",
    "SOPInstanceUID": "1.2.826.0.1.3680043.10.1.3",
}

MAKERS: Mapping[str, Callable[..., Dataset]] = {
    "CR": computed_radiography,
    "DX": chest,
    "SC": secondary_capture,
}

#: Specific Character Set, a patient's name and a description written in it
SCRIPTS = {
    "ascii": (None, "Probe^Petra", "Chest PA"),
    "latin": ("ISO_IR 100", "Müller^Jörg", "Thorax p.-a., Größe"),
    "cyrillic": ("ISO_IR 144", "Люкceмбypг^Иван", "Грудная клетка"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "胸部正面"),
    "utf-8": ("ISO_IR 192", "Wang^XiaoDong=王^小东", "Ελλάδα"),
}


def source(maker: str = "DX", *, rows: int = 64, columns: int = 48, **attributes: Any) -> Dataset:
    """A source of `maker` (CR, DX, SC) with fixed UIDs; see tests.datasets."""
    return MAKERS[maker](rows, columns, **{**UIDS, **attributes})


def full(maker: str = "DX", script: str = "ascii", **attributes: Any) -> Dataset:
    """A source with a complete identity: issuers, other IDs, request, timezone, trial; geometry and laterality."""
    charset, name, description = SCRIPTS[script]
    dataset = source(maker, **attributes)
    if charset is None:
        del dataset.SpecificCharacterSet
    else:
        dataset.SpecificCharacterSet = charset
    dataset.PatientName = name
    dataset.StudyDescription = description
    dataset.TimezoneOffsetFromUTC = "+0900"
    dataset.PatientBirthTime = "0310"
    dataset.ReferringPhysicianName = "Hausarzt^Eva"
    dataset.InstitutionName = "Loopback Hospital"
    dataset.IssuerOfPatientIDQualifiersSequence = [item(UniversalEntityID="1.2.3.4", UniversalEntityIDType="ISO")]
    dataset.OtherPatientIDsSequence = [item(PatientID="X-9", IssuerOfPatientID="ELSEWHERE", TypeOfPatientID="TEXT")]
    dataset.IssuerOfAccessionNumberSequence = [item(LocalNamespaceEntityID="RIS")]
    dataset.RequestAttributesSequence = [
        item(
            RequestedProcedureID="RP-1",
            ScheduledProcedureStepID="SPS-1",
            RequestedProcedureDescription=description,
            StudyInstanceUID=UIDS["StudyInstanceUID"],
        )
    ]
    dataset.AdmissionID = "ADM-1"
    dataset.ClinicalTrialSponsorName = "Sponsor"
    dataset.ClinicalTrialProtocolID = "T-1"
    dataset.ClinicalTrialProtocolName = ""
    dataset.ClinicalTrialSiteID = ""
    dataset.ClinicalTrialSiteName = ""
    dataset.ClinicalTrialSubjectID = "S-1"
    dataset.ClinicalTrialTimePointID = ""
    dataset.PixelSpacing = [0.143, 0.143]
    dataset.Laterality = "L"
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.10.1.9"
    return dataset


_DISPENSABLE = """
SpecificCharacterSet PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientAge StudyDate
StudyTime StudyID AccessionNumber ReferringPhysicianName StudyDescription SeriesNumber InstanceNumber
PatientOrientation ImagerPixelSpacing Manufacturer SeriesDate SeriesTime ContentDate ContentTime AcquisitionDate
AcquisitionTime BodyPartExamined LossyImageCompression
"""


def bare(maker: str = "DX", **attributes: Any) -> Dataset:
    """A source without any attribute that a result could do without."""
    dataset = source(maker, **attributes)
    for keyword in _DISPENSABLE.split():
        if keyword in dataset:
            delattr(dataset, keyword)
    return dataset


def item(**attributes: Any) -> Dataset:
    """One item of a sequence."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def sent(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> Dataset:
    """`dataset` after it went through a file in another (uncompressed) transfer syntax, not yet looked into."""
    implicit, little = transfer_syntax_uid == "1.2.840.10008.1.2", transfer_syntax_uid != "1.2.840.10008.1.2.2"
    if "PixelData" in dataset:
        del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
    dataset.preamble = bytes(128)
    out = BytesIO()
    dcmwrite(out, dataset, implicit_vr=implicit, little_endian=little, force_encoding=True)
    return dcmread(BytesIO(out.getvalue()))


def header(dataset: Dataset) -> Dataset:
    """What the child hands over of `dataset`."""
    return header_of(sent(dataset))


def finding(
    row: int, column: int, rows: int = 9, columns: int = 7, *, confidence: float = 0.5, mask: Any = None
) -> Finding:
    """A filled rectangle, or `mask`, at (row, column) of the film."""
    shape = np.ones((rows, columns), np.bool_) if mask is None else np.asarray(mask, np.bool_)
    return Finding(
        box=(column, row, column + shape.shape[1], row + shape.shape[0]),
        confidence=confidence,
        mask_origin=(row, column),
        mask=shape,
    )


def film(rows: int = 64, columns: int = 48) -> NDArray[np.uint16]:
    """A ramp from black at the top left to white at the bottom right."""
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    return ((y + x) / 2 * 65535).astype(np.uint16)


def encode(
    kind: Kind,
    profile: Profile = Profile.STRICT,
    *,
    of: Dataset | None = None,
    pixels: NDArray[np.uint16] | None = None,
    findings: tuple[Finding, ...] = (finding(20, 10),),
    context: EncodeContext = CONTEXT,
) -> EncodedResult:
    """One result of the header `of`, with everything else at rest."""
    return build(
        kind,
        profile,
        header=header(full()) if of is None else of,
        film_pixels=film() if pixels is None else pixels,
        film_valid=None,
        findings=findings,
        context=context,
    )


def read(result: EncodedResult) -> Dataset:
    """The object as another program reads it."""
    return dcmread(BytesIO(result.data))


def everything() -> str:
    """One digest over all objects of all profiles."""
    digest = hashlib.sha256()
    for profile, kind in ALL:
        digest.update(encode(kind, profile).data)
    return digest.hexdigest()
