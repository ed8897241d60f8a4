"""The SR says what was found, with which certainty, by which model, and of which image it is; and 'nothing' too."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.builders import BUILDERS
from dicom_node.encode.marks import is_result
from dicom_node.encode.sr_context import Fate
from dicom_node.encode.tracking import tracking
from tests.encode.reports import (
    FINDINGS,
    PREDECESSOR,
    REPORT,
    evidence,
    groups,
    items,
    one,
    reading,
    report,
    reported,
    study,
    summaries,
    texts,
    unread,
)
from tests.encode.sources import SCRIPTS, UIDS, encode, finding, full, read
from tests.encode.test_contour import filled


def test_a_finding_is_a_region_with_its_certainty_and_its_area() -> None:
    first, second = groups(read(report(reported())))
    assert first.roi.value.tolist() == [[10, 20], [17, 20], [17, 29], [10, 29], [10, 20]]
    assert second.roi.value.tolist() == [[30, 50], [31, 50], [31, 51], [30, 51], [30, 50]]
    measured = {(m.name.value, m.name.scheme_designator): (m.value, m.unit.value) for m in first.get_measurements()}
    assert measured == {("111012", "DCM"): (81.23456, "%"), ("42798000", "SCT"): (12.3456789, "mm2")}
    assert [m.name.value for m in second.get_measurements()] == ["111012"], "no spacing, no area"
    assert first.finding_type == codes.SCT.Lesion
    assert [site.topographical_modifier or site.value for site in first.finding_sites] == [codes.SCT.Chest]


def test_a_finding_is_followed_by_what_follows_its_segment() -> None:
    uids = [group.tracking_uid for group in groups(read(report(reported())))]
    seg = read(encode(Kind.SEG, Profile.SLICER, findings=FINDINGS, context=reading()))
    assert uids == [segment.TrackingUID for segment in seg.SegmentSequence]
    named = tracking(2, input_digest=f"{1:064x}", model_digest="a1" * 32, parameters="b2" * 32)
    assert (uids[1], groups(read(report(reported())))[1].tracking_identifier) == (named.uid, named.identifier)


def test_the_algorithm_is_named_in_full() -> None:
    result = read(one(FINDINGS[0]))
    assert texts(result, "Algorithm Name") == ["probe"]
    assert texts(result, "Algorithm Version") == [f"1.2.3 sha256:{'a1' * 8}"]
    parameters = texts(result, "Algorithm Parameters")
    assert f"model_sha256={'a1' * 32}" in parameters
    assert f"parameters_sha256={'b2' * 32}" in parameters
    assert "threshold=25 %" in parameters
    assert any(text.startswith("Certainty of Finding: calibrated") for text in parameters)
    (family,) = items(result, "Algorithm Family")
    assert family.ConceptCodeSequence[0].CodeValue == "123110"


@pytest.mark.parametrize(("spacing", "said"), [([0.143, 0.143], False), (None, True), ([0, 0], True)])
def test_an_area_measured_at_the_detector_says_so(spacing: list[float] | None, said: bool) -> None:
    dataset = full()
    if spacing is None:
        del dataset.PixelSpacing
    else:
        dataset.PixelSpacing = spacing
    parameters = texts(read(one(FINDINGS[0], of=dataset)), "Algorithm Parameters")
    assert any("magnification" in text for text in parameters) is said


def test_the_device_is_the_observer() -> None:
    result = read(report())
    assert items(result, "Observer Type")[0].ConceptCodeSequence[0].CodeMeaning == "Device"
    assert texts(result, "Device Observer Name") == ["chexnode 0.1.0"]
    assert texts(result, "Device Observer Serial Number") == ["a1" * 32]
    (language,) = items(result, "Language of Content Item and Descendants")
    assert language.ConceptCodeSequence[0].CodeValue == "en-US"


def test_the_document_says_how_far_it_goes() -> None:
    result = read(report())
    assert (result.SOPClassUID, result.Modality) == (ComprehensiveSRStorage, "SR")
    assert (result.CompletionFlag, result.CompletionFlagDescription) == ("PARTIAL", "without 2 of 5 images")
    assert (result.VerificationFlag, result.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert result.ContentQualification == "RESEARCH"
    assert result.SeriesDescription == "AI RESEARCH chexnode report"
    assert (result.SeriesNumber, result.InstanceNumber) == (9903, 1)
    assert is_result(result.Manufacturer, result.ManufacturerModelName)
    assert [str(part) for part in result.SoftwareVersions] == ["chexnode 0.1.0", "probe 1.2.3"]
    purposes = [e.PurposeOfReferenceCodeSequence[0].CodeMeaning for e in result.ContributingEquipmentSequence]
    assert purposes == ["Acquisition Equipment", "Processing Equipment"]
    assert texts(result)[0].startswith("RESEARCH USE ONLY")


def test_ihe_ai_results_gets_the_same_content_as_a_3d_sr() -> None:
    ours, air = (read(report(reported(), profile=profile)) for profile in (Profile.OHIF, Profile.AIR))
    assert air.SOPClassUID == Comprehensive3DSRStorage
    assert air.ContentSequence == ours.ContentSequence


def test_every_image_has_its_say() -> None:
    result = read(report())
    assert summaries(result) == [
        "Not all algorithms succeeded; with findings",
        "All algorithms succeeded; with findings",
        "All algorithms succeeded; without findings",
    ]
    assert texts(result)[1:] == [
        "2 abnormal regions marked, at a certainty of 25 % or more",
        "No finding: no region with a certainty of 25 % or more",
        "Not read: lateral view",
        "Could not be read: no pixels",
        f"Missing from this report: its analysis had not ended (image {UIDS['SOPInstanceUID']}.5)",
    ]
    images = [each.sop_instance_uid for each in study()]
    assert evidence(result) == set(images[:4]), "of the fifth nobody knows in which series it lies"
    referred = [
        below.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for said in (*items(result, "CAD Processing and Findings Summary"), *items(result, "Comment"))
        for below in said.get("ContentSequence", ())
        if below.ValueType == "IMAGE"
    ]
    assert referred == images[:4]


@pytest.mark.parametrize(
    ("fates", "findings", "said"),
    [
        ((Fate.ANALYSED, Fate.DECLINED), True, "All algorithms succeeded; with findings"),
        ((Fate.ANALYSED, Fate.DECLINED), False, "All algorithms succeeded; without findings"),
        ((Fate.ANALYSED, Fate.FAILED), True, "Not all algorithms succeeded; with findings"),
        ((Fate.ANALYSED, Fate.PENDING), False, "Not all algorithms succeeded; without findings"),
        ((Fate.DECLINED, Fate.DECLINED), False, "No algorithms succeeded; without findings"),
    ],
)
def test_the_study_is_summed_up(fates: tuple[Fate, ...], findings: bool, said: str) -> None:
    images = [
        reported(number, findings=FINDINGS if findings else ())
        if fate is Fate.ANALYSED
        else unread(number, fate, "because")
        for number, fate in enumerate(fates, start=1)
    ]
    assert summaries(read(report(*images)))[0] == said


def test_what_is_above_the_threshold_and_not_marked_is_counted() -> None:
    image = reported(reading=replace(reading(), not_shown=3))
    assert "2 abnormal regions marked, at a certainty of 25 % or more; 3 less certain not marked" in texts(
        read(report(image))
    )


def test_an_image_that_is_analysed_again_keeps_its_findings_meanwhile() -> None:
    result = read(report(reported(fate=Fate.PENDING, because="it is being analysed again")))
    assert len(groups(result)) == 2
    assert result.CompletionFlag == "PARTIAL"
    assert "Missing from this report: it is being analysed again" not in texts(result)
    assert "To be replaced: it is being analysed again" in texts(result)


def test_the_library_holds_what_a_model_looked_at() -> None:
    (library,) = items(read(report()), "Image Library Group")
    held = [entry.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for entry in library.ContentSequence]
    assert held == [each.sop_instance_uid for each in study()[:2]]
    assert [c.ConceptCodeSequence[0].CodeValue for c in items(library, "Modality")] == ["DX", "DX"]


def test_what_it_replaces_is_named() -> None:
    assert "PredecessorDocumentsSequence" not in read(report())
    result = read(report(context=replace(REPORT, revision=2, predecessors=(PREDECESSOR,))))
    (named,) = result.PredecessorDocumentsSequence
    assert named.StudyInstanceUID == UIDS["StudyInstanceUID"]
    (series,) = named.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "2.25.5"
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.6"
    assert result.InstanceNumber == 2


def test_a_study_kind_has_no_builder_of_one_image() -> None:
    assert Kind.SR not in BUILDERS


MASKS = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)).filter(np.any)


@settings(max_examples=25, deadline=None)
@given(
    masks=st.lists(MASKS, max_size=6),
    confidence=st.floats(0.01, 1),
    area=st.none() | st.floats(1e-3, 2e5),
    script=st.sampled_from(sorted(SCRIPTS)),
    maker=st.sampled_from(["CR", "DX", "SC"]),
)
def test_any_number_of_any_findings(
    masks: list[NDArray[np.bool_]], confidence: float, area: float | None, script: str, maker: str
) -> None:
    found = [
        Finding(box=(1, 2, 3, 4), confidence=confidence, mask_origin=(number, 2 * number), mask=mask, area_mm2=area)
        for number, mask in enumerate(masks)
    ]
    dataset = full(maker, script)
    encoded = one(*found, of=dataset)
    assert one(*found, of=dataset).data == encoded.data
    result = read(encoded)
    assert result.PatientName == dataset.PatientName
    read_back = groups(result)
    assert len(read_back) == len(found)
    for finding_, group in zip(found, read_back, strict=True):
        (row, column), (rows, columns) = finding_.mask_origin, finding_.mask.shape
        inside = filled(group.roi.value.astype(np.int64), (row + rows, column + columns))
        assert (inside[row:, column:] == finding_.mask).all()
        values = {m.name.value: m.value for m in group.get_measurements()}
        assert values["111012"] == pytest.approx(confidence * 100, rel=1e-9)
        assert values.get("42798000") == (None if area is None else pytest.approx(area, rel=1e-9))


def test_a_whole_film_and_a_pixel_of_it() -> None:
    result = read(one(finding(0, 0, 4300, 3500), finding(4299, 3499, 1, 1)))
    assert [group.roi.value.max(0).tolist() for group in groups(result)] == [[3500, 4300]] * 2
