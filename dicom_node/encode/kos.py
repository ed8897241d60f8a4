"""The rejection note (Key Object Selection, PS3.3 A.35.4): withdraws results of ours from an archive.

IHE's Imaging Object Change Management (RAD TF-3 4.66): an archive that implements it hides or deletes what a note
names, by the note's title. One that does not keeps the note as one more object, and what it names too.
"""

import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
)

from dicom_node.domain import EncodedResult, Kind, Profile, RejectionTitle
from dicom_node.encode import sr_items as items
from dicom_node.encode.equipment import ascii_text
from dicom_node.encode.finish import date_and_time
from dicom_node.encode.identity import copy_identity, identity_key
from dicom_node.encode.marks import ENCODER_VERSION, MANUFACTURER, MODEL_NAME
from dicom_node.encode.part10 import part10
from dicom_node.encode.sr import evidence
from dicom_node.encode.sr_context import Place
from dicom_node.encode.sr_items import Relationship
from dicom_node.encode.times import result_times
from dicom_node.encode.uids import derived_uid

#: after the results: 9901 to 9904 by default
SERIES_NUMBER = 9909
SERIES_DESCRIPTION = "AI RESEARCH chexnode rejection note"

TITLES: dict[RejectionTitle, Code] = {
    RejectionTitle.QUALITY: codes.DCM.RejectedForQualityReasons,
    RejectionTitle.PATIENT_SAFETY: codes.DCM.RejectedForPatientSafetyReasons,
    RejectionTitle.WORKLIST: codes.DCM.IncorrectModalityWorklistEntry,
    RejectionTitle.RETENTION: codes.DCM.DataRetentionPolicyExpired,
}

#: classes without pixels: named by COMPOSITE, all others by IMAGE (PS3.16 TID 2010)
_NO_IMAGE = frozenset({ComprehensiveSRStorage, Comprehensive3DSRStorage, GrayscaleSoftcopyPresentationStateStorage})


def build_rejection_note(
    title: RejectionTitle,
    profile: Profile,
    *,
    header: Dataset,
    rejected: Iterable[Place],
    content_time: datetime,
    software_version: str,
) -> EncodedResult:
    """The note that withdraws `rejected`, objects of one study, complete.

    `header` is that of one of them, or of their source: whose note it is. `content_time` has a time zone. The same
    arguments give the same bytes; the same objects, patient and title the same UIDs, in whatever order they are named.
    Raises ValueError for nothing to withdraw, or for objects of several studies.
    """
    places = sorted(set(rejected), key=lambda place: (place.series_instance_uid, place.sop_instance_uid))
    if len({place.study_instance_uid for place in places}) != 1:
        raise ValueError(f"a rejection note is about one study, not about {len(places)} objects of several or none")
    with warnings.catch_warnings():
        # pydicom warns of each malformed UID that a reference repeats on purpose
        warnings.filterwarnings("ignore", message="Invalid value for VR|The value length")
        note = _document(title, profile, header, places, content_time=content_time, software_version=software_version)
        data = part10(note)
    return EncodedResult(
        kind=Kind.KOS,
        profile=profile,
        sop_class_uid=str(note.SOPClassUID),
        sop_instance_uid=str(note.SOPInstanceUID),
        series_instance_uid=str(note.SeriesInstanceUID),
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        encoder_version=ENCODER_VERSION,
        data=data,
    )


def _document(
    title: RejectionTitle,
    profile: Profile,
    header: Dataset,
    places: Sequence[Place],
    *,
    content_time: datetime,
    software_version: str,
) -> Dataset:
    note = Dataset()
    left_out = copy_identity(header, note)
    # RequestAttributesSequence is an image series' way of naming its order; a document has its own, and ours none
    if "RequestAttributesSequence" in note:
        del note.RequestAttributesSequence
    note.update(_content(title, places, left_out, software_version=software_version))
    key = (
        identity_key(header),
        title,
        Kind.KOS,
        profile,
        ENCODER_VERSION,
        *(place.sop_instance_uid for place in places),
    )
    note.SOPClassUID = KeyObjectSelectionDocumentStorage
    note.SOPInstanceUID = derived_uid("rejection note", *key)
    note.Modality = "KO"
    note.SeriesInstanceUID = derived_uid("series of a rejection note", *key)
    note.SeriesNumber = SERIES_NUMBER
    note.SeriesDescription = SERIES_DESCRIPTION
    note.ReferencedPerformedProcedureStepSequence = None
    note.InstanceNumber = 1
    note.Manufacturer = MANUFACTURER
    note.ManufacturerModelName = MODEL_NAME
    note.SoftwareVersions = ascii_text(f"chexnode {software_version}")
    times = result_times(header, content_time)
    note.InstanceCreationDate, note.InstanceCreationTime = date_and_time(times.created)
    note.ContentDate, note.ContentTime = date_and_time(times.content)
    note.SeriesDate, note.SeriesTime = date_and_time(times.content)
    note.CurrentRequestedProcedureEvidenceSequence = evidence(places)
    return note


def _content(
    title: RejectionTitle, places: Sequence[Place], left_out: Sequence[str], *, software_version: str
) -> Dataset:
    """TID 2010: the title, who says so, and what it is about."""
    device = ascii_text(f"chexnode {software_version}")
    said = "Withdrawn by the AI research node that made it"
    if left_out:
        said += f". Not copied from the source, whose values cannot be written: {', '.join(left_out)}"
    return items.container(
        TITLES[title],
        [
            items.code(codes.DCM.ObserverType, codes.DCM.Device, how=Relationship.HAS_OBS_CONTEXT),
            items.uid(codes.DCM.DeviceObserverUID, derived_uid("device", device), how=Relationship.HAS_OBS_CONTEXT),
            items.text(codes.DCM.DeviceObserverName, device, how=Relationship.HAS_OBS_CONTEXT),
            items.text(codes.DCM.KeyObjectDescription, ascii_text(said, most=1024)),
            *(_reference(place) for place in places),
        ],
        template="2010",
        root=True,
    )


def _reference(place: Place) -> Dataset:
    item = items.image(place.sop_class_uid, place.sop_instance_uid, how=Relationship.CONTAINS)
    if place.sop_class_uid in _NO_IMAGE:
        item.ValueType = "COMPOSITE"
    return item
