"""dciodvfy (David Clunie's dicom3tools, Debian's package) finds no error in any object.

Known limits of dicom3tools 2022-06-18, none of which is met here: it does not know LABELMAP; it takes a malformed
value that a source brought along, and that the result repeats on purpose, for an error of the result. Its warnings
(retired attributes of a source, attributes beyond the IOD) are not judged.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.domain import EncodedResult, Kind, Profile
from dicom_node.encode.identity import header_of
from tests.encode.sources import ALL, KINDS, MAKERS, SCRIPTS, bare, encode, film, finding, full, header

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        shutil.which("dciodvfy") is None,
        reason="dciodvfy is not installed: apt-get install --no-install-recommends dicom3tools",
    ),
]

FINDINGS = (finding(20, 10, confidence=0.8), finding(50, 30, 1, 1, confidence=0.3))


def complaints(result: EncodedResult, folder: Path) -> list[str]:
    """The errors that dciodvfy names."""
    path = folder / f"{result.profile}-{result.kind}.dcm"
    path.write_bytes(result.data)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False, errors="replace")
    lines = said.stderr.splitlines()
    assert {"Segmentation", "SCImage"} & set(lines), said.stderr
    return [line for line in lines if line.startswith("Error")]


def judge(dataset: Dataset, folder: Path) -> dict[str, list[str]]:
    of = header(dataset)
    return {
        f"{profile} {kind}": complaints(encode(kind, profile, of=of, findings=FINDINGS), folder)
        for profile, kind in ALL
    }


NO_ERROR = {f"{profile} {kind}": [] for profile, kind in ALL}


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("maker", MAKERS)
def test_a_source_that_says_everything(maker: str, photometric: str, tmp_path: Path) -> None:
    assert judge(full(maker, PhotometricInterpretation=photometric), tmp_path) == NO_ERROR


@pytest.mark.parametrize("maker", MAKERS)
def test_a_source_that_says_next_to_nothing(maker: str, tmp_path: Path) -> None:
    assert judge(bare(maker), tmp_path) == NO_ERROR


@pytest.mark.parametrize("script", SCRIPTS)
def test_names_in_any_script(script: str, tmp_path: Path) -> None:
    assert judge(full(script=script), tmp_path) == NO_ERROR


@pytest.mark.parametrize(
    "attributes",
    [
        {"Laterality": None, "ImageLaterality": "L"},
        {"PixelSpacing": None},
        {"PixelSpacing": [0, 0], "ImagerPixelSpacing": None},
        {"FrameOfReferenceUID": None},
        {"PatientOrientation": ["L", "X"]},
        {"PatientOrientation": None},
        {"LossyImageCompression": "01", "LossyImageCompressionRatio": 9, "LossyImageCompressionMethod": "ISO_14495_1"},
        {"LossyImageCompression": "01"},
        {"Manufacturer": None},
        {"Manufacturer": ""},
    ],
    ids=str,
)
def test_with_and_without(attributes: dict[str, object], tmp_path: Path) -> None:
    dataset = full()
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    assert judge(dataset, tmp_path) == NO_ERROR


def test_nothing_found(tmp_path: Path) -> None:
    for profile in Profile:
        assert complaints(encode(Kind.SC, profile, of=header(full()), findings=()), tmp_path) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (513, 401), (4300, 3500)])
def test_any_size(shape: tuple[int, int], tmp_path: Path) -> None:
    for kind in KINDS:
        result = encode(kind, Profile.OHIF, of=header(full()), pixels=film(*shape), findings=(finding(0, 0, 1, 1),))
        assert complaints(result, tmp_path) == []


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "rg1_chest_mono1_jpegls_near",
        "siim_cr_fake_mono1",
        "bad_cr_chest_nopixel_japanese",
        "nih_dx_implicitle_8bit",
        "cr_chest_mono1_10bit_440",
    ],
)
def test_a_real_source_brings_its_own_errors_and_we_add_none(name: str, data: Path, tmp_path: Path) -> None:
    path = data / "dicom" / f"{name}.dcm"
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False, errors="replace")
    brought = {line for line in said.stderr.splitlines() if line.startswith("Error")}
    of = header_of(dcmread(path, stop_before_pixels=True))
    for profile, kind in ALL:
        assert set(complaints(encode(kind, profile, of=of, findings=FINDINGS), tmp_path)) <= brought


def test_the_validator_sees_an_error_where_there_is_one(tmp_path: Path) -> None:
    result = encode(Kind.SC, of=header(full()))
    broken = result.data.replace(b"DERIVED\\SECONDARY", b"DERIVED\\SECONDARx")
    assert broken != result.data
    path = tmp_path / "broken.dcm"
    path.write_bytes(broken)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    assert "Error" in said.stderr
