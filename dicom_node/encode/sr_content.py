"""The content of a report: TID 1500 Measurement Report (PS3.16), one TID 1410 group a finding.

What is said of an image as a whole stands under Qualitative Evaluations, with a reference to the image, and not in a
measurement group without a region: viewers take each group for something that they can draw.
"""

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_node.domain import Finding
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.contour import region
from dicom_node.encode.equipment import ascii_text
from dicom_node.encode.identity import read_text
from dicom_node.encode.marks import MANUFACTURER, MODEL_NAME
from dicom_node.encode.sr_context import Fate, ReportedImage
from dicom_node.encode.sr_items import Relationship, code, container, image, number, polygon, text, uid
from dicom_node.encode.tracking import tracking
from dicom_node.encode.uids import derived_uid

_CONTEXT, _MODIFIER = Relationship.HAS_OBS_CONTEXT, Relationship.HAS_CONCEPT_MOD
_ENGLISH = Code("en-US", "RFC5646", "English (United States)")
#: of CID 100
_CHEST_RADIOGRAPH = Code("399208008", "SCT", "Plain chest X-ray")
_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
_CATEGORY = Code("276214006", "SCT", "Finding category")
#: CID 29, those that a chest radiograph has
_MODALITIES = {
    "CR": Code("CR", "DCM", "Computed Radiography"),
    "DX": Code("DX", "DCM", "Digital Radiography"),
}
_OTHER = Code("OT", "DCM", "Other Modality")
#: CID 6047, by (something was analysed, everything was analysed, something was found)
_SUMMARY = {
    (True, True, True): codes.DCM.AllAlgorithmsSucceededWithFindings,
    (True, True, False): codes.DCM.AllAlgorithmsSucceededWithoutFindings,
    (True, False, True): codes.DCM.NotAllAlgorithmsSucceededWithFindings,
    (True, False, False): codes.DCM.NotAllAlgorithmsSucceededWithoutFindings,
}
_LACKS = {Fate.DECLINED: "Not read", Fate.FAILED: "Could not be read", Fate.PENDING: "Missing from this report"}

#: what stands first in every report
DISCLAIMER = "RESEARCH USE ONLY - not for diagnosis. Marked by an algorithm, verified by nobody."
#: what Certainty of Finding means
CERTAINTY = (
    "Certainty of Finding: calibrated; of marks with this value, so many percent are regions that a reader of the "
    "validation films had marked too. It names no disease."
)


def measurement_report(
    images: Sequence[ReportedImage], *, software_version: str, remarks: Sequence[str] = ()
) -> Dataset:
    """The root of the content tree. Only images with a header are referred to; `remarks` are texts of ASCII."""
    analysed = [each for each in images if each.reading is not None and each.header is not None]
    groups = [group for each in analysed for group in _groups(each)]
    return container(
        codes.DCM.ImagingMeasurementReport,
        [
            code(codes.DCM.LanguageOfContentItemAndDescendants, _ENGLISH, how=_MODIFIER),
            *_observer(analysed, software_version),
            code(codes.DCM.ProcedureReported, _CHEST_RADIOGRAPH, how=_MODIFIER),
            *([_library(analysed)] if analysed else []),
            *([container(codes.DCM.ImagingMeasurements, groups)] if groups else []),
            container(_EVALUATIONS, list(_evaluations(images, analysed, remarks))),
        ],
        template="1500",
        root=True,
    )


def _observer(analysed: Sequence[ReportedImage], software_version: str) -> Iterator[Dataset]:
    """TID 1001 and 1004: a device, by the models that it ran."""
    digests = sorted({each.reading.model_digest for each in analysed if each.reading is not None})
    yield code(codes.DCM.ObserverType, codes.DCM.Device, how=_CONTEXT)
    yield uid(codes.DCM.DeviceObserverUID, derived_uid("device", software_version, *digests), how=_CONTEXT)
    yield text(codes.DCM.DeviceObserverName, f"chexnode {ascii_text(software_version)}", how=_CONTEXT)
    yield text(codes.DCM.DeviceObserverManufacturer, MANUFACTURER, how=_CONTEXT)
    yield text(codes.DCM.DeviceObserverModelName, MODEL_NAME, how=_CONTEXT)
    if digests:
        yield text(codes.DCM.DeviceObserverSerialNumber, " ".join(digests), how=_CONTEXT)


def _library(analysed: Sequence[ReportedImage]) -> Dataset:
    """TID 1600: the images that a model looked at, each once."""
    entries = {each.sop_instance_uid: _entry(each) for each in analysed}
    return container(
        codes.DCM.ImageLibrary, [container(codes.DCM.ImageLibraryGroup, list(entries.values()))], template="1600"
    )


def _entry(each: ReportedImage) -> Dataset:
    modality = read_text(each.header or Dataset(), "Modality")
    how = Relationship.HAS_ACQ_CONTEXT
    return image(
        each.sop_class_uid,
        each.sop_instance_uid,
        code(codes.DCM.Modality, _MODALITIES.get(modality, _OTHER), how=how),
        code(codes.DCM.TargetRegion, codes.SCT.Chest, how=how),
        how=Relationship.CONTAINS,
    )


def _groups(each: ReportedImage) -> Iterator[Dataset]:
    for ordinal, finding in enumerate(each.findings, start=1):
        assert each.reading is not None  # as measurement_report chose them
        yield _group(each, each.reading, finding, ordinal)


