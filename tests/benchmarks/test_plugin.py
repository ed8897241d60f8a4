"""The Orthanc plugin that the node is compared with: it must do all of the work, or the comparison is none."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.archive import Archive, plugin_missing
from benchmarks.films import write
from benchmarks.serving import ARCHIVE, CALLING
from dicom_node.demo.chest import chest
from dicom_node.demo.studies import ABNORMAL, ABNORMAL_SEED, CLEAN_SEED

pytestmark = [
    pytest.mark.skipif(bool(plugin_missing()), reason=plugin_missing() or "it is there"),
    # Orthanc loads torch and the model before it answers
    pytest.mark.timeout(400),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with Archive(tmp_path_factory.mktemp("plugin") / "orthanc", threads=1) as archive:
        yield archive


def test_a_marked_film_gets_both_objects_before_its_response_and_a_clean_one_its_secondary_capture(
    archive: Archive, tmp_path: Path
) -> None:
    _store(archive, write(tmp_path, chest(ABNORMAL_SEED, ABNORMAL), 1))
    assert sorted(archive.modalities()) == ["DX", "OT", "SEG"], archive.log.read_text()
    _store(archive, write(tmp_path, chest(CLEAN_SEED), 2))
    assert sorted(archive.modalities()) == ["DX", "DX", "OT", "OT", "SEG"], archive.log.read_text()
    # its own results came in too, and were no chests to it
    assert [set(stages) for stages in archive.analysed()] == [{"parse", "film", "predict", "encode", "store"}] * 2
    assert "was not analysed" not in archive.log.read_text()


def _store(archive: Archive, path: Path) -> None:
    command = ["storescu", "-R", "-aet", CALLING, "-aec", ARCHIVE, "127.0.0.1", str(archive.port), str(path)]
    subprocess.run(command, check=True, timeout=200)
