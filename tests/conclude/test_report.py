"""A study's report: one a revision, for whom it is wanted, and never of anything but what stands."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from dicom_node.analyse.examine import Examiner
from dicom_node.conclude.report import Reporter
from dicom_node.domain import Kind, Profile, StudyState
from dicom_node.errors import OutOfRoom
from dicom_node.ledger.schema import finding
from dicom_node.peer import PeerSection
from dicom_node.spool import Part, Spool
from tests.analyse.conftest import with_lesion
from tests.conclude.reporting import Desk, clean, lateral, lesion, settings_for
from tests.encode.reports import evidence, items, summaries, texts


def test_says_what_became_of_every_image(desk: Desk) -> None:
    found, nothing, side = lesion(), clean(), lateral()
    study_id = desk.read(found, nothing, side)
    assert desk.conclude() == 1
    (row,) = desk.standing(study_id)
    report = desk.object(row)
    assert (row.kind, row.profile, row.job_id, row.predecessor) == (Kind.SR, Profile.OHIF, None, None)
    assert (report.CompletionFlag, report.VerificationFlag, report.InstanceNumber) == ("COMPLETE", "UNVERIFIED", 1)
    assert summaries(report) == [
        "All algorithms succeeded; with findings",
        "All algorithms succeeded; with findings",
        "All algorithms succeeded; without findings",
    ]
    (not_read,) = [text for text in texts(report) if text.startswith("Not read")]
    assert not_read.startswith("Not read: lateral view")
    assert any(text.startswith("No finding: ") for text in texts(report))
    assert evidence(report) == {found.SOPInstanceUID, nothing.SOPInstanceUID, side.SOPInstanceUID}
    assert (report.PatientID, report.AccessionNumber) == (found.PatientID, found.AccessionNumber)


def test_reaches_whoever_wants_it_and_nobody_else(desk: Desk) -> None:
    study_id = desk.read(lesion())
    desk.conclude()
    (row,) = desk.standing(study_id)
    assert [one.destination for one in desk.deliveries(study_id, row)] == ["viewer"]
    kinds = {(one.destination, one.kind) for one in desk.study(study_id).deliveries}
    assert kinds == {
        ("viewer", Kind.SEG), ("viewer", Kind.SC), ("viewer", Kind.SR), ("archive", Kind.SEG), ("archive", Kind.SC),
    }  # fmt: skip


def test_each_profile_has_an_object_of_its_own(tmp_path: Path, examiner: Examiner[int]) -> None:
    settings = settings_for(tmp_path, a="ohif", b="slicer", c="air", d="classic-pacs", e="strict", f="sc-only")
    desk = Desk(settings, examiner)
    study_id = desk.read(lesion())
    desk.conclude()
    rows = desk.standing(study_id)
    assert [row.profile for row in rows] == [
        Profile.AIR, Profile.OHIF, Profile.SLICER, Profile.CLASSIC_PACS
    ]  # fmt: skip
    assert len({row.sop_instance_uid for row in rows}) == len({row.series_instance_uid for row in rows}) == 4
    for row in rows:
        (one,) = desk.deliveries(study_id, row)
        assert one.destination == {"ohif": "a", "slicer": "b", "air": "c", "classic-pacs": "d"}[row.profile]
    desk.close()


def test_a_finding_has_the_tracking_uid_of_its_segment(tmp_path: Path, examiner: Examiner[int]) -> None:
    desk = Desk(settings_for(tmp_path, viewer="slicer"), examiner)
    study_id = desk.read(lesion())
    desk.conclude()
    (seg,) = desk.results(study_id, Kind.SEG)
    (row,) = desk.standing(study_id)
    segments = desk.object(seg).SegmentSequence
    report = desk.object(row)
    assert [segment.TrackingUID for segment in segments] == [
        item.UID for item in items(report, "Tracking Unique Identifier")
    ]
    assert [segment.TrackingID for segment in segments] == texts(report, "Tracking Identifier")
    desk.close()


def test_an_image_that_cannot_be_read_is_said_to_be(desk: Desk) -> None:
    broken = clean(PixelData=None)
    report = desk.report(lesion(), broken)
    assert report.CompletionFlag == "PARTIAL"
    assert any(text.startswith("Could not be read: no pixels") for text in texts(report))
    assert broken.SOPInstanceUID in evidence(report)


def test_nothing_is_written_of_a_study_that_was_not_ours_to_read(desk: Desk) -> None:
    study_id = desk.read(lateral(), clean(BodyPartExamined="HIP"))
    assert desk.conclude() == 1
    assert desk.all_reports() == []
    assert desk.study(study_id).deliveries == ()


def test_what_is_no_radiograph_is_counted(desk: Desk) -> None:
    image = lesion()
    report = desk.report(image, *(clean(Modality="CT") for _ in range(3)))
    assert evidence(report) == {image.SOPInstanceUID}
    assert report.CompletionFlag == "COMPLETE"
    assert "Objects of the study that are no radiographs: 3" in texts(report)
    assert not [text for text in texts(report) if text.startswith("Not read")]


def test_a_clean_study_is_reported_as_deliberately_as_any(desk: Desk) -> None:
    report = desk.report(clean())
    assert summaries(report) == ["All algorithms succeeded; without findings"] * 2
    assert items(report, "Measurement Group") == []


def test_an_image_of_another_patient_is_left_out_and_said_to_be(desk: Desk) -> None:
    stranger, ours = lesion(PatientID="P-OTHER"), lesion()
    report = desk.report(stranger, ours)
    assert evidence(report) == {ours.SOPInstanceUID}
    assert report.PatientID == ours.PatientID
    assert report.CompletionFlag == "PARTIAL"
    assert f"Not reported: image {stranger.SOPInstanceUID}, whose header names another patient" in texts(report)
    assert len(items(report, "Measurement Group")) == 1
    assert "P-OTHER" not in str(report)


class FullSpool(Spool):
    """A spool on a disk that is full for whoever writes."""

    def new(self, *, expected: int | None = None) -> Part:
        raise OutOfRoom("no room: make room")


def test_a_report_that_there_is_no_room_for_holds_no_other_study_up(tmp_path: Path, examiner: Examiner[int]) -> None:
    settings = settings_for(tmp_path, viewer="ohif")
    archive = PeerSection(name="archive", ae_title="ARCHIVE", host="127.0.0.1", mode="send")
    other = PeerSection(name="other", ae_title="OTHER", sends=True, allow_from=("127.0.0.1",), results_to=("archive",))
    desk = Desk(settings.model_copy(update={"peers": (*settings.peers, archive, other)}), examiner)
    waits = desk.read(lesion())
    plain = desk.node.arrive(with_lesion(), now=desk.now, calling="OTHER").study_id
    desk.bench.work()
    desk.reporter = Reporter(desk.ledger, FullSpool(settings.node.folder / "spool"), settings.results)
    with pytest.raises(OutOfRoom):
        desk.conclude()
    assert desk.study(waits).study.state is StudyState.COMPLETE
    assert desk.study(plain).study.state is StudyState.CONCLUDED
    desk.reporter = Reporter(desk.ledger, desk.spool, settings.results)
    assert desk.conclude() == 1
    assert len(desk.standing(waits)) == 1
    desk.close()


def test_a_report_that_breaks_keeps_no_image_s_results_back(desk: Desk) -> None:
    study_id = desk.read(lesion())
    with desk.ledger.transaction() as tx:
        tx.execute(update(finding).values(mask=b"no zlib"))
    assert desk.conclude() == 1
    assert desk.standing(study_id) == []
    assert {one.kind for one in desk.study(study_id).deliveries} == {Kind.SEG, Kind.SC}


@pytest.mark.parametrize(
    ("loaded", "without"),
    [
        ("dicom_node.conclude.role", {"torch", "highdicom", "pydicom"}),
        ("dicom_node.conclude.writing", {"torch", "highdicom"}),
    ],
)
def test_the_conclude_role_stays_small(loaded: str, without: set[str]) -> None:
    program = f"import sys, {loaded}; print({sorted(without)} & sys.modules.keys())".replace("[", "{").replace("]", "}")
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
