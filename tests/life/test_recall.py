"""Recall, from an operator's word to the archive: what of ours is there is withdrawn, what is not never goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dicom_node import operate
from dicom_node.analyse.examine import Examiner
from dicom_node.domain import DeliveryState, Kind, RecallReason
from dicom_node.ledger import purge
from dicom_node.operate import Choice
from tests.analyse.conftest import with_lesion
from tests.analyse.fakes import MANIFEST
from tests.deliver.archives import Archive
from tests.life.node import NOTES, Life, archive, kept, life_settings, notes


@pytest.fixture
def pacs() -> Iterator[Archive]:
    with archive() as place:
        yield place


@pytest.fixture
def viewer() -> Iterator[Archive]:
    """An archive that has never heard of rejection notes."""
    with archive(takes_notes=False) as place:
        yield place


@pytest.fixture
def life(tmp_path: Path, pacs: Archive, viewer: Archive, examiner: Examiner[int]) -> Iterator[Life]:
    life = Life(life_settings(tmp_path / "node", archive=(pacs, "strict"), viewer=(viewer, "ohif")), examiner)
    yield life
    life.close()


@pytest.fixture
def chest(life: Life) -> Dataset:
    """An image whose results both archives have."""
    chest = with_lesion(PatientName="Probe^Petra", IssuerOfPatientID="HOSPITAL")
    assert life.store(chest) == [0x0000]
    life.run()
    return chest


def uids(place: Archive) -> set[str]:
    return {str(each.SOPInstanceUID) for each in kept(place) if each.SOPClassUID != NOTES}


def recall(life: Life, **chosen: str) -> operate.Recalled:
    return operate.recall(
        life.ledger,
        Choice(**chosen),
        reason=RecallReason.QUALITY,
        now=life.now,  # type: ignore[arg-type]
    )


def test_each_archive_is_told_what_it_has_and_what_it_does_not_take_is_listed(
    life: Life, chest: Dataset, pacs: Archive, viewer: Archive
) -> None:
    assert (len(uids(pacs)), len(uids(viewer))) == (2, 3)
    done = recall(life, study_instance_uid=chest.StudyInstanceUID)
    assert (done.results, len(done.there), done.by_hand, done.unsent) == (5, 5, (), ())
    life.pass_time()
    life.deliver()
    assert list(notes(pacs)) == [("113001", uids(pacs))]
    (note,) = kept(pacs, str(NOTES))
    for keyword in ("PatientID", "PatientName", "IssuerOfPatientID", "StudyInstanceUID", "AccessionNumber"):
        assert note[keyword].value == chest[keyword].value
    assert list(notes(viewer)) == []
    withdrawn = operate.withdrawn(life.ledger, Choice())
    standing = {(one.destination, one.note, one.by_hand) for one in withdrawn}
    assert standing == {("archive", DeliveryState.STORED, False), ("viewer", DeliveryState.FAILED, True)}
    assert {one.sop_instance_uid for one in withdrawn if one.by_hand} == uids(viewer)


def test_recalling_again_and_looking_again_sends_nothing_more(life: Life, chest: Dataset, pacs: Archive) -> None:
    recall(life, accession_number=chest.AccessionNumber)
    life.pass_time()
    life.deliver()
    before = dict(pacs.came)
    assert recall(life, accession_number=chest.AccessionNumber).results == 0
    life.pass_time()
    life.deliver()
    assert dict(pacs.came) == before


def test_what_went_out_under_a_wrong_patient_is_withdrawn_under_that_patient(
    life: Life, chest: Dataset, pacs: Archive
) -> None:
    wrong = uids(pacs)
    wrong_patient = str(chest.PatientID)
    chest.PatientID = "CORRECTED"
    assert life.store(chest) == [0x0000]
    life.run()
    right = uids(pacs) - wrong
    assert len(right) == 2
    assert recall(life, study_instance_uid=chest.StudyInstanceUID).results == 10
    life.pass_time()
    life.deliver()
    told = {str(note.PatientID): named for note, (_, named) in zip(kept(pacs, str(NOTES)), notes(pacs), strict=True)}
    assert told == {wrong_patient: wrong, "CORRECTED": right}


def test_what_waits_is_never_sent(life: Life, pacs: Archive, viewer: Archive) -> None:
    chest = with_lesion()
    life.store(chest)
    life.work()
    life.pass_time()
    done = recall(life, study_instance_uid=chest.StudyInstanceUID)
    assert (len(done.unsent), done.there) == (5, ())
    life.pass_time()
    life.deliver()
    assert (pacs.came, viewer.came) == ({}, {})


def test_by_model_by_time_and_of_nothing_else(life: Life, chest: Dataset, pacs: Archive) -> None:
    assert (
        operate.recall(
            life.ledger, Choice(since=life.now), reason=RecallReason.QUALITY, now=life.now, dry_run=True
        ).results
        == 0
    )
    of_model = operate.recall(
        life.ledger,
        Choice(until=life.now),
        reason=RecallReason.PATIENT_SAFETY,
        model_digest=MANIFEST.digest[:8],
        now=life.now,
        dry_run=True,
    )
    assert of_model.results == 5, "the report too"
    other = operate.recall(life.ledger, Choice(), reason=RecallReason.QUALITY, model_digest="0" * 8, now=life.now)
    assert other.results == 0
    life.pass_time()
    life.deliver()
    assert list(notes(pacs)) == [], "a dry run does nothing"


def test_a_note_that_comes_back_is_known_by_its_marks(life: Life, chest: Dataset, pacs: Archive) -> None:
    recall(life, study_instance_uid=chest.StudyInstanceUID)
    life.pass_time()
    life.deliver()
    (note,) = kept(pacs, str(NOTES))
    (seg,) = kept(pacs, str(SegmentationStorage))
    before = life.study(1)
    assert life.store(note, seg) == [0x0000, 0x0000]
    life.run()
    assert life.study(1).instances == before.instances
    assert len(list(notes(pacs))) == 1


def test_after_a_recall_a_late_image_brings_its_own_results_and_a_report_that_replaces_none(
    life: Life, chest: Dataset, viewer: Archive
) -> None:
    before = uids(viewer)
    recall(life, study_instance_uid=chest.StudyInstanceUID)
    late = with_lesion(StudyInstanceUID=chest.StudyInstanceUID, PatientID=chest.PatientID)
    life.store(late)
    life.run()
    fresh = [each for each in kept(viewer) if each.SOPInstanceUID not in before]
    assert sorted(each.Modality for each in fresh) == ["OT", "SEG", "SR"]
    (report,) = (each for each in fresh if each.Modality == "SR")
    assert "PredecessorDocumentsSequence" not in report


def test_once_a_study_is_purged_only_a_person_can_delete_its_results(life: Life, chest: Dataset, pacs: Archive) -> None:
    with life.ledger.transaction() as tx:
        keys = purge.purge(tx, 1, ended_before=4e9, now=life.now)
    for key in keys or ():
        life.spool.remove(key)
    done = recall(life, study_instance_uid=chest.StudyInstanceUID)
    assert (done.results, done.there, len(done.by_hand)) == (5, (), 5)
    life.pass_time()
    life.deliver()
    assert list(notes(pacs)) == []
    assert all(one.by_hand and one.obstacle for one in operate.withdrawn(life.ledger, Choice()))
    assert {one.kind for one in done.by_hand} == {Kind.SEG, Kind.SC, Kind.SR}