def _group(each: ReportedImage, reading: EncodeContext, finding: Finding, ordinal: int) -> Dataset:
    """TID 1410: one finding, under the tracking UID that its segment has too."""
    tracked = tracking(
        ordinal,
        input_digest=reading.input_digest,
        model_digest=reading.model_digest,
        parameters=reading.parameters,
    )
    items = [
        text(codes.DCM.TrackingIdentifier, tracked.identifier, how=_CONTEXT),
        uid(codes.DCM.TrackingUniqueIdentifier, tracked.uid, how=_CONTEXT),
        code(_CATEGORY, codes.SCT.MorphologicallyAbnormalStructure),
        code(codes.DCM.Finding, codes.SCT.Lesion),
        *_algorithm(reading, [CERTAINTY, *_of_area(each, finding)]),
        code(codes.SCT.FindingSite, codes.SCT.Chest, how=_MODIFIER),
        polygon(
            codes.DCM.ImageRegion,
            region(finding),
            image(each.sop_class_uid, each.sop_instance_uid, how=Relationship.SELECTED_FROM),
        ),
        number(codes.DCM.CertaintyOfFinding, finding.confidence * 100, codes.UCUM.Percent),
    ]
    if finding.area_mm2 is not None:
        items.append(number(codes.SCT.Area, finding.area_mm2, codes.UCUM.SquareMillimeter))
    return container(codes.DCM.MeasurementGroup, items, template="1410")


def _algorithm(reading: EncodeContext, remarks: Sequence[str]) -> Iterator[Dataset]:
    """TID 4019 Algorithm Identification."""
    yield text(codes.DCM.AlgorithmName, ascii_text(reading.algorithm_name), how=_MODIFIER)
    version = f"{reading.algorithm_version[:40]} sha256:{reading.model_digest[:16]}"
    yield text(codes.DCM.AlgorithmVersion, ascii_text(version), how=_MODIFIER)
    parameters = [
        f"model_sha256={reading.model_digest}",
        f"parameters_sha256={reading.parameters}",
        f"threshold={reading.threshold * 100:.6g} %",
        *remarks,
    ]
    for parameter in parameters:
        yield text(codes.DCM.AlgorithmParameters, parameter, how=_MODIFIER)
    yield code(codes.DCM.AlgorithmFamily, Code(*reading.algorithm_family), how=_MODIFIER)


def _of_area(each: ReportedImage, finding: Finding) -> list[str]:
    if finding.area_mm2 is None or (each.header is not None and _is_calibrated(each.header)):
        return []
    return ["Area: measured at the detector or on the film, which overstates it by the square of the magnification"]


def _is_calibrated(header: Dataset) -> bool:
    """Pixel Spacing says something believable (PS3.3 10.7.1.3); else it was the detector's or the scanner's."""
    try:
        spacing = [float(part) for part in read_text(header, "PixelSpacing").split("\\")]
    except ValueError:
        return False
    return len(spacing) == 2 and all(0.01 <= value <= 10 for value in spacing)


def _evaluations(
    images: Sequence[ReportedImage], analysed: Sequence[ReportedImage], remarks: Sequence[str]
) -> Iterator[Dataset]:
    yield text(codes.DCM.Comment, DISCLAIMER)
    for remark in remarks:
        yield text(codes.DCM.Comment, remark)
    yield _summary(analysed, all_succeeded=all(each.fate in (Fate.ANALYSED, Fate.DECLINED) for each in images))
    for each in images:
        if each.reading is not None and each.header is not None:
            yield _verdict(each, each.reading)
        if each.fate is not Fate.ANALYSED:
            yield _not_analysed(each)


def _summary(analysed: Sequence[ReportedImage], *below: Dataset, all_succeeded: bool = True) -> Dataset:
    key = (bool(analysed), all_succeeded, any(each.findings for each in analysed))
    value = _SUMMARY.get(key, codes.DCM.NoAlgorithmsSucceededWithoutFindings)
    return code(codes.DCM.CADProcessingAndFindingsSummary, value, *below)


def _verdict(each: ReportedImage, reading: EncodeContext) -> Dataset:
    """What was found on one image, 'nothing' said as plainly as anything else."""
    threshold = f"{reading.threshold * 100:.3g} %"
    if each.findings:
        regions = "1 abnormal region" if len(each.findings) == 1 else f"{len(each.findings)} abnormal regions"
        said = f"{regions} marked, at a certainty of {threshold} or more"
        if reading.not_shown:
            said += f"; {reading.not_shown} less certain not marked"
    else:
        said = f"No finding: no region with a certainty of {threshold} or more"
    return _summary(
        [each],
        text(codes.DCM.Comment, said, how=Relationship.HAS_PROPERTIES),
        image(each.sop_class_uid, each.sop_instance_uid, how=Relationship.INFERRED_FROM),
    )


def _not_analysed(each: ReportedImage) -> Dataset:
    lacks = _LACKS[each.fate] if each.reading is None else "To be replaced"
    said = f"{lacks}: {each.because}"
    if each.header is None:
        # in which series it lies is not known, so it cannot be referred to
        return text(codes.DCM.Comment, f"{said} (image {ascii_text(each.sop_instance_uid)})")
    return text(
        codes.DCM.Comment,
        said,
        image(each.sop_class_uid, each.sop_instance_uid, how=Relationship.INFERRED_FROM),
    )
