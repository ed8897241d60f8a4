"""Which images are read: real files, and headers as real ones are: incomplete, contradictory, in several languages."""

from datetime import date
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForProcessing,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    generate_uid,
)

from dicom_node.analyse.age import age_in_years
from dicom_node.analyse.select import Verdict, select
from dicom_node.domain import Reason
from dicom_node.sections import SelectSection
from tests import datasets

# the headers break their VRs, as real ones do; the child that reads them is told not to mind
pytestmark = pytest.mark.filterwarnings("ignore:.*VR.*:UserWarning")

ARRIVED = date(2025, 3, 6)


def judged(header: Dataset, *, calling_ae_title: str = "PACS", **rules: object) -> Verdict:
    return select(header, SelectSection.model_validate(rules), calling_ae_title=calling_ae_title, arrived=ARRIVED)


def chest(**attributes: object) -> Dataset:
    """A chest that says of its view and its part only what `attributes` say."""
    silent = dict.fromkeys(("BodyPartExamined", "ViewPosition", "PatientOrientation", "SeriesDescription"))
    return datasets.chest(**({"StudyDescription": "X-ray"} | silent | attributes))


def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("siim_cr_pa_jpegbaseline", None),
        ("siim_cr_fake_mono1", None),
        ("nih_dx_implicitle_8bit", None),
        ("rg1_chest_mono1_jpegls_near", None),
        ("cr_chest_mono1_10bit_440", None),
        ("cr_chest_headless_nopreamble", None),
        ("bad_cr_chest_nopixel_japanese", None),
        ("neg_cr_hip_jpegls", Reason.NOT_A_CHEST),
        ("neg_cr_leg_mono1_rle", Reason.NOT_A_CHEST),
        ("neg_mg_voilut", Reason.NOT_A_CHEST),
        ("neg_rf_ercp", Reason.NOT_A_RADIOGRAPH),
        ("neg_xa_96frames_jpeg", Reason.NOT_A_RADIOGRAPH),
    ],
)
def test_real_files(data: Path, name: str, reason: Reason | None):
    header = pydicom.dcmread(data / "dicom" / f"{name}.dcm", stop_before_pixels=True, force=True)
    assert judged(header).reason is reason


def test_a_complete_header_needs_no_remark():
    assert judged(datasets.chest()) == Verdict(reason=None, detail="")


def test_a_silent_header_is_read_and_what_it_lacks_is_written_down():
    verdict = judged(chest(PatientAge=None, PatientBirthDate=""))
    assert verdict.reason is None
    assert verdict.detail == "no body part is named; no view is named; the age is unknown"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("unknown_body_part", Reason.NOT_A_CHEST),
        ("unknown_view", Reason.LATERAL_VIEW),
        ("unknown_age", Reason.AGE_UNKNOWN),
    ],
)
def test_a_site_may_decline_what_a_header_does_not_say(rule: str, reason: Reason):
    assert judged(chest(PatientAge=None, PatientBirthDate=""), **{rule: "decline"}).reason is reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (datasets.chest(SOPClassUID=CTImageStorage, Modality="CT"), Reason.NOT_A_RADIOGRAPH),
        (datasets.chest(SOPClassUID="1.2.3"), Reason.NOT_A_RADIOGRAPH),
        (datasets.secondary_capture(Modality="OT"), Reason.NOT_A_RADIOGRAPH),
        (datasets.secondary_capture(Modality=None), Reason.NOT_A_RADIOGRAPH),
        (datasets.secondary_capture(Modality="CR"), None),
        (datasets.computed_radiography(Modality=None), None),
        (datasets.computed_radiography(), None),
        (datasets.secondary_capture(Modality="MG"), Reason.NOT_A_CHEST),
        (datasets.chest(PresentationIntentType="FOR PROCESSING"), Reason.FOR_PROCESSING),
        (
            datasets.chest(SOPClassUID=DigitalXRayImageStorageForProcessing, PresentationIntentType=None),
            Reason.FOR_PROCESSING,
        ),
        (
            datasets.chest(SOPClassUID=MultiFrameGrayscaleWordSecondaryCaptureImageStorage, NumberOfFrames=2),
            Reason.MULTI_FRAME,
        ),
        (
            datasets.chest(SOPClassUID=MultiFrameGrayscaleWordSecondaryCaptureImageStorage, NumberOfFrames=1),
            None,
        ),
        (datasets.secondary_capture(SamplesPerPixel=3, PhotometricInterpretation="RGB"), Reason.NOT_GREYSCALE),
        (datasets.secondary_capture(PhotometricInterpretation="PALETTE COLOR"), Reason.NOT_GREYSCALE),
    ],
)
def test_class_and_form(header: Dataset, reason: Reason | None):
    assert judged(header).reason is reason


