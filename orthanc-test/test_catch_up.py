"""`chexnode catch-up` at a real archive that was fed while the node was away."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Site
from films import abnormal, another_image, clean
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid
from results import wait_for_results

from dicom_node.peer import Ask
from tests.waiting import wait_for

#: one more destination, which nobody's results_to names
RESEARCH = """
[[peers]]
name = "research"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {port}
mode = "hold"
profile = "strict"
"""


@pytest.fixture(scope="module", params=[Ask.FIND, Ask.QIDO], ids=str)
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An archive that sends nothing by itself, and a node that runs."""
    site = Site(tmp_path_factory.mktemp("behind"), routes=False)
    url = f"http://127.0.0.1:{site.orthanc.http_port}/dicom-web"
    asks = f'mode = "send"\nask = "{request.param}"\ndicomweb_url = "{url}"'
    text = site.node.configuration.read_text().replace('mode = "send"', asks)
    site.node.configuration.write_text(text + RESEARCH.format(port=site.orthanc.dicom_port))
    try:
        site.start()
        yield site
    finally:
        site.stop()


def on(day: str, dataset: Dataset, time: str = "120000") -> Dataset:
    dataset.StudyDate, dataset.StudyTime = day, time
    return dataset


def catch_up(site: Site, since: str, until: str, *options: str, to: str = "ohif") -> str:
    told = site.node.run("catch-up", "--since", since, "--until", until, "--from", "ohif", "--to", to, *options)
    return " ".join(told.split())


def known(site: Site) -> dict[str, Any]:
    """Studies of the node, by UID."""
    return {each["study"]["study_instance_uid"]: each for each in site.node.status()["studies"]}


def test_what_was_never_seen_is_counted_fetched_once_and_delivered(behind: Site) -> None:
    seen, unseen, other_day, ct = (on(f"2001030{day}", abnormal()) for day in (1, 1, 3, 1))
    ct.SOPClassUID = ct.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ct.Modality = "CT"
    late = on("20010301", clean(), "183000")
    for each in (seen, unseen, other_day, ct, late):
        behind.orthanc.upload(each)
    behind.orthanc.upload(another_image(unseen))
    behind.orthanc.route_again(seen.StudyInstanceUID)
    wait_for("what is seen", lambda: seen.StudyInstanceUID in known(behind), seconds=60, every=0.5)
    window = ("2001-03-01", "2001-03-01 18:00")
    counted = catch_up(behind, *window, "--dry-run")
    assert "2 studies with images to be read: 1 seen whole, 0 in part, 1 not at all." in counted
    assert "Would fetch 2 images from ohif for ohif" in counted
    assert set(known(behind)) == {seen.StudyInstanceUID}
    assert "2 images came in" in catch_up(behind, *window, "--yes", "--per-minute", "600")
    wait_for_results(behind.orthanc, unseen.StudyInstanceUID, segs=2, overlays=2, seconds=120)
    assert set(known(behind)) == {seen.StudyInstanceUID, unseen.StudyInstanceUID}
    # its own results lie in the archive by now: nothing of them is missed
    assert "Would fetch 0 images" in catch_up(behind, *window, "--yes")


def test_results_go_to_the_destination_that_is_named_and_nowhere_else(behind: Site) -> None:
    source = on("20010401", abnormal())
    study = source.StudyInstanceUID
    behind.orthanc.upload(source)
    catch_up(behind, "2001-04-01", "2001-04-02", "--yes", to="research")

    def concluded() -> bool:
        return study in known(behind) and known(behind)[study]["study"]["state"] == "concluded"

    wait_for("the study to be concluded", concluded, seconds=120, every=0.5)
    assert {(each["destination"], each["state"]) for each in known(behind)[study]["deliveries"]} == {
        ("research", "held")
    }


def test_what_a_study_lacks_is_fetched_and_goes_where_it_is_named(behind: Site) -> None:
    first = on("20010501", abnormal())
    study = first.StudyInstanceUID
    behind.orthanc.upload(first)
    behind.orthanc.route_again(study)
    wait_for_results(behind.orthanc, study, segs=1, overlays=1, seconds=120)
    second = another_image(first)
    behind.orthanc.upload(second)
    told = catch_up(behind, "2001-05-01", "2001-05-02", "--yes", to="research")
    assert "0 seen whole, 1 in part, 0 not at all" in told
    assert re.search(r"\b1 image came in", told)

    def again() -> bool:
        return bool(
            known(behind)[study]["study"]["revision"] == 2 and known(behind)[study]["study"]["state"] == "concluded"
        )

    wait_for("the second revision", again, seconds=120, every=0.5)
    images = [each for each in known(behind)[study]["deliveries"] if each["kind"] in ("seg", "sc")]
    assert sorted(each["destination"] for each in images) == ["ohif", "ohif", "research", "research"]


def test_an_archive_without_such_studies_is_said_so(behind: Site) -> None:
    assert generate_uid() not in known(behind)
    assert "0 studies with images to be read" in catch_up(behind, "1999-01-01", "1999-01-02", "--dry-run")
