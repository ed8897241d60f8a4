"""The report of a study (Comprehensive SR, PS3.3 A.35.3, or Comprehensive 3D SR, A.35.13): one a study revision."""

import warnings
from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.domain import EncodedResult, Kind, Profile
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.equipment import ascii_text, contributing_equipment, software_versions
from dicom_node.encode.finish import date_and_time
from dicom_node.encode.identity import copy_identity, identity_key, read_text
from dicom_node.encode.marks import ENCODER_VERSION, MANUFACTURER, MODEL_NAME
from dicom_node.encode.part10 import part10
from dicom_node.encode.profiles import PROFILES
from dicom_node.encode.sr_content import measurement_report
from dicom_node.encode.sr_context import Fate, Place, ReportContext, ReportedImage, identity_header, of_one_patient
from dicom_node.encode.sr_items import reference
from dicom_node.encode.times import result_times
from dicom_node.encode.uids import derived_uid


def build_report(profile: Profile, *, images: Sequence[ReportedImage], context: ReportContext) -> EncodedResult:
    """The report on `images`, the current ones of a study in the order of their arrival, complete.

    The same arguments give the same bytes, on every day and host. It is about the patient of the newest image; an image
    whose header names another one is left out, and said to be. Raises ValueError where no image has a header.
    """
    ours, others = of_one_patient(images)
    header = identity_header(ours)
    if header is None:
        raise ValueError("no image of the study has a header: its report would belong to nobody")
    with warnings.catch_warnings():
        # pydicom warns of each malformed UID that a reference repeats on purpose
        warnings.filterwarnings("ignore", message="Invalid value for VR|The value length")
        result = _document(profile, ours, others, header=header, context=context)
        data = part10(result)
    return EncodedResult(
        kind=Kind.SR,
        profile=profile,
        sop_class_uid=str(result.SOPClassUID),
        sop_instance_uid=str(result.SOPInstanceUID),
        series_instance_uid=str(result.SeriesInstanceUID),
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        encoder_version=ENCODER_VERSION,
        data=data,
    )


def _document(
    profile: Profile,
    ours: Sequence[ReportedImage],
    others: Sequence[ReportedImage],
    *,
    header: Dataset,
    context: ReportContext,
) -> Dataset:
    result = Dataset()
    remarks = [f"Not reported: image {each.sop_instance_uid}, whose header names another patient" for each in others]
    if context.other_objects:
        remarks.append(f"Objects of the study that are no radiographs: {context.other_objects}")
    if left_out := copy_identity(header, result):
        remarks.append(f"Not copied from the source, whose values cannot be written: {', '.join(left_out)}")
    remarks = [ascii_text(remark, most=1024) for remark in remarks]
    result.update(measurement_report(ours, software_version=context.software_version, remarks=remarks))
    called = (context.sr_description, str(context.sr_series_number))
    maker = (context.software_version, *called, Kind.SR, profile, ENCODER_VERSION)
    models = _models(ours)
    result.SOPClassUID = UID(PROFILES[profile].sr_class)
    result.SOPInstanceUID = derived_uid("report", *_outcomes(ours, others, context), *maker)
    result.Modality = "SR"
    # revisions of one study stand in one series, so that viewers open the newest one alone; a series has one maker
    result.SeriesInstanceUID = derived_uid(
        "series", identity_key(header), *(part for key in models for part in key), *maker
    )
    result.SeriesNumber = context.sr_series_number
    result.SeriesDescription = ascii_text(context.sr_description)
    result.InstanceNumber = context.revision
    result.ReferencedPerformedProcedureStepSequence = None
    result.PerformedProcedureCodeSequence = None
    result.ContentQualification = "RESEARCH"
    _say_how_far(result, ours, others)
    _say_when_and_by_whom(result, ours, list(models.values()), header=header, context=context)
    result.CurrentRequestedProcedureEvidenceSequence = evidence(_places(ours))
    if context.predecessors:
        result.PredecessorDocumentsSequence = evidence(context.predecessors)
    return result


