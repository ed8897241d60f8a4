"""An archive rejects a source image: nothing more is made of the image, and what was is recalled."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage, generate_uid

from dicom_node.analyse.examine import Examiner
from dicom_node.domain import JobState, Kind, Reason
from dicom_node.ledger import findings, overview
from dicom_node.ledger.overview import InstanceView, StudyView
from tests import datasets
from tests.analyse.conftest import with_lesion
from tests.deliver.archives import Archive
from tests.life.node import Life, archive, evidence, kept, life_settings, notes
from tests.peers import association
from tests.rejections import rejects

REPORT = "1.2.840.10008.5.1.4.1.1.88.33"


@pytest.fixture
def pacs() -> Iterator[Archive]:
    with archive() as place:
        yield place


@pytest.fixture
def life(tmp_path: Path, pacs: Archive, examiner: Examiner[int]) -> Iterator[Life]:
    life = Life(life_settings(tmp_path / "node", archive=(pacs, "ohif")), examiner)
    yield life
    life.close()


def study(life: Life, dataset: Dataset) -> StudyView:
    with life.ledger.reading() as tx:
        (view,) = overview.studies(tx, study_uid=str(dataset.StudyInstanceUID))
    return view


def instance(life: Life, dataset: Dataset) -> InstanceView:
    (found,) = (
        each for each in study(life, dataset).instances if each.instance.sop_instance_uid == dataset.SOPInstanceUID
    )
    return found


def outcome(life: Life, dataset: Dataset) -> tuple[JobState, Reason | None]:
    job = instance(life, dataset).jobs[-1].job
    return job.state, job.reason


def pair() -> tuple[Dataset, Dataset]:
    """Two images of a study with a finding each."""
    first = with_lesion(SeriesInstanceUID=generate_uid())
    second = with_lesion(
        StudyInstanceUID=first.StudyInstanceUID, SeriesInstanceUID=generate_uid(), PatientID=first.PatientID
    )
    return first, second


def test_its_image_is_taken_back_from_the_archive_and_the_report_tells_of_the_others(life: Life, pacs: Archive) -> None:
    first, second = pair()
    life.store(first, second)
    life.run()
    there = kept(pacs)
    (old,) = kept(pacs, REPORT)
    note = rejects(first, title=codes.DCM.RejectedForPatientSafetyReasons)
    assert life.store(note) == [0x0000]
    life.run()
    assert outcome(life, first) == (JobState.DECLINED, Reason.REJECTED)
    assert outcome(life, second) == (JobState.DONE, None)
    assert outcome(life, note) == (JobState.DECLINED, Reason.REJECTION_NOTE)
    about_first = {
        str(each.SOPInstanceUID)
        for each in there
        if each.SOPClassUID != REPORT and each.SourceImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    }
    assert len(about_first) == 2
    assert list(notes(pacs)) == [("113037", about_first | {str(old.SOPInstanceUID)})]
    (new,) = (each for each in kept(pacs, REPORT) if each.SOPInstanceUID != old.SOPInstanceUID)
    said = "\n".join(str(each.value) for each in new.iterall() if each.keyword == "TextValue")
    assert "Not read: rejected (for patient safety reasons)" in said
    assert evidence(new) == {str(second.SOPInstanceUID)}, "what is rejected is referred to by nothing"
    assert study(life, first).study.revision == 2


def test_the_same_note_again_changes_nothing(life: Life, pacs: Archive) -> None:
    first, second = pair()
    life.store(first, second)
    life.run()
    note = rejects(first)
    life.store(note)
    life.run()
    before, sent = study(life, first), dict(pacs.came)
    note.ContentDescription = "sent again by a router that adds a comment"
    again = rejects(first)
    assert life.store(note, again) == [0x0000, 0x0000]
    life.run()
    after = study(life, first)
    assert (after.study.revision, after.deliveries) == (2, before.deliveries)
    assert dict(pacs.came) == sent


def test_an_image_that_waits_is_never_looked_at_though_the_note_came_last(life: Life, pacs: Archive) -> None:
    first, second = pair()
    life.store(first, second, rejects(first))
    life.run()
    assert outcome(life, first) == (JobState.DECLINED, Reason.REJECTED)
    with life.ledger.reading() as tx:
        assert findings.of_job(tx, instance(life, first).jobs[-1].job.job_id) == []
    assert {
        each.SourceImageSequence[0].ReferencedSOPInstanceUID for each in kept(pacs) if each.SOPClassUID != REPORT
    } == {second.SOPInstanceUID}


def test_an_image_that_comes_after_its_note_is_not_looked_at(life: Life, pacs: Archive) -> None:
    first, second = pair()
    life.store(rejects(first))
    life.run()
    assert life.store(first, second) == [0x0000, 0x0000]
    life.run()
    job = instance(life, first).jobs[-1].job
    assert (job.state, job.reason, job.detail) == (JobState.DECLINED, Reason.REJECTED, "for quality reasons")
    assert len(life.bench.predictor.batches) == 1
    assert list(notes(pacs)) == []
    assert kept(pacs)


def test_what_only_the_evidence_names_counts_where_the_content_names_nothing(life: Life) -> None:
    first, second = pair()
    life.store(rejects(first, content=False), rejects(second, evidence=False))
    life.work()
    life.store(first, second)
    life.work()
    assert {outcome(life, each) for each in (first, second)} == {(JobState.DECLINED, Reason.REJECTED)}


def test_any_other_key_object_selection_is_just_not_a_radiograph(life: Life, pacs: Archive) -> None:
    first, _ = pair()
    life.store(first)
    life.run()
    note = rejects(first, title=codes.DCM.ForReferringProvider)
    private = rejects(first, title=Code("113001", "99ELSEWHERE", "Rejected, says somebody"))
    assert life.store(note, private) == [0x0000, 0x0000]
    life.run()
    assert {outcome(life, each) for each in (note, private)} == {(JobState.DECLINED, Reason.NOT_A_RADIOGRAPH)}
    assert outcome(life, first) == (JobState.DONE, None)
    assert list(notes(pacs)) == []


def test_a_note_that_makes_no_sense_does_no_harm(life: Life) -> None:
    first, _ = pair()
    life.store(first)
    life.run()
    empty = rejects(first, content=False, evidence=False)
    strange = rejects(first)
    reference = strange.ContentSequence[0].ReferencedSOPSequence[0]
    reference["ReferencedSOPInstanceUID"] = DataElement(0x00081155, "UI", "../../etc/x", validation_mode=IGNORE)
    assert life.store(empty, strange) == [0x0000, 0x0000]
    life.work()
    assert outcome(life, empty) == (JobState.DECLINED, Reason.REJECTION_NOTE)
    assert outcome(life, strange)[0] is JobState.DECLINED
    # what its content names is no UID, so its evidence counts
    assert outcome(life, first) == (JobState.DECLINED, Reason.REJECTED)


def test_a_stranger_s_note_is_not_taken(life: Life) -> None:
    first, _ = pair()
    life.store(first)
    life.run()
    with association(
        life.port, (str(KeyObjectSelectionDocumentStorage), ExplicitVRLittleEndian), calling="STRANGER"
    ) as opened:
        assert opened.is_rejected
    assert outcome(life, first) == (JobState.DONE, None)


def test_a_lateral_view_stays_what_it_was(life: Life) -> None:
    side = datasets.chest(100, 90, ViewPosition="LL")
    life.store(side)
    life.run()
    life.store(rejects(side))
    life.run()
    assert outcome(life, side) == (JobState.DECLINED, Reason.LATERAL_VIEW)
    assert {each.kind for each in study(life, side).deliveries} <= {Kind.SR}
