"""A whole run of the node, good days and bad ones in it: its log holds no value of what was sent, its files are shut.

The audit trail is another matter: it names studies and patients, as the standard asks, to whoever may read it.
"""

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_node.cli.template import configuration
from dicom_node.demo import studies
from tests.audit.reading import Told, told
from tests.peers import echoed, echoscu, free_port, storescp, storescu
from tests.waiting import wait_for

#: seconds; the node loads torch, and the machine may be busy
PATIENCE = 120
_TEXTS = frozenset(("AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT"))
#: texts of the films that say nothing of a patient, and that a log may hold for another reason
_HARMLESS = frozenset(("1.2.840.10008", "CHEXNODE", "chexnomaly"))


class Site:
    """The node as a process of its own, an archive that takes its results, and what it logs."""

    def __init__(self, folder: Path, archive_port: int) -> None:
        self.port = free_port()
        self.folder = folder / "data"
        self.audit = folder / "audit.xml"
        self._log = folder / "serve.log"
        config = folder / "chexnode.toml"
        peer = {
            "name": "archive",
            "ae_title": "ARCHIVE",
            "host": "127.0.0.1",
            "port": archive_port,
            "sends": True,
            "results_to": ("archive",),
            "mode": "send",
        }
        sections = {
            "node": {"folder": self.folder, "log_level": "debug"},
            "receive": {"port": self.port, "low_watermark": 0, "max_object_size": 64 << 20},
            "conclude": {"quiet_period": 2},
            "audit": {"file": self.audit},
        }
        config.write_text(configuration(sections, peer), encoding="utf-8")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dicom_node", "serve", "--config", str(config)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def told(self) -> list[Told]:
        return [told(line) for line in self.audit.read_text().splitlines()] if self.audit.exists() else []


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    with storescp(tmp_path / "archive", called="ARCHIVE") as listening:
        yield listening


@pytest.fixture
def site(tmp_path: Path, archive: tuple[int, Path]) -> Iterator[Site]:
    site = Site(tmp_path, archive[0])
    yield site
    site.process.terminate()
    site.process.wait(60)


def test_no_value_of_what_was_sent_stands_in_the_log(site: Site, archive: tuple[int, Path], tmp_path: Path) -> None:
    sent = _films(tmp_path / "films")
    wait_for("the node to listen", lambda: "listening" in site.log(), seconds=PATIENCE)
    for dataset in sent.values():
        assert storescu(site.port, *_written(tmp_path, dataset), calling="ARCHIVE", options=["-R"]).returncode == 0
    again = sent["abnormal"]
    assert storescu(site.port, *_written(tmp_path, again), calling="ARCHIVE", options=["-R"]).returncode == 0
    again.PatientName, again.AccessionNumber = "Umbenannt^Ottokar", "ACC-CORRECTED-9"
    assert storescu(site.port, *_written(tmp_path, again), calling="ARCHIVE", options=["-R"]).returncode == 0
    _send_what_is_no_good(site, sent["clean"], tmp_path)
    assert not echoed(echoscu(site.port, calling="STRANGER"))

    wait_for("results of every film", lambda: len(list(archive[1].iterdir())) >= 3, seconds=PATIENCE)
    wait_for("the audit trail of what was sent", lambda: _sent(site.told()), seconds=PATIENCE)
    site.process.send_signal(signal.SIGTERM)
    assert site.process.wait(60) == 0

    log = site.log()
    for event in ("instance answered", "association rejected", '"stored"', '"unreadable"', "C000"):
        assert event in log, event
    results = [dcmread(path) for path in archive[1].iterdir()]
    found = {value for dataset in (*sent.values(), *results) for value in _values(dataset) if value in log}
    assert found == set()

    said = site.told()
    assert {each.kind for each in said if each.event == "110100"} == {"110120", "110121"}
    assert {each.objects["2"] for each in said if each.event == "110104"} >= {again.PatientID}
    open_to_others = [path for path in site.folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert open_to_others == []
    assert stat.S_IMODE(site.audit.stat().st_mode) == 0o600


def _films(folder: Path) -> dict[str, Dataset]:
    """Two chests that are read and a broken picture, each of a person with names that nobody else has."""
    folder.mkdir()
    shipped = studies.shipped(folder, datetime(2026, 5, 4, 11, 22, 33, tzinfo=UTC))
    films = {name: dcmread(each.images[0].path) for name, each in zip(("abnormal", "clean"), shipped, strict=False)}
    broken = dcmread(shipped[1].images[0].path)
    broken.SOPInstanceUID = broken.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    broken.StudyInstanceUID = generate_uid()
    broken.PixelData = broken.PixelData[:1000]
    films["broken"] = broken
    for name, film in films.items():
        film.PatientName = f"Geheimrat^Ottilie{name}"
        film.PatientID = f"PID-{name}-77123"
        film.PatientBirthDate, film.PatientAge = "19410203", "085Y"
        film.AccessionNumber = f"ACC-{name}"
        film.OtherPatientIDs = f"OTHER-{name}-5511"
        film.PatientComments = f"Kommentar zu {name}"
        film.ReferringPhysicianName = "Zuweiser^Balthasar"
        film.InstitutionName = "Klinikum Hinterwald"
        film.StudyID = f"ST{name}"[:16]
        film.StudyDescription = f"Thorax {name} Verlaufskontrolle"
    return films


def _send_what_is_no_good(site: Site, film: Dataset, folder: Path) -> None:
    """A data set without a study, and one that is another than the command says."""
    headless = dcmread(*_written(folder, film))
    headless.SOPInstanceUID = headless.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    del headless.StudyInstanceUID
    storescu(site.port, *_written(folder, headless), calling="ARCHIVE", options=["-R"])


def _written(folder: Path, dataset: Dataset) -> tuple[Path]:
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return (path,)


def _sent(said: list[Told]) -> bool:
    """Whether something was received and something delivered."""
    by = [participants[0][0] for each in said if each.event == "110104" and (participants := each.participants)]
    return "ARCHIVE" in by and "CHEXNODE" in by


def _values(dataset: Dataset) -> Iterator[str]:
    """Every text of a data set, nested ones too, that is long enough to be told from other text."""
    for element in dataset.iterall():
        if element.VR in _TEXTS and not element.tag.is_private:
            yield from (text for text in _texts(element) if len(text) >= 5 and not _is_harmless(text))


def _texts(element: DataElement) -> Iterator[str]:
    values = element.value if element.VM > 1 else [element.value]
    for value in values:
        yield str(value)
        if element.VR == "PN":
            yield from str(value).replace("=", "^").split("^")


def _is_harmless(text: str) -> bool:
    return any(text.startswith(harmless) for harmless in _HARMLESS)
