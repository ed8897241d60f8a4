"""3D Slicer's converter (dcmqi) reads the SEG of its profile back to the mask, at the pixels where the film has it."""

import gzip
import importlib.util
import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.findings import united_mask
from dicom_node.encode.tracking import tracking
from tests.encode.reports import FINDINGS, reading, report, reported
from tests.encode.sources import encode, film, finding, full, header

DCMQI = importlib.util.find_spec("dcmqi")

pytestmark = pytest.mark.skipif(DCMQI is None, reason="dcmqi is not installed: pip install dcmqi (Linux on x86-64)")


def program(name: str) -> str:
    """Where one of dcmqi's programs lies."""
    assert DCMQI is not None
    assert DCMQI.submodule_search_locations
    return str(Path(DCMQI.submodule_search_locations[0]) / "bin" / name)


def converted(
    profile: Profile, shape: tuple[int, int], findings: tuple[Finding, ...], folder: Path
) -> tuple[subprocess.CompletedProcess[str], list[NDArray[np.bool_]], list[dict[str, str]]]:
    """What the converter said, the mask of each segment (rows, columns), and what it read of each segment."""
    data = encode(Kind.SEG, profile, of=header(full()), pixels=film(*shape), findings=findings).data
    (folder / "seg.dcm").write_bytes(data)
    command = [
        program("segimage2itkimage"),
        "--inputDICOM",
        "seg.dcm",
        "--outputDirectory",
        ".",
        "--outputType",
        "nrrd",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if said.returncode != 0:
        return said, [], []
    told = [group[0] for group in json.loads((folder / "meta.json").read_text())["segmentAttributes"]]
    return said, [mask_of(folder / f"{n}.nrrd", shape) for n in range(1, len(told) + 1)], told


def mask_of(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The picture of an NRRD file of one slice; its geometry must be that of the film's own pixels."""
    head, _, packed = path.read_bytes().partition(b"\n\n")
    lines = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    assert lines["sizes"] == f"{shape[1]} {shape[0]} 1"
    assert lines["space"] == "left-posterior-superior"
    assert lines["space origin"] == "(0,0,0)"
    rows, columns = (
        tuple(map(float, part.split(","))) for part in lines["space directions"].strip("()").split(") (")[:2]
    )
    assert (rows, columns) == (pytest.approx((0.143, 0, 0)), pytest.approx((0, 0.143, 0)))
    assert (lines["type"], lines["encoding"], lines["endian"]) == ("short", "gzip", "little")
    return np.frombuffer(gzip.decompress(packed), "<i2").reshape(shape) != 0


@st.composite
def films_with_masks(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[Finding, ...]]:
    """A size, seldom divisible by 8, and one to three masks on it that may overlap."""
    rows, columns = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    findings = []
    for _ in range(draw(st.integers(1, 3))):
        height, width = draw(st.integers(1, rows)), draw(st.integers(1, columns))
        bits = draw(st.binary(min_size=height * width, max_size=height * width))
        mask = np.frombuffer(bits, np.uint8).reshape(height, width) > draw(st.sampled_from((0, 128, 254)))
        mask = mask.copy()
        mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
        findings.append(finding(draw(st.integers(0, rows - height)), draw(st.integers(0, columns - width)), mask=mask))
    return (rows, columns), tuple(findings)


@given(case=films_with_masks())
@settings(max_examples=25, deadline=None)
def test_each_finding_comes_back_as_its_mask(case: tuple[tuple[int, int], tuple[Finding, ...]]) -> None:
    shape, findings = case
    with TemporaryDirectory() as folder:
        said, masks, told = converted(Profile.SLICER, shape, findings, Path(folder))
    assert (said.returncode, said.stderr.strip()) == (0, "")
    assert len(masks) == len(findings)
    for mask, one in zip(masks, findings, strict=True):
        assert np.array_equal(mask, united_mask([one], shape))
    assert [segment["SegmentLabel"] for segment in told] == [f"Abnormality {n + 1}" for n in range(len(findings))]
    for segment in told:
        assert segment["SegmentAlgorithmType"] == "AUTOMATIC"
        assert all(0 <= int(value) <= 255 for value in segment["recommendedDisplayRGBValue"])


def test_a_large_film(tmp_path: Path) -> None:
    corner = (finding(4299, 3499, 1, 1), finding(0, 0, 100, 3500))
    _, masks, _ = converted(Profile.SLICER, (4300, 3500), corner, tmp_path)
    assert all(np.array_equal(mask, united_mask([one], (4300, 3500))) for mask, one in zip(masks, corner, strict=True))


def test_it_reads_the_one_segment_of_ohif_too_and_refuses_what_has_no_plane(tmp_path: Path) -> None:
    pair = (finding(20, 10), finding(22, 12))
    _, (mask,), _ = converted(Profile.OHIF, (64, 48), pair, tmp_path)
    assert np.array_equal(mask, united_mask(pair, (64, 48)))
    # why there is a profile for it: a radiograph has no plane in the patient, and `strict` invents none
    said, *_ = converted(Profile.STRICT, (64, 48), pair, tmp_path)
    assert said.returncode != 0
    assert "Plane Orientation (Patient) is missing" in said.stdout + said.stderr


def test_the_report_beside_it_is_read_too_and_tracks_the_same_findings(tmp_path: Path) -> None:
    (tmp_path / "sr.dcm").write_bytes(report(reported(), profile=Profile.SLICER).data)
    command = [program("tid1500reader"), "--inputDICOM", "sr.dcm", "--outputMetadata", "sr.json"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    told = json.loads((tmp_path / "sr.json").read_text())
    assert told["VerificationFlag"] == "UNVERIFIED"
    groups = told["Measurements"]
    assert len(groups) == len(FINDINGS)
    for number, (group, one) in enumerate(zip(groups, FINDINGS, strict=True), start=1):
        context = reading(1)
        tracked = tracking(
            number,
            input_digest=context.input_digest,
            model_digest=context.model_digest,
            parameters=context.parameters,
        )
        assert (group["TrackingIdentifier"], group["TrackingUniqueIdentifier"]) == (tracked.identifier, tracked.uid)
        assert group["Finding"]["CodeValue"] == "52988006"
        measured = {item["quantity"]["CodeMeaning"]: float(item["value"]) for item in group["measurementItems"]}
        assert measured["Certainty of Finding"] == pytest.approx(one.confidence * 100)
        assert measured.get("Area") == (None if one.area_mm2 is None else pytest.approx(one.area_mm2))
