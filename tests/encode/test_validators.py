"""Three validators find no error in any object of any profile; what is wrong with them themselves: see `validators`."""

import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.domain import Kind, Profile
from dicom_node.encode.identity import header_of
from tests.encode.sources import ALL, KINDS, MAKERS, SCRIPTS, bare, encode, film, finding, full, header, read
from tests.encode.validators import dciodvfy, dcmpschk, module_errors, needs

FINDINGS = (finding(20, 10, confidence=0.8), finding(50, 30, 1, 1, confidence=0.3))

peer = pytest.mark.peer
needs_dciodvfy = needs("dciodvfy", "dicom3tools")
needs_dcmpschk = needs("dcmpschk", "dcmtk")

#: sources, each built anew for each test
SOURCES = {
    **{
        f"{maker} {photometric} with everything": (full, maker, {"PhotometricInterpretation": photometric})
        for maker in MAKERS
        for photometric in ("MONOCHROME1", "MONOCHROME2")
    },
    **{
        f"{maker} {photometric} with next to nothing": (bare, maker, {"PhotometricInterpretation": photometric})
        for maker in MAKERS
        for photometric in ("MONOCHROME1", "MONOCHROME2")
    },
    **{f"names in {script}": (full, "DX", {"script": script}) for script in SCRIPTS},
    "without frame of reference": (full, "DX", {"FrameOfReferenceUID": None}),
    "without spacing": (full, "DX", {"PixelSpacing": None, "ImagerPixelSpacing": None}),
    "of a detector's spacing": (full, "DX", {"PixelSpacing": None}),
    "of no believable spacing": (full, "DX", {"PixelSpacing": [0, 0], "ImagerPixelSpacing": None}),
    "without laterality": (full, "DX", {"Laterality": None, "ImageLaterality": "L"}),
    "of an orientation that is none": (full, "DX", {"PatientOrientation": ["L", "X"]}),
    "without orientation": (full, "DX", {"PatientOrientation": None}),
    "once lossy": (
        full,
        "DX",
        {
            "LossyImageCompression": "01",
            "LossyImageCompressionRatio": 9,
            "LossyImageCompressionMethod": "ISO_14495_1",
        },
    ),
    "lossy, not said how": (full, "DX", {"LossyImageCompression": "01"}),
    "without manufacturer": (full, "DX", {"Manufacturer": None}),
    "of an empty manufacturer": (full, "DX", {"Manufacturer": ""}),
    "without a window": (full, "DX", {"WindowCenter": None, "WindowWidth": None}),
}  # fmt: skip


def made(name: str) -> Dataset:
    """What leaves the child of one of the SOURCES."""
    make, maker, attributes = SOURCES[name]
    dataset = make(maker, script=attributes["script"]) if "script" in attributes else make(maker)
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        elif keyword != "script":
            setattr(dataset, keyword, value)
    return header(dataset)


def judged(of: Dataset, folder: Path) -> dict[str, list[str]]:
    return {
        f"{profile} {kind}": dciodvfy(encode(kind, profile, of=of, findings=FINDINGS).data, folder)
        for profile, kind in ALL
    }


NO_ERROR: dict[str, list[str]] = {f"{profile} {kind}": [] for profile, kind in ALL}


@peer
@needs_dciodvfy
@pytest.mark.parametrize("source", SOURCES)
def test_dciodvfy_finds_no_error(source: str, tmp_path: Path) -> None:
    assert judged(made(source), tmp_path) == NO_ERROR


@pytest.mark.parametrize("source", SOURCES)
def test_the_tables_of_the_standard_hold(source: str) -> None:
    of = made(source)
    for profile, kind in ALL:
        result = encode(kind, profile, of=of, findings=FINDINGS)
        assert module_errors(result, read(result)) == [], f"{profile} {kind}"


@peer
@needs_dcmpschk
@pytest.mark.parametrize("source", SOURCES)
def test_dcmpschk_finds_no_error(source: str, tmp_path: Path) -> None:
    state = encode(Kind.GSPS, Profile.CLASSIC_PACS, of=made(source), findings=FINDINGS)
    assert dcmpschk(state.data, tmp_path) == []


@peer
@needs_dciodvfy
def test_nothing_found(tmp_path: Path) -> None:
    for profile, kind in ALL:
        if kind is Kind.SC:
            result = encode(kind, profile, of=header(full()), findings=())
            assert dciodvfy(result.data, tmp_path) == []
            assert module_errors(result, read(result)) == []


@peer
@needs_dciodvfy
@needs_dcmpschk
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (513, 401), (4300, 3500)])
def test_any_size(shape: tuple[int, int], tmp_path: Path) -> None:
    found = (finding(0, 0, 1, 1), finding(shape[0] - 1, shape[1] - 1, 1, 1))
    for kind in KINDS:
        result = encode(kind, Profile.SLICER, of=header(full()), pixels=film(*shape), findings=found)
        if kind is Kind.GSPS:
            assert dcmpschk(result.data, tmp_path) == []
        if kind is not Kind.GSPS or shape != (1, 1):
            assert dciodvfy(result.data, tmp_path) == []


@pytest.mark.data
@peer
@needs_dciodvfy
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
        assert set(dciodvfy(encode(kind, profile, of=of, findings=FINDINGS).data, tmp_path)) <= brought


@peer
@needs_dciodvfy
@needs_dcmpschk
def test_each_validator_sees_an_error_where_there_is_one(tmp_path: Path) -> None:
    capture = encode(Kind.SC)
    assert dciodvfy(_changed(capture.data, b"DERIVED\\SECONDARY", b"DERIVED\\SECONDARx"), tmp_path)
    state = encode(Kind.GSPS, Profile.CLASSIC_PACS)
    assert dcmpschk(_changed(state.data, b"IDENTITY", b"IDENTITX"), tmp_path)
    for result, keyword in (
        (capture, "ConversionType"),
        (state, "DisplayedAreaSelectionSequence"),
        (state, "ContentLabel"),
    ):
        broken = read(result)
        delattr(broken, keyword)
        assert len(module_errors(result, broken)) == 1
    broken = read(state)
    broken.PixelSpacing = [1, 1]
    assert "PixelSpacing is in no module" in module_errors(state, broken)[0]


def _changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)
