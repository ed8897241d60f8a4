"""Studies to be reported, and what stands in a report, for the tests of the SR; nothing in here is random."""

from dataclasses import replace
from typing import Any

import highdicom.sr
from pydicom.dataset import Dataset

from dicom_node.domain import EncodedResult, Finding, Profile
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.profiles import PROFILES
from dicom_node.encode.sr import build_report
from dicom_node.encode.sr_context import Fate, Place, ReportContext, ReportedImage
from tests.encode.sources import CONTEXT, UIDS, finding, full, header

#: profiles that have a report
REPORTED = [profile for profile, row in PROFILES.items() if row.study_kinds]

REPORT = ReportContext(revision=1, content_time=CONTEXT.content_time, software_version="0.1.0")

PREDECESSOR = Place(
    study_instance_uid=UIDS["StudyInstanceUID"],
    series_instance_uid="2.25.5",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
    sop_instance_uid="2.25.6",
)

FINDINGS = (
    replace(finding(20, 10, confidence=0.8123456), area_mm2=12.3456789),
    finding(50, 30, 1, 1, confidence=0.3),
)


def reported(number: int = 1, *, of: Dataset | None = None, **changed: Any) -> ReportedImage:
    """Image `number` of a study, its header that of the data set `of`: analysed, with FINDINGS."""
    dataset = full() if of is None else of
    sop_instance_uid = UIDS["SOPInstanceUID"] if number == 1 else f"{UIDS['SOPInstanceUID']}.{number}"
    dataset.SOPInstanceUID = sop_instance_uid
    digest = f"{number:064x}"
    values: dict[str, Any] = {
        "sop_class_uid": str(dataset.SOPClassUID),
        "sop_instance_uid": sop_instance_uid,
        "input_digest": digest,
        "header": header(dataset),
        "fate": Fate.ANALYSED,
        "reading": reading(number),
        "findings": FINDINGS,
    }
    return ReportedImage(**{**values, **changed})


def reading(number: int = 1) -> EncodeContext:
    """What the results of image `number` were made with."""
    return replace(CONTEXT, input_digest=f"{number:064x}")


def unread(number: int, fate: Fate, because: str, **changed: Any) -> ReportedImage:
    """Image `number`, which nobody analysed."""
    return reported(number, fate=fate, because=because, reading=None, findings=(), **changed)


def study() -> list[ReportedImage]:
    """One of everything."""
    return [
        reported(1),
        reported(2, findings=(), reading=replace(reading(2), not_shown=0)),
        unread(3, Fate.DECLINED, "lateral view"),
        unread(4, Fate.FAILED, "no pixels"),
        unread(5, Fate.PENDING, "its analysis had not ended", header=None),
    ]


def report(*images: ReportedImage, profile: Profile = Profile.OHIF, context: ReportContext = REPORT) -> EncodedResult:
    """The report on `images`, or on `study()`."""
    return build_report(profile, images=images or study(), context=context)


def one(*found: Finding, of: Dataset | None = None) -> EncodedResult:
    """The report on one image with these findings."""
    return report(reported(of=of, findings=found))


def groups(result: Dataset) -> list[highdicom.sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    """The findings, as highdicom reads them."""
    document = highdicom.sr.ComprehensiveSR.from_dataset(result)
    found: list[highdicom.sr.PlanarROIMeasurementsAndQualitativeEvaluations] = (
        document.content.get_planar_roi_measurement_groups()
    )
    return found


def items(dataset: Dataset, meaning: str) -> list[Dataset]:
    """All content items, however deep, whose concept is called `meaning`, in their order."""
    found = []
    for item in dataset.get("ContentSequence", ()):
        if item.get("ConceptNameCodeSequence") and item.ConceptNameCodeSequence[0].CodeMeaning == meaning:
            found.append(item)
        found += items(item, meaning)
    return found


def texts(dataset: Dataset, meaning: str = "Comment") -> list[str]:
    """The texts of `items`."""
    return [item.TextValue for item in items(dataset, meaning) if item.ValueType == "TEXT"]


def summaries(dataset: Dataset) -> list[str]:
    """What is said of the study, then of each image."""
    answers = items(dataset, "CAD Processing and Findings Summary")
    return [answer.ConceptCodeSequence[0].CodeMeaning for answer in answers]


def evidence(dataset: Dataset) -> set[str]:
    """SOP Instance UIDs of the current requested procedure's evidence."""
    return {
        instance.ReferencedSOPInstanceUID
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
