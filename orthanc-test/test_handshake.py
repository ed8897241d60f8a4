"""`chexnode doctor --handshake` against a real Orthanc, by C-STORE and by STOW-RS: everything passes, twice."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from orthanc import Orthanc
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from dicom_node.doctor import specimen
from dicom_node.domain import Profile
from tests.peers import free_port

CONFIGURATION = """
[node]
ae_title = "CHEXNODE"
folder = "{folder}"

[[peers]]
name = "orthanc"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {port}
mode = "hold"
profile = "{profile}"
transport = "{transport}"
dicomweb_url = "http://127.0.0.1:{http_port}/dicom-web"
"""


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    # nobody listens where it would route to: its jobs fail, and nothing here depends on them
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"), free_port())
    orthanc.start()
    yield orthanc
    orthanc.stop()


def handshake(
    orthanc: Orthanc, folder: Path, *options: str, profile: Profile, transport: str = "c-store", more: str = ""
) -> "subprocess.CompletedProcess[str]":
    configuration = folder / "chexnode.toml"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder / "data",
            port=orthanc.dicom_port,
            http_port=orthanc.http_port,
            profile=profile.value,
            transport=transport,
        )
        + more
    )
    command = [sys.executable, "-m", "dicom_node", "doctor", "--config", str(configuration)]
    return subprocess.run(
        [*command, "--handshake", "orthanc", *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        input="",
    )


@pytest.mark.parametrize(
    ("profile", "transport"),
    [*((profile, "c-store") for profile in Profile), (Profile.OHIF, "stow-rs"), (Profile.CLASSIC_PACS, "stow-rs")],
)
def test_every_profile_passes(orthanc: Orthanc, tmp_path: Path, profile: Profile, transport: str) -> None:
    orthanc.delete_study(specimen.STUDY_INSTANCE_UID)
    done = handshake(orthanc, tmp_path, "--yes", "--json", profile=profile, transport=transport)
    checks = json.loads(done.stdout)
    assert {check["what"] for check in checks if check["health"] != "ok"} == set()
    assert done.returncode == 0
    said = {check["what"]: check["said"] for check in checks}
    objects = [what.removeprefix("store ") for what in said if what.startswith("store ")]
    assert objects[0] == "image"
    for how in ("WADO-RS", "C-GET"):
        assert all(said[f"{how} {name}"] == "comes back identical" for name in objects)
    assert said["QIDO-RS"] == f"all {len(objects)} objects are found"
    if transport == "c-store":
        assert said["C-FIND"] == said["QIDO-RS"]
        assert any(what.startswith("negotiate ") for what in said)


def test_a_picture_that_it_cannot_decode_is_found_out_and_what_helps_helps(tmp_path: Path) -> None:
    """Orthanc takes JPEG 2000, which it cannot decode without a further plugin."""
    syntaxes = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000Lossless)
    archive = Orthanc(tmp_path / "orthanc", free_port(), routes=False, syntaxes=syntaxes)
    archive.start()
    try:
        done = handshake(archive, tmp_path, "--yes", profile=Profile.SC_ONLY)
        assert "warning  draw SC" in done.stdout
        assert "set compress = false" in done.stdout
        archive.delete_study(specimen.STUDY_INSTANCE_UID)
        done = handshake(archive, tmp_path, "--yes", profile=Profile.SC_ONLY, more="compress = false")
        assert "ok       draw SC" in done.stdout
    finally:
        archive.stop()


def test_a_second_handshake_stores_nothing_twice(orthanc: Orthanc, tmp_path: Path) -> None:
    for _ in range(2):
        assert handshake(orthanc, tmp_path, "--yes", profile=Profile.OHIF).returncode == 0
    held = [str(each.SOPInstanceUID) for each in orthanc.instances(specimen.STUDY_INSTANCE_UID)]
    assert len(held) == len(set(held))
    patients = {str(each.PatientID) for each in orthanc.instances(specimen.STUDY_INSTANCE_UID)}
    assert patients == {specimen.PATIENT_ID}


def test_nothing_is_stored_unless_somebody_agrees(orthanc: Orthanc, tmp_path: Path) -> None:
    orthanc.delete_study(specimen.STUDY_INSTANCE_UID)
    sheet = tmp_path / "sheet.txt"
    done = handshake(orthanc, tmp_path, "--sheet", str(sheet), profile=Profile.STRICT)
    assert done.returncode == 1
    assert "Store a test study" in done.stderr
    assert "NOT FINISHED: nothing was sent" in sheet.read_text()
    assert orthanc.instances(specimen.STUDY_INSTANCE_UID) == []


def test_the_sheet_is_what_a_ticket_needs(orthanc: Orthanc, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.txt"
    done = handshake(orthanc, tmp_path, "--yes", "--sheet", str(sheet), profile=Profile.CLASSIC_PACS)
    assert done.returncode == 0, done.stdout
    text = sheet.read_text()
    assert "result         PASSED" in text
    assert f"ORTHANC at 127.0.0.1:{orthanc.dicom_port}" in text
    assert "     yes  Explicit VR Little Endian" in text
    assert "read status" in text
    assert specimen.STUDY_INSTANCE_UID in text
    assert all(line.isascii() and len(line) <= 100 for line in text.splitlines())
