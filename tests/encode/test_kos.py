"""The rejection note: what it names, whose it is, and what validators say of it."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_node.domain import EncodedResult, Kind, Profile, RejectionTitle
from dicom_node.encode.identity import header_of
from dicom_node.encode.kos import TITLES, build_rejection_note
from dicom_node.encode.marks import is_result
from dicom_node.encode.sr_context import Place
from tests.encode.sources import MAKERS, SCRIPTS, UIDS, bare, encode, full, header, read

LATER = datetime(2026, 4, 1, 8, tzinfo=UTC)


def place_of(result: EncodedResult) -> Place:
    return Place(
        study_instance_uid=UIDS["StudyInstanceUID"],
        series_instance_uid=result.series_instance_uid,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
    )


def other(number: int, sop_class_uid: str = "1.2.840.10008.5.1.4.1.1.88.33") -> Place:
    """A report or a presentation state, say."""
    return Place(
        study_instance_uid=UIDS["StudyInstanceUID"],
        series_instance_uid=f"2.25.9{number}",
        sop_class_uid=sop_class_uid,
        sop_instance_uid=f"2.25.8{number}",
    )


def note(
    *places: Place, of: Dataset | None = None, title: RejectionTitle = RejectionTitle.QUALITY, when: datetime = LATER
) -> EncodedResult:
    return build_rejection_note(
        title,
        Profile.STRICT,
        header=header(full()) if of is None else of,
        rejected=places,
        content_time=when,
        software_version="0.1.0",
    )


SEG, SC = place_of(encode(Kind.SEG)), place_of(encode(Kind.SC))
ALL = (SEG, SC, other(1), other(2, "1.2.840.10008.5.1.4.1.1.11.1"))


@pytest.mark.parametrize("title", RejectionTitle)
def test_it_says_why_and_names_every_object_twice(title: RejectionTitle) -> None:
    result = note(*ALL, title=title)
    written = read(result)
    assert (result.kind, written.SOPClassUID, written.Modality) == (Kind.KOS, KeyObjectSelectionDocumentStorage, "KO")
    (said,) = written.ConceptNameCodeSequence
    assert (said.CodeValue, said.CodingSchemeDesignator, said.CodeMeaning) == (title, "DCM", TITLES[title].meaning)
    (study,) = written.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == written.StudyInstanceUID == UIDS["StudyInstanceUID"]
    evidence = {
        Place(
            study_instance_uid=study.StudyInstanceUID,
            series_instance_uid=series.SeriesInstanceUID,
            sop_class_uid=instance.ReferencedSOPClassUID,
            sop_instance_uid=instance.ReferencedSOPInstanceUID,
        )
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert evidence == set(ALL)
    named = [
        item
        for item in written.ContentSequence
        if item.RelationshipType == "CONTAINS" and "ReferencedSOPSequence" in item
    ]
    assert {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID: item.ValueType for item in named} == {
        SEG.sop_instance_uid: "IMAGE",
        SC.sop_instance_uid: "IMAGE",
        "2.25.81": "COMPOSITE",
        "2.25.82": "COMPOSITE",
    }


def test_it_belongs_to_the_patient_whose_objects_it_withdraws_and_bears_our_marks() -> None:
    source = full(script="japanese")
    written = read(note(*ALL, of=header(source)))
    for keyword in (
        "PatientID",
        "IssuerOfPatientID",
        "PatientName",
        "AccessionNumber",
        "StudyDate",
        "SpecificCharacterSet",
    ):
        assert written[keyword].value == source[keyword].value
    assert is_result(written.Manufacturer, written.ManufacturerModelName)
    assert "RequestAttributesSequence" not in written


def test_the_header_of_a_result_serves_as_well_as_that_of_its_source() -> None:
    of_result = header_of(dcmread(BytesIO(encode(Kind.SC).data), stop_before_pixels=True))
    first, second = read(note(SC, of=header(full()))), read(note(SC, of=of_result))
    assert first.SOPInstanceUID == second.SOPInstanceUID
    for keyword in (
        "PatientID",
        "IssuerOfPatientID",
        "PatientName",
        "AccessionNumber",
        "StudyDate",
        "OtherPatientIDsSequence",
    ):
        assert first[keyword].value == second[keyword].value


def test_the_same_note_twice_is_one_note_and_any_other_is_another() -> None:
    first = note(*ALL)
    assert note(*reversed(ALL), SEG).data == first.data
    tomorrow = note(*ALL, when=datetime(2026, 4, 2, tzinfo=UTC))
    assert (tomorrow.sop_instance_uid, tomorrow.series_instance_uid) == (
        first.sop_instance_uid,
        first.series_instance_uid,
    )
    others = [
        note(SEG),
        note(*ALL, title=RejectionTitle.PATIENT_SAFETY),
        note(*ALL, of=header(full(PatientID="Q-1"))),
    ]
    assert len({first.sop_instance_uid, *(each.sop_instance_uid for each in others)}) == 4


def test_nothing_and_several_studies_are_refused() -> None:
    elsewhere = Place(
        study_instance_uid="1.2.3", series_instance_uid="1.2.4", sop_class_uid="1.2", sop_instance_uid="1.5"
    )
    for places in ((), (SEG, elsewhere)):
        with pytest.raises(ValueError, match="one study"):
            note(*places)


SOURCES = [
    *(full(maker) for maker in MAKERS),
    *(bare(maker) for maker in MAKERS),
    *(full(script=script) for script in SCRIPTS),
]


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed: apt-get install dicom3tools")
@pytest.mark.parametrize("source", SOURCES, ids=range(len(SOURCES)))
def test_dciodvfy_finds_no_error(source: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "note.dcm"
    path.write_bytes(note(*ALL, of=header(source)).data)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False, errors="replace")
    lines = said.stderr.splitlines()
    assert "KeyObjectSelectionDocument" in lines, said.stderr
    assert [line for line in lines if line.startswith("Error")] == []


#: what dsrdump says of itself, not of what it reads
LIMITS = re.compile(
    r"W: (The VR checker does not support this Specific Character Set: .*"
    r"|Reading unknown/unsupported SpecificCharacterSet .*|Check for template constraints not yet supported)"
)


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dsrdump is not installed: apt-get install dcmtk")
@pytest.mark.parametrize("source", SOURCES, ids=range(len(SOURCES)))
def test_dsrdump_reads_it_without_a_word(source: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "note.dcm"
    path.write_bytes(note(*ALL, of=header(source)).data)
    said = subprocess.run(["dsrdump", "+Pu", str(path)], capture_output=True, text=True, check=False, errors="replace")
    remarks = [line for line in said.stderr.splitlines() if not LIMITS.fullmatch(line)]
    assert (said.returncode, remarks) == (0, [])
    assert "Rejected for Quality Reasons" in said.stdout
    for place in ALL:
        assert place.sop_instance_uid in said.stdout