def _models(images: Sequence[ReportedImage]) -> dict[tuple[str, str], EncodeContext]:
    """By model digest and parameters, in a stable order: all that looked at the images."""
    readings = {(each.reading.model_digest, each.reading.parameters): each.reading for each in images if each.reading}
    return dict(sorted(readings.items()))


def _outcomes(ours: Sequence[ReportedImage], others: Sequence[ReportedImage], context: ReportContext) -> Iterable[str]:
    """All that the report says, but for its times: a UID never has two contents."""
    yield str(context.revision)
    yield str(context.other_objects)
    # counts, and as many values of each image, keep what is said of one apart from what is said of the next
    yield str(len(context.predecessors))
    for place in context.predecessors:
        yield place.sop_instance_uid
    for each in (*ours, *others):
        yield each.sop_instance_uid
        yield each.input_digest
        yield "header" if each.header is not None else ""
        yield each.fate
        yield each.because
        reading = each.reading
        yield from (reading.input_digest, reading.model_digest, reading.parameters) if reading else ("", "", "")
        yield str(len(each.findings))


def _say_how_far(result: Dataset, ours: Sequence[ReportedImage], others: Sequence[ReportedImage]) -> None:
    """Complete or not, and verified by nobody (PS3.3 C.17.2)."""
    lacking = len(others) + sum(each.fate in (Fate.FAILED, Fate.PENDING) for each in ours)
    result.CompletionFlag = "PARTIAL" if lacking else "COMPLETE"
    if lacking:
        result.CompletionFlagDescription = f"without {lacking} of {len(ours) + len(others)} images"
    result.VerificationFlag = "UNVERIFIED"
    result.PreliminaryFlag = "PRELIMINARY"


def _say_when_and_by_whom(
    result: Dataset,
    ours: Sequence[ReportedImage],
    models: Sequence[EncodeContext],
    *,
    header: Dataset,
    context: ReportContext,
) -> None:
    times = result_times(header, context.content_time)
    headers = [each.header for each in ours if each.header is not None]
    latest = max(result_times(each, context.content_time).content for each in headers)
    result.InstanceCreationDate, result.InstanceCreationTime = date_and_time(times.created)
    result.ContentDate, result.ContentTime = date_and_time(latest)
    result.Manufacturer = MANUFACTURER
    result.ManufacturerModelName = MODEL_NAME
    versions = [version for each in models for version in software_versions(each)[1:]]
    result.SoftwareVersions = [ascii_text(f"chexnode {context.software_version}"), *dict.fromkeys(versions)]
    if len(models) == 1:
        result.DeviceSerialNumber = models[0].model_digest
    equipment = [contributing_equipment(header, each, when=times.created_dt) for each in models]
    if equipment:
        result.ContributingEquipmentSequence = equipment[0] + [item for items in equipment[1:] for item in items[-1:]]


def _places(images: Sequence[ReportedImage]) -> Iterable[Place]:
    for each in images:
        if each.header is not None:
            yield Place(
                study_instance_uid=read_text(each.header, "StudyInstanceUID"),
                series_instance_uid=read_text(each.header, "SeriesInstanceUID"),
                sop_class_uid=each.sop_class_uid,
                sop_instance_uid=each.sop_instance_uid,
            )


def evidence(places: Iterable[Place]) -> list[Dataset]:
    """Hierarchical SOP Instance References (PS3.3 C.17.2.1): by study, by series, each instance once."""
    studies: dict[str, dict[str, dict[str, str]]] = {}
    for place in places:
        series = studies.setdefault(place.study_instance_uid, {})
        series.setdefault(place.series_instance_uid, {})[place.sop_instance_uid] = place.sop_class_uid
    evidence = []
    for study_uid, by_series in studies.items():
        study = Dataset()
        study.StudyInstanceUID = study_uid
        study.ReferencedSeriesSequence = []
        for series_uid, instances in by_series.items():
            item = Dataset()
            item.SeriesInstanceUID = series_uid
            item.ReferencedSOPSequence = [reference(sop_class, sop_uid) for sop_uid, sop_class in instances.items()]
            study.ReferencedSeriesSequence.append(item)
        evidence.append(study)
    return evidence
