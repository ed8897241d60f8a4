"""The Segmentation: the mask that was predicted, on the very pixels of its source."""

from io import BytesIO

import highdicom
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.uid import SegmentationStorage

from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.findings import shown, united_mask
from dicom_node.encode.seg import build_seg
from tests.encode.sources import ALL, CONTEXT, UIDS, bare, encode, film, finding, full, header, read, source

HEADER = header(full())
PROFILES = [profile for profile, kind in ALL if kind is Kind.SEG]
#: the profiles of one segment in all, and of one a finding
UNITED = [Profile.STRICT, Profile.OHIF]
A_FINDING = [Profile.AIR, Profile.SLICER]


def sent_back(profile: Profile, shape: tuple[int, int], findings: tuple[Finding, ...]) -> list[NDArray[np.bool_]]:
    """The mask of each segment as highdicom reads it out of the file, found by the source that it refers to."""
    result = encode(Kind.SEG, profile, of=HEADER, pixels=np.zeros(shape, np.uint16), findings=findings)
    segmentation = highdicom.seg.segread(BytesIO(result.data))
    frames = segmentation.get_pixels_by_source_instance(
        source_sop_instance_uids=[UIDS["SOPInstanceUID"]], ignore_spatial_locations=True
    )
    assert frames.shape == (1, *shape, segmentation.number_of_segments)
    return [np.asarray(frames[0, :, :, n] == 1) for n in range(frames.shape[3])]


def masks(profile: Profile, shape: tuple[int, int], findings: tuple[Finding, ...]) -> list[NDArray[np.bool_]]:
    """What the segments should hold."""
    return [united_mask(of, shape) for of in ([findings] if profile in UNITED else [(one,) for one in findings])]


@st.composite
def films_with_masks(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[Finding, ...]]:
    """A size and one to three masks on it: full, single pixels, many components, any size of crop."""
    rows, columns = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    findings = []
    for _ in range(draw(st.integers(1, 3))):
        height, width = draw(st.integers(1, rows)), draw(st.integers(1, columns))
        bits = draw(st.binary(min_size=height * width, max_size=height * width))
        mask = np.frombuffer(bits, np.uint8).reshape(height, width) > draw(st.sampled_from((0, 128, 254)))
        mask = mask.copy()
        mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
        origin = draw(st.integers(0, rows - height)), draw(st.integers(0, columns - width))
        findings.append(finding(*origin, mask=mask))
    return (rows, columns), tuple(findings)


@given(case=films_with_masks(), profile=st.sampled_from(PROFILES))
@settings(max_examples=30, deadline=None)
def test_the_mask_that_is_read_back_is_the_mask_that_was_predicted(
    case: tuple[tuple[int, int], tuple[Finding, ...]], profile: Profile
) -> None:
    shape, findings = case
    sent, expected = sent_back(profile, shape, findings), masks(profile, shape, findings)
    assert len(sent) == len(expected)
    assert all(map(np.array_equal, sent, expected))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 3), (441, 439), (4300, 3500)])
def test_sizes_that_are_odd_tiny_and_large(profile: Profile, shape: tuple[int, int]) -> None:
    corner = finding(shape[0] - 1, shape[1] - 1, 1, 1)
    (sent,) = sent_back(profile, shape, (corner,))
    assert np.array_equal(sent, united_mask((corner,), shape))


def test_pydicom_reads_the_same_pixels() -> None:
    findings = (finding(1, 2, 5, 6), finding(30, 20, 20, 15))
    assert np.array_equal(read(encode(Kind.SEG, findings=findings)).pixel_array, united_mask(findings, (64, 48)))
    # frames follow each other without a gap, also within an octet (PS3.5 8.2), and only then null pads
    for shape in ((61, 47), (3, 1)):
        corners = (finding(0, 0, 1, 1), finding(shape[0] - 1, shape[1] - 1, 1, 1))
        result = read(encode(Kind.SEG, Profile.SLICER, pixels=film(*shape), findings=corners))
        bits = np.unpackbits(np.frombuffer(result.PixelData, np.uint8), bitorder="little")
        pixels = shape[0] * shape[1]
        assert np.flatnonzero(bits).tolist() == [0, 2 * pixels - 1]
        assert len(result.PixelData) == (2 * pixels + 15) // 16 * 2


