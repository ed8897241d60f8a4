"""Recall through a real archive: it takes the note, and, as it knows nothing of what the note asks, goes on showing."""

import subprocess
import sys

from conftest import Site
from films import abnormal
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage
from results import wait_for_results

from dicom_node.encode.marks import is_result
from tests.rejections import rejects
from tests.waiting import wait_for


def _notes(site: Site, study: str) -> list[Dataset]:
    """The node's rejection notes that the archive holds."""
    return [
        each
        for each in site.orthanc.instances(study)
        if each.SOPClassUID == KeyObjectSelectionDocumentStorage
        and is_result(each.get("Manufacturer", ""), each.get("ManufacturerModelName", ""))
    ]


def _named(note: Dataset) -> set[str]:
    held = [item.ReferencedSOPSequence[0] for item in note.ContentSequence if "ReferencedSOPSequence" in item]
    return {str(reference.ReferencedSOPInstanceUID) for reference in held}


def _recall(site: Site, *options: str) -> str:
    command = [sys.executable, "-m", "dicom_node", "recall", "--config", str(site.node.configuration), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_the_archive_takes_the_note_and_a_person_is_told_what_that_is_worth(site: Site) -> None:
    source = abnormal()
    study = source.StudyInstanceUID
    site.orthanc.upload(source)
    found = wait_for_results(site.orthanc, study, segs=1, overlays=1)
    wait_for("the report", lambda: len(site.orthanc.instances(study)) == 4, every=0.5)
    ours = {str(each.SOPInstanceUID) for each in site.orthanc.instances(study)} - {str(source.SOPInstanceUID)}
    assert "Recalled 3 results" in _recall(site, "--study", study, "--yes")
    wait_for("the rejection note to arrive", lambda: len(_notes(site, study)) == 1, every=0.5, seconds=40)
    (note,) = _notes(site, study)
    assert _named(note) == ours
    assert note.PatientID == source.PatientID
    # what `docs/operations.md` warns of: this archive keeps the note as one more object, and shows all as before
    assert {str(each.SOPInstanceUID) for each in site.orthanc.instances(study)} >= ours
    assert found.segs[0].SOPInstanceUID in ours
    listed = _recall(site, "--list", "--study", study)
    assert "taken" in listed
    assert "Imaging Object Change Management" in " ".join(listed.split())
    site.orthanc.route_again(study)
    (known,) = site.node.status("--study", study)["studies"]
    assert [each["instance"]["sop_instance_uid"] for each in known["instances"]] == [str(source.SOPInstanceUID)]
    assert site.orthanc.failed_jobs() == []


def test_a_note_that_the_archive_routes_takes_the_image_s_results_back(site: Site) -> None:
    source = abnormal()
    study = source.StudyInstanceUID
    site.orthanc.upload(source)
    wait_for_results(site.orthanc, study, segs=1, overlays=1)
    site.orthanc.upload(rejects(source))
    wait_for("the node's own note", lambda: len(_notes(site, study)) == 1, every=0.5, seconds=60)
    segs = {str(each.SOPInstanceUID) for each in site.orthanc.instances(study) if each.Modality == "SEG"}
    assert segs <= _named(_notes(site, study)[0])
    (known,) = site.node.status("--study", study)["studies"]
    (image,) = (
        each for each in known["instances"] if each["instance"]["sop_instance_uid"] == str(source.SOPInstanceUID)
    )
    assert image["jobs"][-1]["job"]["reason"] == "rejected"
