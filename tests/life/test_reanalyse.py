"""A new model or threshold sends nothing by itself; reanalysed, its results supersede, and the old ones can go."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node import operate
from dicom_node.analyse.examine import Examiner
from dicom_node.domain import RecallReason
from dicom_node.errors import NotFound
from dicom_node.ledger import jobs, purge, results
from dicom_node.ledger.reanalysis import Prospect
from dicom_node.operate import Choice
from tests.analyse.conftest import with_lesion
from tests.analyse.fakes import MANIFEST
from tests.deliver.archives import Archive
from tests.life.conftest import Run
from tests.life.node import Life, archive, kept, life_settings, notes

#: the model that comes later
NEWER = replace(MANIFEST, version="2", digest="e" * 64)


@pytest.fixture
def pacs() -> Iterator[Archive]:
    with archive() as place:
        yield place


@pytest.fixture
def life(tmp_path: Path, pacs: Archive, examiner: Examiner[int]) -> Iterator[Life]:
    life = Life(life_settings(tmp_path / "node", archive=(pacs, "ohif")), examiner)
    yield life
    life.close()


@pytest.fixture
def chest(life: Life) -> Dataset:
    """An image whose results the archive has, of the model before."""
    chest = with_lesion()
    life.store(chest)
    life.run()
    return chest


def uids(place: Archive) -> set[str]:
    return {str(each.SOPInstanceUID) for each in kept(place)}


def reanalyse(life: Life, recall: RecallReason | None = None) -> tuple[operate.StudyAnew, ...]:
    return operate.reanalyse(life.ledger, life.settings, Choice(), recall=recall, now=life.now)


def test_a_new_model_alone_sends_nothing(life: Life, chest: Dataset, pacs: Archive) -> None:
    before = dict(pacs.came)
    life.restart(life.settings, NEWER)
    life.run()
    assert dict(pacs.came) == before


@pytest.mark.parametrize("withdrawn", [False, True])
def test_results_of_a_new_model_supersede_under_new_uids(
    life: Life, chest: Dataset, pacs: Archive, withdrawn: bool
) -> None:
    old = uids(pacs)
    (old_report,) = (each for each in kept(pacs) if each.Modality == "SR")
    life.restart(life.settings, NEWER)
    (anew,) = reanalyse(life, RecallReason.PATIENT_SAFETY if withdrawn else None)
    assert anew.images(Prospect.QUEUE) == [chest.SOPInstanceUID]
    assert {each.sop_instance_uid for each in anew.superseded} == old
    life.run()
    sent = {str(each.SOPInstanceUID): each for each in kept(pacs) if each.Modality != "KO"}
    fresh = {uid: each for uid, each in sent.items() if uid not in old}
    assert sorted(each.Modality for each in fresh.values()) == ["OT", "SEG", "SR"]
    (report,) = (each for each in fresh.values() if each.Modality == "SR")
    (study,) = report.PredecessorDocumentsSequence
    assert (
        study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old_report.SOPInstanceUID
    )
    assert {str(each.DeviceSerialNumber) for each in fresh.values()} == {NEWER.digest}
    with life.ledger.reading() as tx:
        standing = results.of_study(tx, 1)
    assert {row.sop_instance_uid for row in standing} == set(fresh)
    assert {row.predecessor for row in standing} == old
    told = {uid for title, named in notes(pacs) for uid in named if title == "113037"}
    assert told == (old if withdrawn else set())
    assert {uid: count for uid, count in pacs.came.items() if count > 1} == {}


def test_what_is_no_radiograph_is_not_asked_again(life: Life, chest: Dataset) -> None:
    slice_of_a_ct = with_lesion(StudyInstanceUID=chest.StudyInstanceUID, PatientID=chest.PatientID, Modality="CT")
    slice_of_a_ct.SOPClassUID = slice_of_a_ct.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    assert life.store(slice_of_a_ct) == [0x0000]
    life.run()
    life.restart(life.settings, NEWER)
    (anew,) = reanalyse(life)
    assert [one.instance.sop_instance_uid for one in anew.candidates] == [chest.SOPInstanceUID]


def test_another_threshold_is_another_analysis_and_only_of_its_source(
    life: Life, chest: Dataset, pacs: Archive
) -> None:
    peers = tuple(peer.model_copy(update={"threshold": 0.8}) if peer.sends else peer for peer in life.settings.peers)
    changed = life.settings.model_copy(update={"peers": peers})
    with pytest.raises(NotFound, match="has not run with this configuration"):
        operate.reanalyse(life.ledger, changed, Choice(), now=life.now)
    life.restart(changed)
    (anew,) = reanalyse(life)
    assert len(anew.images(Prospect.QUEUE)) == 1
    life.run()
    (again,) = reanalyse(life)
    assert again.images(Prospect.UP_TO_DATE) == [chest.SOPInstanceUID]
    segs = [each for each in kept(pacs) if each.Modality == "SEG"]
    said = {
        each.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters.rsplit("=", 1)[1]
        for each in segs
    }
    assert said == {"0.5", "0.8"}


def test_the_command_lists_asks_and_says_what_stays(life: Life, chest: Dataset, pacs: Archive, run: Run) -> None:
    life.restart(life.settings, NEWER)
    study = str(chest.StudyInstanceUID)
    dry = run("reanalyse", "--study", study, "--dry-run")
    assert "1 image  archive  3 stored, which stay there" in dry
    assert "Would analyse 1 image anew." in dry
    refused = run("reanalyse", "--study", study, answers="n\n")
    assert refused.startswith("1 ")
    assert "3 superseded results will stay where they are; --recall withdraws them." in refused
    with life.ledger.reading() as tx:
        assert jobs.next_due(tx) is None
    done = run("reanalyse", "--study", study, "--recall", "--yes")
    assert "3 stored, to be withdrawn" in done
    assert "Queued 1 image" in done
    assert "waiting or being analysed already" in run("reanalyse", "--accession", chest.AccessionNumber, "-n")
    life.now = time.time() + 1  # the command's clock is everybody's
    life.run()
    assert "analysed by this model with these settings" in run("reanalyse", "--since", "2025-01-01", "-n")
    assert "archive took the rejection note" in run("status", "--study", study)
    listed = run("recall", "--list")
    assert "archive  3        taken" in listed
    assert "does not implement Imaging Object Change Management" in listed


def test_what_was_purged_is_said_to_be_beyond_it(life: Life, chest: Dataset, run: Run) -> None:
    with life.ledger.transaction() as tx:
        purge.purge(tx, 1, ended_before=4e9, now=life.now)
    life.restart(life.settings, NEWER)
    said = run("reanalyse", "--since", "2025-01-01", "--yes")
    assert f"image {chest.SOPInstanceUID}: not possible, its bytes were deleted" in said
    assert "Would analyse 0 images anew." in said


def test_what_is_meant_must_be_said(run: Run) -> None:
    for command in ("reanalyse", "recall"):
        said = run(command, "--yes")
        assert said.startswith("2 ")
        assert "say what is meant" in said
    assert "first 8 digits" in run("recall", "--model", "abc")
