"""A study's report: one a revision, for whom it is wanted, and never of anything but what stands."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import update

from dicom_node.analyse.examine import Examiner
from dicom_node.conclude.later import report_later
from dicom_node.conclude.report import Draft, Reporter
from dicom_node.domain import Kind, Profile, RejectionTitle, StudyState
from dicom_node.ledger import deliveries, headers, purge, rejections
from dicom_node.ledger.rows import StudyRow
from dicom_node.ledger.schema import finding
from tests import datasets
from tests.analyse.conftest import examiner as examiner  # a fixture
from tests.analyse.conftest import with_lesion
from tests.conclude.reporting import PATIENCE, Desk, evidence, items, settings_for, summaries, texts

STUDY = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}


@pytest.fixture
def desk(tmp_path: Path, examiner: Examiner[int]) -> Iterator[Desk]:
    desk = Desk(settings_for(tmp_path / "node", viewer="ohif", archive="strict"), examiner)
    yield desk
    desk.close()


def lesion(**attributes: object) -> Dataset:
    return with_lesion(**{**STUDY, **attributes})


def clean(**attributes: object) -> Dataset:
    return datasets.chest(100, 90, **{**STUDY, **attributes})


def lateral(**attributes: object) -> Dataset:
    return clean(ViewPosition="LL", **attributes)


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


def test_a_late_image_gives_a_new_report_in_the_old_one_s_place(desk: Desk) -> None:
    first = lesion()
    study_id = desk.read(first)
    desk.conclude()
    (old,) = desk.standing(study_id)
    late = clean()
    desk.read(late)
    assert desk.conclude() == 1
    (new,) = desk.standing(study_id)
    report = desk.object(new)
    assert new.predecessor == old.sop_instance_uid
    assert new.series_instance_uid == old.series_instance_uid, "viewers open the newest one of a series"
    (place,) = report.PredecessorDocumentsSequence
    (series,) = place.ReferencedSeriesSequence
    assert place.StudyInstanceUID == first.StudyInstanceUID
    assert series.SeriesInstanceUID == old.series_instance_uid
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.sop_instance_uid
    assert report.InstanceNumber == 2
    assert evidence(report) == {first.SOPInstanceUID, late.SOPInstanceUID}
    assert [one.state.value for one in desk.deliveries(study_id, old)] == ["abandoned"]
    assert [one.state.value for one in desk.deliveries(study_id, new)] == ["pending"]


def test_what_is_missing_is_named_and_comes_in_the_next_revision(desk: Desk) -> None:
    study_id = desk.read(lesion())
    missing = clean()
    desk.arrive(missing)
    desk.conclude()
    assert desk.standing(study_id) == [], "it waits for the image"
    desk.conclude(wait=PATIENCE)
    (partial,) = desk.standing(study_id)
    report = desk.object(partial)
    assert report.CompletionFlag == "PARTIAL"
    assert report.CompletionFlagDescription == "without 1 of 2 images"
    assert summaries(report)[0] == "Not all algorithms succeeded; with findings"
    (lacks,) = [text for text in texts(report) if text.startswith("Missing from this report")]
    assert missing.SOPInstanceUID in lacks
    desk.bench.now = desk.now
    desk.bench.work()
    desk.conclude()
    (whole,) = desk.standing(study_id)
    assert desk.object(whole).CompletionFlag == "COMPLETE"
    assert whole.predecessor == partial.sop_instance_uid


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


def test_a_rejected_image_is_named_and_no_evidence(desk: Desk) -> None:
    bad, good = lesion(), clean()
    study_id = desk.read(bad, good)
    desk.conclude()
    (old,) = desk.standing(study_id)
    with desk.ledger.transaction() as tx:
        rejections.enter(
            tx,
            [bad.SOPInstanceUID],
            title=RejectionTitle.QUALITY,
            note="1.2.3",
            study_id=study_id,
            now=desk.now,
        )
    assert desk.conclude() == 1
    (new,) = desk.standing(study_id)
    report = desk.object(new)
    assert new.sop_instance_uid != old.sop_instance_uid
    assert evidence(report) == {good.SOPInstanceUID}
    assert items(report, "Measurement Group") == []
    assert [text for text in texts(report) if text.startswith("Not read: rejected")]


def test_a_clean_study_is_reported_as_deliberately_as_any(desk: Desk) -> None:
    report = desk.report(clean())
    assert summaries(report) == ["All algorithms succeeded; without findings"] * 2
    assert items(report, "Measurement Group") == []


def test_a_corrected_identity_is_that_of_the_next_report(desk: Desk) -> None:
    image = lesion()
    study_id = desk.read(image)
    desk.conclude()
    (old,) = desk.standing(study_id)
    image.PatientID = "P-CORRECTED"
    desk.read(image)
    assert desk.conclude() == 1
    (new,) = desk.standing(study_id)
    report = desk.object(new)
    assert (desk.object(old).PatientID, report.PatientID) == ("P-2002", "P-CORRECTED")
    assert report.PredecessorDocumentsSequence
    assert new.series_instance_uid != old.series_instance_uid, "a series belongs to one patient"


def test_an_image_of_another_patient_is_left_out_and_said_to_be(desk: Desk) -> None:
    stranger, ours = lesion(PatientID="P-OTHER"), lesion()
    report = desk.report(stranger, ours)
    assert evidence(report) == {ours.SOPInstanceUID}
    assert report.PatientID == ours.PatientID
    assert report.CompletionFlag == "PARTIAL"
    assert f"Not reported: image {stranger.SOPInstanceUID}, whose header names another patient" in texts(report)
    assert len(items(report, "Measurement Group")) == 1
    assert "P-OTHER" not in str(report)


def test_a_repeat_with_the_same_picture_keeps_the_finding_s_tracking_uid(desk: Desk) -> None:
    image = lesion()
    study_id = desk.read(image)
    desk.conclude()
    (before,) = desk.standing(study_id)
    image.ImageComments = "sent again"
    desk.read(image)
    assert desk.standing(study_id) == [before], "a repeat is no news"
    desk.read(clean())
    desk.conclude()
    (after,) = desk.standing(study_id)
    uids = [[item.UID for item in items(desk.object(row), "Tracking Unique Identifier")] for row in (before, after)]
    assert uids[0] == uids[1]


def test_a_header_that_is_gone_does_not_hold_the_study_up(desk: Desk) -> None:
    first = lesion()
    study_id = desk.read(first)
    desk.conclude()
    with desk.ledger.reading() as tx:
        (kept,) = [header for number in range(1, 3) if (header := headers.of_job(tx, number))]
    desk.spool.remove(kept.spool_key)
    late = clean()
    desk.read(late)
    assert desk.conclude() == 1
    (row,) = desk.standing(study_id)
    report = desk.object(row)
    assert evidence(report) == {late.SOPInstanceUID}
    assert any(first.SOPInstanceUID in text and "not kept any more" in text for text in texts(report))


def test_after_retention_a_late_image_is_reported_and_the_earlier_ones_are_only_named(desk: Desk) -> None:
    first = lesion()
    study_id = desk.read(first)
    desk.conclude()
    (old,) = desk.standing(study_id)
    with desk.ledger.transaction() as tx:
        deliveries.abandon(tx, now=desk.now, reason="tested")
        (kept,) = [header for number in range(1, 3) if (header := headers.of_job(tx, number))]
        removable = purge.purge(tx, study_id, ended_before=desk.now + 1, now=desk.now + 1)
    assert removable is not None
    assert {kept.spool_key, old.spool_key} <= set(removable)
    for key in removable:
        desk.spool.remove(key)
    desk.now += 10
    late = clean()
    desk.read(late)
    assert desk.conclude() == 1
    (new,) = desk.standing(study_id)
    report = desk.object(new)
    assert new.predecessor == old.sop_instance_uid
    assert evidence(report) == {late.SOPInstanceUID}
    assert any(first.SOPInstanceUID in text and "not kept any more" in text for text in texts(report))


class Interrupted(Reporter):
    """While it writes, an image arrives: once."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.ledger, desk.spool, desk.settings.results)
        self.desk = desk
        self.late: Dataset | None = clean()

    def draft(self, study: StudyRow, profiles: Iterable[Profile], *, now: float) -> Draft:
        draft = super().draft(study, profiles, now=now)
        if self.late is not None:
            late, self.late = self.late, None
            self.desk.arrive(late)
        return draft


