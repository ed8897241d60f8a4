"""`chexnode infer`: every file handled, each with its reason; same file, same bytes."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from dicom_node.cli.examining import Run, content_time
from dicom_node.cli.inputs import inputs
from dicom_node.domain import Profile
from dicom_node.errors import ConfigurationError
from dicom_node.sections import ModelSection
from tests import datasets
from tests.analyse.conftest import with_lesion
from tests.analyse.fakes import MANIFEST, ThresholdPredictor
from tests.cli.conftest import Run as RunCommand
from tests.cli.running import chexnode, put
from tests.encode.reports import evidence, items, summaries, texts

KEYS = [
    "path", "study_instance_uid", "series_instance_uid", "sop_instance_uid", "status", "reason", "score", "findings",
    "model", "outputs",
]  # fmt: skip


def infer(
    out: Path, *paths: Path, threshold: float | None = None, profile: Profile = Profile.STRICT
) -> list[dict[str, Any]]:
    """The objects of findings.json, made with a predictor that thresholds."""
    section = ModelSection(threshold=threshold)
    _, listing = Run(section, ThresholdPredictor(), out, profile=profile).over(inputs(paths, leave_out=out))
    found = json.loads(listing.read_text())
    assert isinstance(found, list)
    return found


def test_an_image_with_a_lesion(tmp_path: Path) -> None:
    dataset = with_lesion(SOPInstanceUID="1.2.3")
    file = put(dataset, tmp_path / "in", "a.dcm")
    (found,) = infer(tmp_path / "out", file)
    assert list(found) == KEYS
    assert found["path"] == str(file)
    assert (found["status"], found["reason"], found["score"]) == ("analysed", None, 0.9)
    assert found["study_instance_uid"] == dataset.StudyInstanceUID
    assert found["series_instance_uid"] == dataset.SeriesInstanceUID
    assert found["sop_instance_uid"] == "1.2.3"
    (finding,) = found["findings"]
    assert finding["box"] == [14, 20, 24, 32]
    assert finding["area_mm2"] == pytest.approx(10 * 12 * 0.15 * 0.15)
    assert found["model"] == {"name": "threshold", "version": "1", "sha256": MANIFEST.weights_sha256}
    seg = pydicom.dcmread(found["outputs"]["seg"])
    assert seg.Modality == "SEG"
    assert seg.StudyInstanceUID == dataset.StudyInstanceUID
    expected = np.zeros((100, 90), np.uint8)
    expected[20:32, 14:24] = 1
    np.testing.assert_array_equal(seg.pixel_array, expected)
    assert pydicom.dcmread(found["outputs"]["sc"]).PatientID == dataset.PatientID
    with Image.open(found["outputs"]["overlay"]) as picture:
        assert picture.mode == "L"
        assert max(picture.size) == 1024
    assert Path(found["outputs"]["seg"]) == tmp_path / "out" / "1.2.3" / "seg.dcm"


def test_nothing_above_the_operating_point_is_no_seg_but_every_candidate_is_listed(tmp_path: Path) -> None:
    dataset = with_lesion()
    pixels = datasets.film(100, 90)
    pixels[20:22, 14:18] = 4095  # eight pixels: a confidence of 0.34, below the operating point
    dataset.PixelData = pixels.tobytes()
    file = put(dataset, tmp_path / "in", "a.dcm")
    (found,) = infer(tmp_path / "out", file)
    assert [each["confidence"] for each in found["findings"]] == [0.34]
    assert found["outputs"]["seg"] is None
    assert Path(found["outputs"]["sc"]).is_file()
    (lower,) = infer(tmp_path / "lower", file, threshold=0.3)
    assert Path(lower["outputs"]["seg"]).is_file()
    assert lower["findings"] == found["findings"]


def test_the_same_file_gives_the_same_bytes_and_other_settings_other_uids(tmp_path: Path) -> None:
    file = put(with_lesion(), tmp_path / "in", "a.dcm")
    first, again, other = (
        infer(tmp_path / str(number), file, threshold=threshold)[0]["outputs"]
        for number, threshold in enumerate((None, None, 0.4))
    )
    for key in ("seg", "sc", "overlay"):
        assert Path(first[key]).read_bytes() == Path(again[key]).read_bytes()
    assert pydicom.dcmread(first["seg"]).SOPInstanceUID != pydicom.dcmread(other["seg"]).SOPInstanceUID


def test_a_profile_s_objects_and_a_report_of_each_study(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    study = {"StudyInstanceUID": "1.2.7", "SeriesInstanceUID": "1.2.7.1"}
    put(with_lesion(SOPInstanceUID="1.2.1", **study), folder, "a.dcm")
    put(datasets.chest(100, 90, SOPInstanceUID="1.2.2", **study), folder, "b.dcm")
    put(datasets.chest(SOPInstanceUID="1.2.3", ViewPosition="LL", **study), folder, "c.dcm")
    put(datasets.chest(SOPInstanceUID="1.2.4", Modality="CT", **study), folder, "d.dcm")
    put(datasets.chest(SOPInstanceUID="1.2.5", ViewPosition="LL"), folder, "e.dcm")
    first, again = (infer(tmp_path / name, folder, profile=Profile.CLASSIC_PACS) for name in ("1", "2"))
    a, b, c, d, e = (found["outputs"] for found in first)
    report = tmp_path / "1" / "reports" / "1.2.7.dcm"
    assert {each["sr"] for each in (a, b, c, d)} == {str(report)}
    assert e == {"seg": None, "sc": None, "overlay": None, "gsps": None, "sr": None}, "nothing of its study was read"
    assert Path(a["gsps"]).is_file()
    assert a["seg"] is None
    assert (b["sc"], b["gsps"]) == (None, None), "the report says that nothing was found"
    dataset = pydicom.dcmread(report)
    assert evidence(dataset) == {"1.2.1", "1.2.2", "1.2.3"}
    assert summaries(dataset) == [
        "All algorithms succeeded; with findings",
        "All algorithms succeeded; with findings",
        "All algorithms succeeded; without findings",
    ]
    assert "Objects of the study that are no radiographs: 1" in texts(dataset)
    assert report.read_bytes() == Path(again[0]["outputs"]["sr"]).read_bytes()


def test_the_report_and_the_seg_name_a_finding_alike(tmp_path: Path) -> None:
    file = put(with_lesion(), tmp_path / "in", "a.dcm")
    (found,) = infer(tmp_path / "out", file, profile=Profile.SLICER)
    (segment,) = pydicom.dcmread(found["outputs"]["seg"]).SegmentSequence
    report = pydicom.dcmread(found["outputs"]["sr"])
    assert [item.UID for item in items(report, "Tracking Unique Identifier")] == [segment.TrackingUID]


def test_results_are_later_than_the_image() -> None:
    assert content_time(with_lesion()).isoformat() == "2025-03-04T10:15:01+00:00"
    assert content_time(pydicom.Dataset()).year == 1970


def test_every_file_of_a_folder_is_handled(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    put(with_lesion(SOPInstanceUID="1.2.1"), folder, "a.dcm")
    put(datasets.chest(SOPInstanceUID="1.2.2", BodyPartExamined="HAND"), folder, "b.dcm")
    put(datasets.chest(SOPInstanceUID="1.2.3", ViewPosition="LL"), folder, "c.dcm")
    put(datasets.chest(SOPInstanceUID="1.2.4", PixelData=None), folder, "d.dcm")
    put(datasets.chest(SOPInstanceUID="1.2.5", StudyDate="19990101", PatientAge=None), folder, "e.dcm")
    (folder / "f.txt").write_text("notes")
    (folder / "g.dcm").symlink_to("nowhere")
    found = infer(tmp_path / "out", folder)
    assert [Path(each["path"]).name[0] for each in found] == list("abcdefg")
    assert [each["status"] for each in found] == [
        "analysed", "declined", "declined", "unreadable", "analysed", "unreadable", "unreadable",
    ]  # fmt: skip
    codes = [each["reason"] and each["reason"].split(":")[0] for each in found]
    assert codes == [None, "not_a_chest", "lateral_view", "no_pixels", None, "not_dicom", "not_dicom"]
    for each in found:
        if each["status"] != "analysed":
            assert (each["score"], each["findings"]) == (None, [])
            assert each["outputs"] == {"seg": None, "sc": None, "overlay": None}
    assert found[1]["sop_instance_uid"] == "1.2.2"
    assert found[5]["sop_instance_uid"] is None


def test_a_folder_is_named_by_a_uid_only_where_that_is_harmless_and_unique(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of what this test is about
        for name, uid in (("a", "1.2.1"), ("b", "1.2.2"), ("c", "1.2.2"), ("d", "../../etc/x")):
            put(with_lesion(SOPInstanceUID=uid, InstanceNumber=ord(name)), folder, f"{name}.dcm")
    infer(tmp_path / "out", folder)
    digests = {name: hashlib.sha256((folder / f"{name}.dcm").read_bytes()).hexdigest() for name in "bcd"}
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"findings.json", "1.2.1", *digests.values()}


def test_outputs_inside_the_folder_are_no_inputs_of_the_next_run(tmp_path: Path) -> None:
    file = put(with_lesion(), tmp_path, "a.dcm")
    for _ in range(2):
        assert [each["path"] for each in infer(tmp_path / "out", tmp_path)] == [str(file)]


def test_the_command_with_the_model_that_ships(data: Path, tmp_path: Path) -> None:
    ran = chexnode("infer", data / "dicom", "--out", "out", "--device", "cpu", folder=tmp_path, seconds=280)
    assert ran.returncode == 2, ran.stderr
    assert "bad_cr_chest_nopixel_japanese.dcm: no_pixels" in ran.stderr
    found = {Path(each["path"]).stem: each for each in json.loads((tmp_path / "out" / "findings.json").read_text())}
    assert len(found) == 12
    # a film that is tagged as its own negative is shown as one, and looks like none
    negative = found.pop("siim_cr_fake_mono1")
    assert negative["reason"].startswith("looks_unlike_a_frontal_chest")
    for name, each in found.items():
        expected = "declined" if name.startswith("neg_") else "unreadable" if name.startswith("bad_") else "analysed"
        assert each["status"] == expected, name
    masses = found["rg1_chest_mono1_jpegls_near"]
    assert (tmp_path / masses["outputs"]["seg"]).is_file()


@pytest.mark.parametrize("threshold", ["0", "1", "much"])
def test_a_threshold_that_is_none(run: RunCommand, tmp_path: Path, threshold: str) -> None:
    (tmp_path / "a.dcm").write_bytes(b"x")
    result = run("infer", "a.dcm", "--out", "out", "--threshold", threshold)
    assert result.exit_code == 2
    assert "threshold" in result.output


def test_an_empty_folder_is_said(run: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no file in empty: nothing was analysed"):
        run("infer", "empty", "--out", "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_is_said(run: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="no model at nowhere"):
        run("infer", "a.dcm", "--out", "out", "--model", "nowhere")
    assert not (tmp_path / "out").exists()