@pytest.mark.parametrize("profile", A_FINDING)
def test_a_segment_a_finding_under_its_own_number_label_and_colour(profile: Profile) -> None:
    nothing = finding(0, 0, mask=np.zeros((3, 3)))
    found = (finding(2, 3, 20, 20, confidence=0.875), nothing, finding(10, 10, 20, 20, confidence=0.375))
    result = read(encode(Kind.SEG, profile, findings=found))
    assert [one.SegmentNumber for one in result.SegmentSequence] == [1, 2]
    # the number is the finding's: it stands beside the outline of the SC too
    assert [one.SegmentLabel for one in result.SegmentSequence] == ["Abnormality 1", "Abnormality 3"]
    assert result.SegmentSequence[1].SegmentDescription == "Confidence 0.38; shown from 0.25; research use only"
    assert len({tuple(one.RecommendedDisplayCIELabValue) for one in result.SegmentSequence}) == 2
    # where two findings overlap each keeps its pixels
    first, second = result.pixel_array
    assert np.array_equal(first, united_mask(found[:1], (64, 48)))
    assert np.array_equal(second, united_mask(found[2:], (64, 48)))
    numbers = [
        f.SegmentIdentificationSequence[0].ReferencedSegmentNumber for f in result.PerFrameFunctionalGroupsSequence
    ]
    assert numbers == [1, 2]
    for frame in result.PerFrameFunctionalGroupsSequence:
        assert (
            frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID == UIDS["SOPInstanceUID"]
        )


@pytest.mark.parametrize("profile", PROFILES)
def test_what_the_segment_says(profile: Profile) -> None:
    result = read(encode(Kind.SEG, profile))
    assert result.SOPClassUID == SegmentationStorage
    assert (result.SegmentationType, result.NumberOfFrames, len(result.SegmentSequence)) == ("BINARY", 1, 1)
    segment = result.SegmentSequence[0]
    assert segment.SegmentLabel == ("Abnormality" if profile in UNITED else "Abnormality 1")
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert code(segment.SegmentedPropertyCategoryCodeSequence) == ("49755003", "SCT")
    assert code(segment.SegmentedPropertyTypeCodeSequence) == ("52988006", "SCT")
    assert code(segment.AnatomicRegionSequence) == ("816094009", "SCT")
    assert len(segment.RecommendedDisplayCIELabValue) == 3
    assert segment.TrackingUID.startswith("2.25.")
    assert segment.TrackingID.startswith("chexnode ")
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert code(algorithm.AlgorithmFamilyCodeSequence) == ("123110", "DCM")
    assert algorithm.AlgorithmName == "probe"
    assert algorithm.AlgorithmVersion == "1.2.3 sha256:" + CONTEXT.model_digest[:16]
    assert f"model_sha256={CONTEXT.model_digest}" in algorithm.AlgorithmParameters
    assert "threshold=0.25" in algorithm.AlgorithmParameters


def code(sequence: object) -> tuple[str, str]:
    (item,) = sequence  # type: ignore[misc]  # a pydicom Sequence, which has no type of its own here
    return item.CodeValue, item.CodingSchemeDesignator


@pytest.mark.parametrize("profile", PROFILES)
def test_it_refers_to_its_source_and_to_nothing_else(profile: Profile) -> None:
    original = full("CR")
    result = read(encode(Kind.SEG, profile, of=header(original)))
    (series,) = result.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == UIDS["SeriesInstanceUID"]
    (frame,) = result.PerFrameFunctionalGroupsSequence
    (derivation,) = frame.DerivationImageSequence
    assert code(derivation.DerivationCodeSequence) == ("113076", "DCM")
    references = [
        *series.ReferencedInstanceSequence,
        *derivation.SourceImageSequence,
        *result.SourceImageSequence,
    ]
    assert len(references) == 3
    for reference in references:
        assert reference.ReferencedSOPInstanceUID == UIDS["SOPInstanceUID"]
        assert reference.ReferencedSOPClassUID == original.SOPClassUID
    assert b"2.25.1\0" not in encode(Kind.SEG, profile, of=header(original)).data


