"""`chexnode send` against dcmtk's storescp: each file as it is, each failure by name."""

from pathlib import Path

import pydicom
import pytest

from dicom_node.errors import ConfigurationError, NotFound
from tests import datasets
from tests.cli.conftest import Run
from tests.cli.running import chexnode, put
from tests.peers import free_port, storescp
from tests.site import configure


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    for number in (1, 2):
        put(datasets.chest(SOPInstanceUID=f"1.2.{number}"), folder / "study", f"{number}.dcm")
    return folder


@pytest.mark.peer
def test_a_folder_arrives_octet_for_octet(films: Path, tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, got):
        ran = chexnode("send", films, "--to", f"ARCHIVE@127.0.0.1:{port}", folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"2 of 2 files stored by ARCHIVE at 127.0.0.1:{port}, called as CHEXNODE." in ran.stdout
    sent = {datasets.data_set_bytes(pydicom.dcmread(file)) for file in films.rglob("*.dcm")}
    arrived = [file.read_bytes() for file in got.iterdir()]
    assert len(arrived) == 2
    assert all(any(whole.endswith(data_set) for whole in arrived) for data_set in sent)


@pytest.mark.peer
def test_each_failure_is_named(run: Run, films: Path, tmp_path: Path) -> None:
    (films / "notes.txt").write_text("no DICOM file")
    (films / "broken.dcm").symlink_to("nowhere")
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, got):
        result = run("send", films, "--to", f"ARCHIVE@127.0.0.1:{port}", "--calling", "ME")
        assert len(list(got.iterdir())) == 2
    assert result.exit_code == 1
    assert "2 of 4 files stored" in result.output
    assert "broken.dcm: it is a link to a file that does not exist" in result.output
    assert "notes.txt: not_dicom" in result.output
    assert result.output.count("not stored: ") == 2


@pytest.mark.peer
def test_a_peer_is_called_by_its_name(run: Run, films: Path, tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, got):
        configure(tmp_path, archive_port=port)
        result = run("send", films / "study" / "1.dcm", "--to", "archive")
        assert len(list(got.iterdir())) == 1
    assert result.exit_code == 0, result.output


def test_nobody_there(run: Run, films: Path) -> None:
    result = run("send", films, "--to", f"ARCHIVE@127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert result.output.count("not stored: ") == 2
    assert "cannot connect to ARCHIVE" in result.output
    assert "0 of 2 files stored" in result.output


@pytest.mark.parametrize(
    ("to", "error"),
    [
        ("ARCHIVE@127.0.0.1", "AE@HOST:PORT"),
        ("ARCHIVE@127.0.0.1:0", "AE@HOST:PORT"),
        ("ARCHIVE@:104", "AE@HOST:PORT"),
        ("SEVENTEEN LETTERS@127.0.0.1:104", "AE title"),
    ],
)
def test_addresses_that_make_no_sense(run: Run, films: Path, to: str, error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        run("send", films, "--to", to)


def test_a_peer_that_is_not_configured(run: Run, films: Path, tmp_path: Path) -> None:
    configure(tmp_path)
    with pytest.raises(NotFound, match="there are: archive"):
        run("send", films, "--to", "archvie")


def test_nothing_to_send(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no file in empty"):
        run("send", "empty", "--to", "ARCHIVE@127.0.0.1:104")
