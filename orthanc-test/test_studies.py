"""Studies as they really come: in pieces, late, and corrected."""

import copy
from pathlib import Path

from conftest import Site
from films import abnormal, another_image, clean
from pydicom.dataset import Dataset
from results import references, wait_for_results

from tests.peers import storescu
from tests.waiting import wait_for


def _send_as_archive(site: Site, dataset: Dataset, folder: Path) -> None:
    """One association of the archive's with one image, past Orthanc's own routing."""
    file = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(file, enforce_file_format=True)
    sent = storescu(site.node.port, file, calling=site.orthanc.ae_title, options=["-R"])
    assert sent.returncode == 0, sent.stderr


def test_two_associations_make_one_study_with_one_overlay_series(site: Site, tmp_path: Path) -> None:
    first = abnormal()
    second = another_image(first)
    _send_as_archive(site, first, tmp_path)
    _send_as_archive(site, second, tmp_path)
    found = wait_for_results(site.orthanc, first.StudyInstanceUID, segs=2, overlays=2)
    assert {uid for overlay in found.overlays for uid in references(overlay)} == {
        first.SOPInstanceUID,
        second.SOPInstanceUID,
    }
    assert len({overlay.SeriesInstanceUID for overlay in found.overlays}) == 1
    assert len({seg.SeriesInstanceUID for seg in found.segs}) == 2


def test_a_late_image_adds_its_results_and_repeats_none(site: Site) -> None:
    first = clean()
    study = first.StudyInstanceUID
    site.orthanc.upload(first)
    before = wait_for_results(site.orthanc, study, segs=0, overlays=1)
    site.orthanc.upload(another_image(first))
    after = wait_for_results(site.orthanc, study, segs=0, overlays=2)
    assert before.overlays[0].SOPInstanceUID in {overlay.SOPInstanceUID for overlay in after.overlays}

    def concluded_again() -> bool:
        [known] = site.node.status("--study", study)["studies"]
        return bool(known["study"]["revision"] == 2 and known["study"]["state"] == "concluded")

    wait_for("the second revision", concluded_again, every=0.5)


def test_a_corrected_header_gives_results_that_carry_the_correction(site: Site) -> None:
    wrong = abnormal()
    study = wrong.StudyInstanceUID
    site.orthanc.upload(wrong)
    before = wait_for_results(site.orthanc, study, segs=1, overlays=1)

    right = copy.deepcopy(wrong)
    right.PatientID, right.AccessionNumber = "CORRECTED-1", "CORRECTED-2"
    site.orthanc.delete_study(study)
    site.orthanc.upload(right)
    after = wait_for_results(site.orthanc, study, segs=1, overlays=1)
    for old, new in zip((*before.segs, *before.overlays), (*after.segs, *after.overlays), strict=True):
        assert (new.PatientID, new.AccessionNumber) == ("CORRECTED-1", "CORRECTED-2")
        assert new.SOPInstanceUID != old.SOPInstanceUID
