"""The last look at a real archive: a study that is changed there between its analysis and its delivery."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Site
from films import abnormal
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from results import held, references, wait_for_results

from dicom_node.peer import Ask
from tests.waiting import wait_for


@pytest.fixture(scope="module", params=[Ask.FIND, Ask.QIDO], ids=str)
def asking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An archive that sends what it is told to, and a node that asks it before each delivery; results are held."""
    site = Site(tmp_path_factory.mktemp("asking"), routes=False)
    configuration = site.node.configuration
    url = f"http://127.0.0.1:{site.orthanc.http_port}/dicom-web"
    # the peer that is asked over the web has no address for C-MOVE: what was changed is had by WADO-RS
    asked = "orthanc" if request.param is Ask.FIND else "web"
    asks = f'mode = "hold"\nask = "{request.param}"\nask_peer = "{asked}"'
    web = f'[[peers]]\nname = "web"\ndicomweb_url = "{url}"\n'
    text = configuration.read_text().replace("sends = true", f"sends = true\nport = {site.orthanc.dicom_port}")
    configuration.write_text(text.replace('mode = "send"', asks) + web)
    try:
        site.start()
        yield site
    finally:
        site.stop()


def deliveries(site: Site, study: str) -> list[dict[str, Any]]:
    """Every delivery of a study's results, as `status` tells of it."""
    [known] = site.node.status("--study", study)["studies"]
    return list(known["deliveries"])


def states(site: Site, study: str) -> set[str]:
    return {each["state"] for each in deliveries(site, study)}


def errors(site: Site, study: str) -> set[str]:
    return {each["last_error"] for each in deliveries(site, study) if each["state"] != "abandoned"}


def all_wait(site: Site, study: str, why: str) -> bool:
    """Whether every delivery has been tried and waits for its next turn."""
    each = deliveries(site, study)
    return all(one["state"] == "pending" and why in (one["last_error"] or "") for one in each)


def analysed(site: Site) -> Dataset:
    """A film that the archive has, and whose results are ready and held."""
    source = abnormal()
    source.PatientID, source.AccessionNumber = f"BEFORE-{source.StudyInstanceUID[-8:]}", "BEFORE"
    site.orthanc.upload(source)
    site.orthanc.route_again(source.StudyInstanceUID)
    ready(site, source.StudyInstanceUID)
    return source


def ready(site: Site, study: str) -> None:
    def is_held() -> bool:
        known = site.node.status()["studies"]
        found = [each for each in known if each["study"]["study_instance_uid"] == study]
        return bool(found) and "held" in {each["state"] for each in found[0]["deliveries"]}

    wait_for("results to be held", is_held, seconds=120, every=0.5)


def release(site: Site, study: str) -> None:
    site.node.run("release", "--study", study)


def until(what: str, condition: Callable[[], object]) -> None:
    wait_for(what, condition, seconds=120, every=0.5)


def test_what_stands_as_it_stood_is_delivered(asking: Site) -> None:
    study = analysed(asking).StudyInstanceUID
    release(asking, study)
    until("every delivery", lambda: states(asking, study) == {"stored"})
    wait_for_results(asking.orthanc, study, segs=1, overlays=1)


def test_a_study_that_was_deleted_is_not_made_again_and_waited_for(asking: Site) -> None:
    source = analysed(asking)
    study = source.StudyInstanceUID
    asking.orthanc.delete_study(study)
    release(asking, study)
    until("the last look at all of them", lambda: all_wait(asking, study, "does not have its study"))
    assert not asking.orthanc.has_study(study)
    asking.orthanc.upload(source)
    until("every delivery", lambda: states(asking, study) == {"stored"})


def test_an_image_that_was_deleted_is_missed_though_its_study_is_there(asking: Site) -> None:
    source = analysed(asking)
    study = source.StudyInstanceUID
    asking.orthanc.delete_study(study)
    other = copy.deepcopy(source)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    asking.orthanc.upload(other)
    release(asking, study)
    until("the last look", lambda: any("does not have its image" in each for each in errors(asking, study)))
    assert len(asking.orthanc.instances(study)) == 1


@pytest.mark.parametrize(
    ("keyword", "said"), [("PatientID", "another patient"), ("AccessionNumber", "another accession number")]
)
def test_what_was_corrected_in_the_archive_is_fetched_and_encoded_anew(asking: Site, keyword: str, said: str) -> None:
    source = analysed(asking)
    study = source.StudyInstanceUID
    corrected = copy.deepcopy(source)
    setattr(corrected, keyword, f"AFTER-{study[-8:]}")
    asking.orthanc.delete_study(study)
    asking.orthanc.upload(corrected)
    release(asking, study)

    def superseded() -> bool:
        return states(asking, study) == {"abandoned", "held"}

    until("results with the correction", superseded)
    (before,) = {event["last_error"] for event in deliveries(asking, study) if event["state"] == "abandoned"}
    assert said in before
    assert "fetched" in before
    release(asking, study)
    found = wait_for_results(asking.orthanc, study, segs=1, overlays=1, reports=1)
    for each in (*found.segs, *found.overlays, *found.reports):
        assert each[keyword].value == corrected[keyword].value
    assert len(found.reports) == 1


def test_what_was_moved_to_another_study_is_encoded_for_that_one(asking: Site) -> None:
    source = analysed(asking)
    study, another = source.StudyInstanceUID, str(generate_uid())
    asking.orthanc.move_instances(study, StudyInstanceUID=another, AccessionNumber="AFTER")
    assert not asking.orthanc.has_study(study)
    release(asking, study)
    ready(asking, another)
    assert states(asking, study) == {"abandoned"}
    assert any("in another study" in each["last_error"] for each in deliveries(asking, study))
    release(asking, another)
    found = wait_for_results(asking.orthanc, another, segs=1, overlays=1)
    assert {each.AccessionNumber for each in (*found.segs, *found.overlays)} == {"AFTER"}
    assert all(source.SOPInstanceUID in references(each) for each in found.segs)
    assert not asking.orthanc.has_study(study)


@pytest.mark.parametrize("way", ["merge", "modify"])
def test_what_has_new_uids_by_now_makes_no_study_of_its_own(asking: Site, way: str) -> None:
    source, target = analysed(asking), abnormal()
    study = source.StudyInstanceUID
    asking.orthanc.upload(target)
    if way == "merge":
        asking.orthanc.merge_study(study, into=target.StudyInstanceUID)
    else:
        asking.orthanc.modify_study(study, AccessionNumber="AFTER")
    assert not asking.orthanc.has_study(study)
    release(asking, study)
    until("the last look", lambda: any("does not have its study" in each for each in errors(asking, study)))
    assert not asking.orthanc.has_study(study)
    assert held(asking.orthanc, target.StudyInstanceUID).segs == ()