@pytest.mark.parametrize("profile", [Profile.STRICT, Profile.AIR])
def test_strict_invents_no_geometry_and_hands_none_on(profile: Profile) -> None:
    result = read(encode(Kind.SEG, profile, of=header(full())))
    text = str(result)
    for word in ("Frame of Reference UID", "Pixel Spacing", "Image Position", "Image Orientation", "Slice Thickness"):
        assert word not in text
    assert result.PatientOrientation == ["L", "F"]


@pytest.mark.parametrize("profile", [Profile.OHIF, Profile.SLICER])
@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({"PixelSpacing": [0.2, 0.3]}, [0.2, 0.3]),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.15, 0.15]}, [0.15, 0.15]),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": None}, [1, 1]),
        ({"ImagerPixelSpacing": None}, [1, 1]),
    ],
)
def test_those_get_a_geometry_that_cannot_do_without(
    attributes: dict[str, object], spacing: list[float], profile: Profile
) -> None:
    result = read(encode(Kind.SEG, profile, of=header(source(**attributes))))
    shared = result.SharedFunctionalGroupsSequence[0]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == spacing
    assert shared.PixelMeasuresSequence[0].SliceThickness == 1
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    (frame,) = result.PerFrameFunctionalGroupsSequence
    assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == [0, 0, 0]
    # never the source's own: the place in it would be a lie
    assert result.FrameOfReferenceUID.startswith("2.25.")


def test_a_source_that_says_next_to_nothing_is_enough() -> None:
    for profile in PROFILES:
        result = read(encode(Kind.SEG, profile, of=header(bare())))
        assert result["PatientOrientation"].is_empty
        assert result.StudyInstanceUID == UIDS["StudyInstanceUID"]
        assert result.InstanceNumber == 1


def test_a_seg_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="kinds_for"):
        encode(Kind.SEG, findings=())
    with pytest.raises(ValueError, match="kinds_for"):
        encode(Kind.SEG, findings=(finding(0, 0, mask=np.zeros((3, 3))),))


@pytest.mark.parametrize("origin", [(-1, 0), (0, -1), (60, 0), (0, 45)])
def test_a_mask_outside_of_the_film_is_a_mistake_that_is_named(origin: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"finding 2 .* 64 x 48"):
        encode(Kind.SEG, findings=(finding(0, 0), finding(*origin)))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID"])
def test_no_result_without_an_image_to_belong_to(keyword: str) -> None:
    nameless = header(full())
    delattr(nameless, keyword)
    with pytest.raises(ValueError, match=keyword):
        encode(Kind.SEG, of=nameless)


def test_only_the_most_confident_above_the_threshold_are_shown() -> None:
    weak, middle, strong, equal = (finding(0, 0, confidence=c) for c in (0.2, 0.5, 0.9, 0.5))
    assert shown((weak, middle, strong, equal), 0.5, 10) == (strong, middle, equal)
    assert shown((weak, middle, strong, equal), 0.2, 2) == (strong, middle)
    assert shown((weak,), 0.21, 10) == ()


def test_the_source_is_lossy_so_is_what_was_made_of_it() -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 12,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    for kind in (Kind.SEG, Kind.SC):
        result = read(encode(kind, of=header(full(**lossy))))
        assert (result.LossyImageCompression, result.LossyImageCompressionRatio) == ("01", 12)
        assert result.LossyImageCompressionMethod == "ISO_10918_1"
        assert read(encode(kind)).LossyImageCompression == "00"


def test_the_builder_alone_calls_no_other_identity_than_the_headers() -> None:
    result = build_seg(
        Profile.OHIF,
        header=HEADER,
        film_pixels=film(),
        film_shape=film().shape,
        film_valid=None,
        film_window=None,
        findings=(finding(3, 3),),
        context=CONTEXT,
    )
    assert result.PatientID == "P-2002"
