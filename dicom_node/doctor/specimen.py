"""A study of nobody, and every object that the node would make of it: what a destination is tried with.

The same configuration gives the same bytes and UIDs on every day, so that trying twice stores nothing twice.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node import __version__
from dicom_node.analyse.results import Encoding
from dicom_node.config import Settings
from dicom_node.demo.chest import Radiograph
from dicom_node.demo.dx import Visit, data_set
from dicom_node.domain import EncodedResult, Finding, Kind, Profile
from dicom_node.encode.identity import header_of
from dicom_node.encode.marks import MANUFACTURER, MODEL_NAME
from dicom_node.encode.profiles import PROFILES
from dicom_node.encode.sr import build_report
from dicom_node.encode.sr_context import Fate, ReportContext, ReportedImage
from dicom_node.encode.uids import derived_uid
from dicom_node.parameters import parameters_digest
from model.contract import Manifest
from model.film import film_from

PATIENT_NAME = "CHEXNODE^TEST"
PATIENT_ID = "CHEXNODE-TEST"
ACCESSION_NUMBER = "CHEXNODETEST"
STUDY_DESCRIPTION = "CHEXNODE TEST - PLEASE DELETE"
STUDY_INSTANCE_UID = derived_uid("handshake", "study")

#: no patient was there; it is a fixed day so that the bytes are the same on every other
TAKEN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
#: rows and columns of the picture, no multiple of 8; bits of a value; mm between pixels
_ROWS, _COLUMNS, _BITS, _SPACING = 401, 353, 12, 0.9
#: top, left, height, width of what is marked
_MARKED = ((120, 60, 70, 50), (150, 220, 90, 80))


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One object to be tried with."""

    #: None: the image that the others are made of
    kind: Kind | None
    profile: Profile
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    #: a complete PS3.10 file
    data: bytes

    @property
    def name(self) -> str:
        """'SEG', 'SR', 'image'."""
        return "image" if self.kind is None else self.kind.value.upper()


def specimens(profile: Profile, settings: Settings, manifest: Manifest) -> tuple[Specimen, ...]:
    """The image and every object of `profile`, by the encoders that the node uses, as if two regions were marked."""
    image = source()
    data = _file(image)
    made = [
        Specimen(
            kind=None,
            profile=profile,
            sop_class_uid=str(image.SOPClassUID),
            sop_instance_uid=str(image.SOPInstanceUID),
            series_instance_uid=str(image.SeriesInstanceUID),
            transfer_syntax_uid=str(image.file_meta.TransferSyntaxUID),
            data=data,
        )
    ]
    made += (_specimen(result) for result in results(profile, settings, manifest, image, found=findings()))
    return tuple(made)


def results(
    profile: Profile,
    settings: Settings,
    manifest: Manifest,
    image: Dataset,
    *,
    found: Sequence[Finding] = (),
    when: datetime = TAKEN,
) -> Iterator[EncodedResult]:
    """Every object of `profile` for `image`, a study of its own, with `found` in it, or none, as if made at `when`."""
    digest = hashlib.sha256(_file(image)).hexdigest()
    encoding = Encoding(
        manifest=manifest, model=settings.model, results=settings.results, parameters=_parameters(settings)
    )
    header, film = header_of(image), film_from(image)
    yield from encoding.encode(
        [profile], header=header, film=film, findings=found, input_digest=digest, content_time=when
    )
    if PROFILES[profile].study_kinds:
        reading = encoding.context(found, input_digest=digest, content_time=when)
        reported = ReportedImage(
            sop_class_uid=str(image.SOPClassUID),
            sop_instance_uid=str(image.SOPInstanceUID),
            input_digest=digest,
            header=header,
            fate=Fate.ANALYSED,
            reading=reading,
            findings=encoding.shown(found),
        )
        context = ReportContext(
            revision=1,
            content_time=when,
            software_version=__version__,
            sr_description=settings.results.sr_description,
            sr_series_number=settings.results.sr_series_number,
        )
        yield build_report(profile, images=[reported], context=context)


def source() -> Dataset:
    """A Digital X-Ray image of a grey wedge, marked as a test in every field that a person or a program looks at."""
    film = Radiograph(pixels=_pixels(), spacing=_SPACING, age=0, sex="O")
    visit = Visit(number=0, family_name="TEST", body_part="CHEST", study_description=STUDY_DESCRIPTION, taken_at=TAKEN)
    image = data_set(film, visit)
    image.PatientName, image.PatientID = PATIENT_NAME, PATIENT_ID
    # an archive that knows no such issuer may refuse it; nobody has neither birthday nor age
    for keyword in ("IssuerOfPatientID", "PatientAge"):
        delattr(image, keyword)
    image.PatientBirthDate = ""
    image.PatientComments = "A test of the connection; this person does not exist"
    image.AccessionNumber = image.StudyID = ACCESSION_NUMBER
    image.SeriesDescription = STUDY_DESCRIPTION
    image.InstitutionName = "CHEXNODE TEST"
    image.TimezoneOffsetFromUTC = "+0000"
    image.StudyInstanceUID = STUDY_INSTANCE_UID
    # the marks of our own results: a node that the archive routes it to takes it and does not analyse it (law 12)
    image.Manufacturer, image.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    image.SoftwareVersions = "handshake"
    image.SeriesInstanceUID = image.SOPInstanceUID = "2.25.0"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    # one UID never has two contents: another picture gets others
    content = hashlib.sha256(_file(image)).hexdigest()
    image.SeriesInstanceUID = derived_uid("handshake", "series", content)
    image.SOPInstanceUID = derived_uid("handshake", "image", content)
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def findings() -> tuple[Finding, ...]:
    """The two marked squares, each an ellipse, above any threshold."""
    return tuple(
        Finding(
            box=(left, top, left + width, top + height),
            confidence=0.999 - 0.001 * number,
            mask_origin=(top, left),
            mask=_ellipse(height, width),
            area_mm2=float(_ellipse(height, width).sum()) * _SPACING**2,
        )
        for number, (top, left, height, width) in enumerate(_MARKED)
    )


def _ellipse(height: int, width: int) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[:height, :width]
    return ((rows + 0.5) / height * 2 - 1) ** 2 + ((columns + 0.5) / width * 2 - 1) ** 2 <= 1


def _pixels() -> NDArray[np.uint16]:
    """(rows, columns): a wedge from black to white, brighter where it is marked."""
    wedge = np.linspace(0, 2**_BITS - 1, _COLUMNS)[np.newaxis].repeat(_ROWS, axis=0)
    for top, left, height, width in _MARKED:
        region = wedge[top : top + height, left : left + width]
        region[_ellipse(height, width)] = 2**_BITS - 1 - region[_ellipse(height, width)]
    return wedge.round().astype(np.uint16)


def _parameters(settings: Settings) -> str:
    """All that the objects' bytes depend on besides the image and the model goes into their UIDs."""
    described = json.dumps(settings.results.model_dump(mode="json"), sort_keys=True)
    parts = ("handshake", __version__, parameters_digest(settings), described)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _specimen(result: EncodedResult) -> Specimen:
    return Specimen(
        kind=result.kind,
        profile=result.profile,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        series_instance_uid=result.series_instance_uid,
        transfer_syntax_uid=result.transfer_syntax_uid,
        data=result.data,
    )


def _file(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
