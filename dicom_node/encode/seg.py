"""The Segmentation (PS3.3 A.51): BINARY, pixel for pixel on the source; one segment in all, or one a finding."""

from collections.abc import Sequence

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ComputedRadiographyImageStorage

from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.colour import colour_of
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.display import Window
from dicom_node.encode.equipment import ascii_text, software_versions
from dicom_node.encode.findings import united_mask
from dicom_node.encode.finish import date_and_time, finish
from dicom_node.encode.identity import read_text
from dicom_node.encode.marks import MANUFACTURER, MODEL_NAME
from dicom_node.encode.profiles import PROFILES, Segments
from dicom_node.encode.sources import derivation_image, pixel_spacing, result_instance_number
from dicom_node.encode.times import result_times
from dicom_node.encode.tracking import tracking
from dicom_node.encode.uids import frame_of_reference_uid, image_uid

#: rows and columns of what highdicom is shown
_STAND_IN = (8, 8)


def build_seg(
    profile: Profile,
    *,
    header: Dataset,
    film_pixels: NDArray[np.uint16],
    film_shape: tuple[int, int],
    film_valid: NDArray[np.bool_] | None,
    film_window: Window | None,
    findings: Sequence[Finding],
    context: EncodeContext,
) -> Dataset:
    """The masks of `findings`, united or each in a segment and a frame of its own, as `profile` has it.

    Raises ValueError where they cover nothing.
    """
    del film_pixels, film_valid, film_window
    rows, columns = film_shape
    segments = _segments(PROFILES[profile].segments, findings)
    if not any(finding.mask.any() for _, of in segments for finding in of):
        raise ValueError("a SEG without a single pixel says nothing: ask kinds_for what to build")
    masks = [united_mask(of, (rows, columns)) for _, of in segments]
    times = result_times(header, context.content_time)

    def uid(role: str) -> str:
        return image_uid(role, kind=Kind.SEG, profile=profile, context=context)

    result: Dataset = Segmentation(
        source_images=[_stand_in(header, profile)],
        # frames that are not empty; it would look through the true ones several times, and they are packed below
        pixel_array=np.ones((1, *_STAND_IN, len(segments)), np.bool_),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(segment_number, number, of, context)
            for segment_number, (number, of) in enumerate(segments, start=1)
        ],
        series_instance_uid=uid("series"),
        series_number=context.seg_series_number,
        sop_instance_uid=uid("instance"),
        instance_number=result_instance_number(header),
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=software_versions(context)[0],
        device_serial_number=context.model_digest,
        content_label="ABNORMALITY",
        content_description="Regions that look abnormal to an algorithm; research use only",
        series_description=ascii_text(context.seg_description),
    )
    result.Rows, result.Columns = rows, columns
    result.SegmentsOverlap = "YES" if _overlap(masks) else "NO"
    # highdicom packs frames of less than eight pixels apart, and pads with another octet than null
    flat = masks[0] if len(masks) == 1 else np.stack(masks)
    bits = np.packbits(flat, axis=None, bitorder="little").tobytes()
    result.add_new("PixelData", "OB", bits + bytes(len(bits) % 2))
    finish(result, header, context, times)
    # type 2 (PS3.3 10.9), which highdicom leaves out
    result.ContentCreatorName = None
    # one image, one series: the series begins with it
    result.SeriesDate, result.SeriesTime = date_and_time(times.content)
    for frame in result.PerFrameFunctionalGroupsSequence:
        frame.DerivationImageSequence = [derivation_image(header)]
    organization = uid("dimension organization")
    result.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    for index in result.DimensionIndexSequence:
        index.DimensionOrganizationUID = organization
    return result


def _stand_in(header: Dataset, profile: Profile) -> Dataset:
    """What highdicom is shown instead of the source: a small one, with geometry only where the profile invents it.

    highdicom trips on absent type 2 attributes and on values that break their VR; identity and references are
    written afterwards from the true header.
    """
    source = Dataset()
    source.SOPClassUID = ComputedRadiographyImageStorage
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(source, keyword, "2.25.1")
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(source, keyword, "")
    source.StudyDate = source.StudyTime = source.ReferringPhysicianName = None
    source.Modality = "CR"
    source.Rows, source.Columns = _STAND_IN
    if PROFILES[profile].invented_geometry:
        source.FrameOfReferenceUID = frame_of_reference_uid(read_text(header, "SOPInstanceUID"))
        source.PositionReferenceIndicator = None
        source.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        source.ImagePositionPatient = [0, 0, 0]
        source.PixelSpacing = list(pixel_spacing(header) or (1.0, 1.0))
        source.SliceThickness = 1.0
    return source


def _segments(style: Segments, findings: Sequence[Finding]) -> list[tuple[int | None, tuple[Finding, ...]]]:
    """What each segment holds: the number of its finding, None for all of them as one, and the findings."""
    if style is Segments.UNITED:
        return [(None, tuple(findings))]
    # the number is that of the outlines, also where a finding without a pixel has no segment
    return [(number, (finding,)) for number, finding in enumerate(findings, start=1) if finding.mask.any()]


def _overlap(masks: Sequence[NDArray[np.bool_]]) -> bool:
    """A pixel belongs to more than one of `masks`."""
    if len(masks) == 1:
        return False
    apart = sum(np.count_nonzero(mask) for mask in masks)
    return bool(np.count_nonzero(np.logical_or.reduce(masks)) < apart)


def _description(
    segment_number: int, number: int | None, findings: Sequence[Finding], context: EncodeContext
) -> SegmentDescription:
    tracked = tracking(
        number, input_digest=context.input_digest, model_digest=context.model_digest, parameters=context.parameters
    )
    description = SegmentDescription(
        segment_number=segment_number,
        segment_label="Abnormality" if number is None else f"Abnormality {number}",
        # CID 7150 and CID 7159
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=_algorithm(context),
        tracking_uid=tracked.uid,
        tracking_id=tracked.identifier,
        anatomic_regions=[codes.SCT.Chest],
        display_color=CIELabColor(*colour_of(number or 1).lab),
    )
    confidences = ", ".join(f"{finding.confidence:.2f}" for finding in findings)
    description.SegmentDescription = f"Confidence {confidences}; shown from {context.threshold:.3g}; research use only"
    return description


def _algorithm(context: EncodeContext) -> AlgorithmIdentificationSequence:
    """Algorithm Identification (PS3.3 10.16): the version names the model by its digest, the parameters in full."""
    value, scheme, meaning = context.algorithm_family
    return AlgorithmIdentificationSequence(
        name=ascii_text(context.algorithm_name),
        family=Code(value, scheme, meaning),
        version=ascii_text(f"{context.algorithm_version[:40]} sha256:{context.model_digest[:16]}"),
        source="chexnode",
        parameters={
            "model_sha256": context.model_digest,
            "parameters_sha256": context.parameters,
            "threshold": f"{context.threshold:.6g}",
        },
    )