@pytest.mark.parametrize(
    ("attributes", "reads"),
    [
        ({"BodyPartExamined": "CHEST"}, True),
        ({"BodyPartExamined": "Chest_PA"}, True),
        ({"BodyPartExamined": "RIBS AND CHEST"}, True),
        ({"BodyPartExamined": "RIB"}, False),
        ({"BodyPartExamined": "ABDOMEN"}, False),
        ({"BodyPartExamined": "THORAX SPINE"}, False),
        ({"BodyPartExamined": "UNKNOWN", "ProtocolName": "Knee AP"}, False),
        ({"BodyPartExamined": "ABDOMEN", "SeriesDescription": "Chest"}, False),
        ({"AnatomicRegionSequence": code("51185008", "SCT", "Thoracic structure")}, True),
        ({"AnatomicRegionSequence": code("T-D3000", "SRT", "Chest")}, True),
        ({"AnatomicRegionSequence": code("29836001", "SCT", "Hip")}, False),
        ({"SeriesDescription": "Röntgen Thorax p.a."}, True),
        ({"SeriesDescription": "Tórax PA"}, True),
        ({"ProtocolName": "LWS seitl"}, False),
        ({"ProtocolName": "Thoracic spine AP"}, False),
        ({"AcquisitionDeviceProcessingDescription": "[LOWER LEG         ]"}, False),
        ({"AcquisitionDeviceProcessingDescription": "[CHEST,GENERAL     ]"}, True),
        ({"SeriesDescription": "Abdomen", "StudyDescription": "Chest and abdomen"}, False),
        ({"StudyDescription": "Chest and abdomen"}, True),
        ({"StudyDescription": "No Finding"}, True),
    ],
)
def test_body_parts(attributes: dict[str, object], reads: bool):
    assert judged(chest(**attributes)).reason is (None if reads else Reason.NOT_A_CHEST)


@pytest.mark.parametrize(
    ("attributes", "reads"),
    [
        *(({"ViewPosition": position}, True) for position in ("AP", "PA", "LLD", "RLD", "pa", "AP AXIAL")),
        *(
            ({"ViewPosition": position}, False)
            for position in ("LL", "RL", "LAT", "LATERAL", "L LAT", "RLO", "LLO", "LAO")
        ),
        ({"ViewPosition": "LATERAL DECUBITUS"}, True),
        ({"ViewPosition": "PA", "SeriesDescription": "Lateral"}, True),
        ({"ViewCodeSequence": code("399173006", "SCT", "left lateral")}, False),
        ({"ViewCodeSequence": code("R-10214", "SRT", "postero-anterior")}, True),
        ({"ViewCodeSequence": code("1", "99SITE", "lateral")}, False),
        ({"ViewCodeSequence": code("399182000", "SCT", "oblique")}, False),
        ({"PatientOrientation": ["A", "F"]}, False),
        ({"PatientOrientation": ["P", "FL"]}, False),
        ({"PatientOrientation": ["L", "F"]}, True),
        ({"PatientOrientation": ["F", "R"]}, True),
        ({"PatientOrientation": ["A", "F"], "SeriesDescription": "PA"}, False),
        ({"SeriesDescription": "CHEST LAT"}, False),
        ({"SeriesDescription": "CHEST_LAT.1"}, False),
        ({"SeriesDescription": "Thorax seitlich"}, False),
        ({"SeriesDescription": "Chest, left lateral decubitus"}, True),
        ({"SeriesDescription": "Chest L LAT DECUB"}, True),
        ({"SeriesDescription": "Chest bilateral"}, True),
        ({"SeriesDescription": "Chest flat plate"}, True),
        ({"SeriesDescription": "Chest PA and LAT"}, True),
        ({"SeriesDescription": "Chest", "ProtocolName": "LL"}, False),
        ({"AcquisitionDeviceProcessingDescription": "CHEST,LAT"}, False),
        ({"StudyDescription": "Chest PA and lateral"}, True),
        ({"StudyDescription": "Chest lateral"}, True),
    ],
)
def test_views(attributes: dict[str, object], reads: bool):
    verdict = judged(chest(**attributes))
    assert verdict.reason is (None if reads else Reason.LATERAL_VIEW), verdict.detail


