"""Storage Commitment with Orthanc: it commits to the node's results, and asks the node to commit to images."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Site
from films import abnormal
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from results import wait_for_results

from tests.waiting import wait_for


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose node asks the archive for commitment, and may be asked by it."""
    site = Site(tmp_path_factory.mktemp("committing"))
    file: Path = site.node.configuration
    text = file.read_text()
    text = text.replace("sends = true\n", f"sends = true\nport = {site.orthanc.dicom_port}\nasks_commitment = true\n")
    file.write_text(text.replace('mode = "send"\n', 'mode = "send"\ncommitment = true\n'))
    try:
        site.start()
        yield site
    finally:
        site.stop()


def test_orthanc_commits_to_what_it_stored(site: Site) -> None:
    source = abnormal()
    site.orthanc.upload(source)
    wait_for_results(site.orthanc, source.StudyInstanceUID, segs=1, overlays=1)

    def states() -> set[str]:
        [study] = site.node.status("--study", source.StudyInstanceUID)["studies"]
        return {each["state"] for each in study["deliveries"]}

    wait_for("Orthanc to report", lambda: states() == {"committed"}, seconds=60, every=0.5)


def test_the_node_commits_to_what_it_holds_and_to_nothing_else(site: Site) -> None:
    source = abnormal()
    site.orthanc.upload(source)
    wait_for_results(site.orthanc, source.StudyInstanceUID, segs=1, overlays=1)
    never = generate_uid()
    report = _asked(site, source, (source.SOPClassUID, never))
    assert report["Status"] == "Failure"
    assert [each["SOPInstanceUID"] for each in report["Success"]] == [source.SOPInstanceUID]
    [failure] = report["Failures"]
    assert (failure["SOPInstanceUID"], failure["FailureReason"]) == (never, 0x0112), failure
    assert _asked(site, source)["Status"] == "Success"


def _asked(site: Site, held: Dataset, *more: tuple[str, str]) -> dict[str, Any]:
    """What the node reports to Orthanc about these instances."""
    instances = [[held.SOPClassUID, held.SOPInstanceUID], *map(list, more)]
    request = json.dumps({"DicomInstances": instances}).encode()
    path = json.loads(site.orthanc._ask("/modalities/chexnode/storage-commitment", request))["Path"]

    def report() -> dict[str, Any] | None:
        found: dict[str, Any] = site.orthanc.get(path)
        return None if found["Status"] == "Pending" else found

    return wait_for("the node's report", report, seconds=60, every=0.5)
