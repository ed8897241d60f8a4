"""What becomes of a report when its study goes on: the next one takes its place, and nothing stale is sent."""

from collections.abc import Iterable
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.analyse.examine import Examiner
from dicom_node.conclude.later import report_later
from dicom_node.conclude.report import Draft, Reporter
from dicom_node.domain import Profile, RejectionTitle, StudyState
from dicom_node.ledger import headers, holding, purge, rejections
from dicom_node.ledger.rows import StudyRow
from tests.conclude.reporting import PATIENCE, Desk, clean, lesion, settings_for
from tests.encode.reports import evidence, items, summaries, texts


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
        holding.abandon(tx, now=desk.now, reason="tested")
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