@pytest.mark.parametrize(
    ("attributes", "reads"),
    [
        ({"SeriesDescription": "Chest PA bone suppressed"}, False),
        ({"SeriesDescription": "ClearRead Bone Suppression"}, False),
        ({"SeriesDescription": "PA Soft Tissue"}, False),
        ({"SeriesDescription": "Dual Energy"}, False),
        ({"SeriesDescription": "Chest PA dual energy standard"}, True),
        ({"ProtocolName": "Chest dual energy"}, True),
        ({"SeriesDescription": "PA Enhanced"}, False),
        ({"SeriesDescription": "Edge enhancement"}, False),
        ({"SeriesDescription": "PA inverted"}, False),
        ({"SeriesDescription": "Chest PICC line enhanced"}, False),
        ({"SeriesDescription": "Chest for line placement"}, True),
        ({"DerivationDescription": "bone-suppressed by software"}, False),
        ({"DerivationDescription": "Bone suppression of the original image"}, False),
        ({"SeriesDescription": "Chest PA without bone suppression"}, True),
        ({"SeriesDescription": "Chest PA not enhanced"}, True),
        ({"DerivationDescription": "JPEG-LS near-lossless 2:1"}, True),
        ({"ImageType": ["DERIVED", "PRIMARY", "BONE_SUPPRESSED"]}, False),
        ({"ImageType": ["DERIVED", "PRIMARY", "", "SOFT TISSUE"]}, False),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, True),
        ({"ImageType": "ORIGINAL PRIMARY"}, True),
        ({"AcquisitionDeviceProcessingDescription": "EDGE ENHANCEMENT 3"}, True),
    ],
)
def test_renditions_of_one_exposure(attributes: dict[str, object], reads: bool):
    verdict = judged(chest(**attributes))
    assert verdict.reason is (None if reads else Reason.COMPANION_IMAGE), verdict.detail


@pytest.mark.parametrize(
    ("attributes", "years"),
    [
        ({"PatientAge": "064Y"}, 64),
        ({"PatientAge": "62"}, 62),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "520W"}, 9.966),
        ({"PatientAge": "010D"}, 0.0274),
        ({"PatientAge": "000D"}, 0),
        ({"PatientAge": "000Y", "PatientBirthDate": "19600501"}, 64),
        ({"PatientAge": "000Y", "PatientBirthDate": "20250101"}, 0),
        ({"PatientAge": "000Y", "PatientBirthDate": "00000000"}, None),
        ({"PatientAge": "999Y", "PatientBirthDate": ""}, None),
        ({"PatientAge": "unknown", "PatientBirthDate": "20100304"}, 15),
        ({"PatientAge": "", "PatientBirthDate": "20100305"}, 14),
        ({"PatientAge": None, "PatientBirthDate": "2010.03.04"}, 15),
        ({"PatientAge": None, "PatientBirthDate": "18000101"}, None),
        ({"PatientAge": None, "PatientBirthDate": "20300101"}, None),
        ({"PatientAge": None, "PatientBirthDate": "19991332"}, None),
        ({"PatientAge": None, "PatientBirthDate": None}, None),
    ],
)
def test_ages(attributes: dict[str, object], years: float | None):
    age = age_in_years(datasets.chest(**attributes), arrived=ARRIVED)
    assert age == (None if years is None else pytest.approx(years, abs=0.001))


def test_children_are_not_read_unless_a_site_says_so():
    assert judged(datasets.chest(PatientAge="017Y")).reason is Reason.UNDER_AGE
    assert judged(datasets.chest(PatientAge="018Y")).reason is None
    assert judged(datasets.chest(PatientAge="017Y"), min_age=16).reason is None
    assert judged(datasets.chest(PatientAge="003D"), min_age=0).reason is None


@pytest.mark.parametrize(
    ("day", "limit", "reason"),
    [
        ("20250304", 7, None),
        ("20250227", 7, None),
        ("20250226", 7, Reason.STUDY_TOO_OLD),
        ("20200101", 0, None),
        ("20250401", 7, None),
        ("", 7, None),
    ],
)
def test_priors_that_an_archive_routes_along(day: str, limit: int, reason: Reason | None):
    header = datasets.chest(StudyDate=day, SeriesDate="", AcquisitionDate="", ContentDate="")
    assert judged(header, max_study_age=limit).reason is reason


def test_rules_of_a_site():
    header = datasets.chest(ProtocolName="Portable chest")
    assert judged(header, exclude_calling_ae_titles=["OTHER"]).reason is None
    assert judged(header, exclude_calling_ae_titles=["PACS"]).reason is Reason.EXCLUDED_BY_RULE
    assert judged(header, exclude_descriptions=[r"\bportable\b"]).reason is Reason.EXCLUDED_BY_RULE
    assert judged(header, exclude_descriptions=["^portable$"]).reason is None
    assert judged(header, modalities=["CR"]).reason is Reason.NOT_A_RADIOGRAPH
    assert judged(header, sop_classes=[generate_uid()]).reason is Reason.NOT_A_RADIOGRAPH
    assert judged(datasets.chest(BodyPartExamined="PECHO"), body_parts=["PECHO"]).reason is None


def test_a_detail_repeats_no_free_text():
    for keyword in ("BodyPartExamined", "ViewPosition", "Modality", "PhotometricInterpretation"):
        verdict = judged(datasets.chest(**{keyword: "lateral Meier^Hans 1950"}))
        assert verdict.reason is not None, keyword
        assert "Meier" not in verdict.detail.title(), keyword