def test_a_report_that_was_overtaken_is_discarded(desk: Desk) -> None:
    study_id = desk.read(lesion())
    desk.reporter = Interrupted(desk)
    assert desk.conclude() == 0
    assert desk.all_reports() == []
    assert desk.study(study_id).study.state is StudyState.OPEN
    desk.bench.now = desk.now
    desk.bench.work()
    assert desk.conclude() == 1
    (row,) = desk.all_reports()
    assert len(evidence(desk.object(row))) == 2


def test_a_profile_that_nobody_wants_any_more_is_continued_by_the_new_one(
    desk: Desk, tmp_path: Path, examiner: Examiner[int]
) -> None:
    study_id = desk.read(lesion())
    desk.conclude()
    (old,) = desk.standing(study_id)
    desk.settings = settings_for(tmp_path / "node", viewer="slicer", archive="strict")
    desk.read(clean())
    desk.conclude()
    (new,) = desk.standing(study_id)
    assert (new.profile, new.predecessor) == (Profile.SLICER, old.sop_instance_uid)


def test_a_report_that_breaks_keeps_no_image_s_results_back(desk: Desk) -> None:
    study_id = desk.read(lesion())
    with desk.ledger.transaction() as tx:
        tx.execute(update(finding).values(mask=b"no zlib"))
    assert desk.conclude() == 1
    assert desk.standing(study_id) == []
    assert {one.kind for one in desk.study(study_id).deliveries} == {Kind.SEG, Kind.SC}


def test_a_destination_that_comes_later_gets_the_report_that_stands(desk: Desk) -> None:
    image = lesion()
    study_id = desk.read(image)
    desk.conclude()
    (first,) = desk.standing(study_id)
    study = desk.study(study_id).study
    report_later(desk.ledger, desk.spool, desk.settings.results, study, Profile.SLICER, now=desk.now + 5)
    again, later = desk.standing(study_id)
    assert (again, later.profile) == (first, Profile.SLICER)
    assert evidence(desk.object(later)) == {image.SOPInstanceUID}
    assert "PredecessorDocumentsSequence" not in desk.object(later)
    desk.read(clean())
    report_later(desk.ledger, desk.spool, desk.settings.results, study, Profile.AIR, now=desk.now)
    assert desk.standing(study_id) == [first, later], "its next revision will say more"


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
