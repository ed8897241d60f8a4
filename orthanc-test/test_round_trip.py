"""An X-ray in the archive comes back marked: nothing but a route in the archive and a peer in the configuration."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Site
from films import abnormal, clean
from pydicom import dcmread
from pydicom.uid import generate_uid
from results import held, inferred_mask, mask, overlap, predicted_mask, references, wait_for_results

from tests.waiting import wait_for


def test_an_abnormal_chest_gets_a_seg_an_overlay_and_a_report_in_its_own_study(site: Site, tmp_path: Path) -> None:
    source = abnormal()
    site.orthanc.upload(source)
    found = wait_for_results(site.orthanc, source.StudyInstanceUID, segs=1, overlays=1, reports=1)
    for result in (*found.segs, *found.overlays, *found.reports):
        assert result.StudyInstanceUID == source.StudyInstanceUID
        assert result.PatientID == source.PatientID
        assert result.SeriesInstanceUID != source.SeriesInstanceUID
        assert source.SOPInstanceUID in references(result)
        assert str(result.SeriesDescription).startswith("AI RESEARCH")
    returned = mask(found.segs[0])
    assert returned.shape == (source.Rows, source.Columns)
    assert returned.any()
    assert np.array_equal(returned, predicted_mask(site.node, source))
    assert overlap(returned, inferred_mask(source, tmp_path)) > 0.999


def test_a_clean_chest_gets_an_overlay_that_says_so_and_no_seg(site: Site) -> None:
    source = clean()
    site.orthanc.upload(source)
    found = wait_for_results(site.orthanc, source.StudyInstanceUID, segs=0, overlays=1)
    assert references(found.overlays[0]) == {source.SOPInstanceUID}


def test_results_that_the_archive_routes_back_are_taken_and_not_analysed(site: Site) -> None:
    source = abnormal()
    study = source.StudyInstanceUID
    site.orthanc.upload(source)
    wait_for_results(site.orthanc, study, segs=1, overlays=1, reports=1)

    def routed_back() -> bool:
        jobs = [job for job in site.orthanc.get("/jobs?expand") if job["Type"] == "DicomModalityStore"]
        return any(job["State"] == "Success" and job["Content"]["InstancesCount"] == 4 for job in jobs)

    wait_for("Orthanc to route source, SEG, overlay and report to the node", routed_back, seconds=60, every=0.5)
    assert site.orthanc.failed_jobs() == []
    [known] = site.node.status("--study", study)["studies"]
    assert len(known["instances"]) == 1
    assert known["study"]["revision"] == 1
    after = held(site.orthanc, study)
    assert (len(after.segs), len(after.overlays), len(after.reports)) == (1, 1, 1)


@pytest.mark.parametrize("name", ["siim_cr_pa_jpegbaseline", "nih_dx_implicitle_8bit", "rg1_chest_mono1_jpegls_near"])
def test_a_real_chest_comes_back_read(site: Site, data: Path, tmp_path: Path, name: str) -> None:
    source = dcmread(data / "dicom" / f"{name}.dcm")
    source.StudyInstanceUID = generate_uid()
    source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    site.orthanc.upload(source)

    def read() -> bool:
        return bool(held(site.orthanc, source.StudyInstanceUID).overlays)

    wait_for("the overlay of a real film", read, seconds=90, every=0.5)
    found = held(site.orthanc, source.StudyInstanceUID)
    if name.startswith("rg1"):
        returned = mask(found.segs[0])
        assert np.array_equal(returned, predicted_mask(site.node, source))
        assert overlap(returned, inferred_mask(source, tmp_path)) > 0.999


@pytest.mark.parametrize(
    ("name", "reason"),
    [("neg_cr_hip_jpegls", "not_a_chest"), ("neg_cr_leg_mono1_rle", "not_a_chest")],
)
def test_what_is_no_chest_is_declined_with_its_reason(site: Site, data: Path, name: str, reason: str) -> None:
    source = dcmread(data / "dicom" / f"{name}.dcm")
    source.StudyInstanceUID = generate_uid()
    source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    site.orthanc.upload(source)

    def declined() -> list[str]:
        studies = site.node.status("--limit", "50")["studies"]
        return [
            view["job"]["reason"]
            for study in studies
            if study["study"]["study_instance_uid"] == source.StudyInstanceUID
            for instance in study["instances"]
            for view in instance["jobs"]
            if view["job"]["state"] == "declined"
        ]

    assert wait_for("the node to decline it", declined, seconds=60, every=0.5) == [reason]
    assert held(site.orthanc, source.StudyInstanceUID).overlays == ()
