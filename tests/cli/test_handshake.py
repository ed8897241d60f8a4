"""`chexnode doctor --handshake`: asks before it stores, tells what it found, and writes a sheet."""

import json
from pathlib import Path

import pytest
from click.exceptions import UsageError

from dicom_node.doctor import Health, peers, specimen
from dicom_node.errors import NotFound
from tests.cli.conftest import Run
from tests.deliver.node import peer, settings_of
from tests.deliver.web import StoreService
from tests.peers import free_port, storescp
from tests.site import configure

pytestmark = pytest.mark.peer


def test_a_person_agrees_and_gets_everything_said(run: Run, tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, folder):
        configure(tmp_path, archive_port=port)
        result = run("doctor", "--handshake", "archive", "--sheet", "sheet.txt", answers="y\n")
        assert len(list(folder.iterdir())) == 3
    assert result.exit_code == 0, result.output
    assert "Store a test study (3 objects, patient CHEXNODE^TEST, ID CHEXNODE-TEST) in archive?" in result.output
    for said in ("ok       C-ECHO", "ok       store SEG", "read status", specimen.STUDY_INSTANCE_UID, "sheet.txt"):
        assert said in result.output
    assert "result         PASSED" in (tmp_path / "sheet.txt").read_text()


@pytest.mark.parametrize("answers", ["n\n", ""])
def test_whoever_does_not_agree_stores_nothing(run: Run, tmp_path: Path, answers: str) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, folder):
        configure(tmp_path, archive_port=port)
        result = run("doctor", "--handshake", "archive", "--sheet", "sheet.txt", answers=answers)
        assert list(folder.iterdir()) == []
    assert result.exit_code == 1
    assert "negotiate SEG" in result.output
    assert "To delete the test study" not in result.output
    assert "nothing was sent" in (tmp_path / "sheet.txt").read_text()


def test_a_program_gets_json_and_stores_only_with_yes(run: Run, tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, folder):
        configure(tmp_path, archive_port=port)
        looked = run("doctor", "--handshake", "archive", "--json")
        assert list(folder.iterdir()) == []
        sent = run("doctor", "--handshake", "archive", "--json", "--yes")
    assert (looked.exit_code, sent.exit_code) == (1, 0)
    whats = [check["what"] for check in json.loads(sent.stdout)]
    assert [check["what"] for check in json.loads(looked.stdout)] == whats[: whats.index("store image")]


def test_a_failure_is_the_exit_code(run: Run, tmp_path: Path) -> None:
    configure(tmp_path, archive_port=free_port())
    result = run("doctor", "--handshake", "archive", "--yes")
    assert result.exit_code == 1
    assert "failed   store image" in result.output


def test_a_destination_that_nobody_configured(run: Run, tmp_path: Path) -> None:
    configure(tmp_path)
    with pytest.raises(NotFound, match="there are: archive"):
        run("doctor", "--handshake", "pacs")


def test_a_sheet_without_a_handshake_is_a_mistake(run: Run, tmp_path: Path) -> None:
    result = run("doctor", "--sheet", "sheet.txt")
    assert result.exit_code == UsageError.exit_code
    assert "--handshake" in result.output


def test_the_doctor_asks_dicomweb_services_too(tmp_path: Path) -> None:
    web = {"name": "web", "mode": "hold", "transport": "stow-rs"}
    with StoreService() as service:
        settings = settings_of(tmp_path, {**web, "dicomweb_url": service.url}, peer("archive", free_port()))
        found = {check.what: check for check in peers.checks(settings)}
    assert found["DICOMweb web"].health is Health.WARNING
    assert "cannot be searched" in found["DICOMweb web"].advice
    assert found["peer archive"].health is Health.FAILED
    gone = settings_of(tmp_path, {**web, "dicomweb_url": service.url})
    (check,) = peers.checks(gone)
    assert check.health is Health.FAILED
    assert "Connection refused" in check.said
