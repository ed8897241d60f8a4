"""What a hospital's week brings: the archive is down for a while, the node is killed in mid-work."""

import random
import time
from pathlib import Path

from conftest import Site
from films import abnormal, another_image, clean
from results import held, references, wait_for_results

from tests.peers import storescu
from tests.waiting import wait_for


def test_results_wait_for_an_archive_that_is_down(own_site: Site, tmp_path: Path) -> None:
    own_site.node.start()
    source = abnormal()
    file = tmp_path / "source.dcm"
    source.save_as(file, enforce_file_format=True)
    assert storescu(own_site.node.port, file, calling="ORTHANC", options=["-R"]).returncode == 0

    def tried_in_vain() -> bool:
        studies = own_site.node.status("--study", source.StudyInstanceUID)["studies"]
        deliveries = [each for study in studies for each in study["deliveries"]]
        return bool(deliveries) and all(each["attempts"] >= 1 and each["last_error"] for each in deliveries)

    wait_for("a first attempt at an archive that is down", tried_in_vain, seconds=60, every=0.5)
    own_site.orthanc.start()
    wait_for_results(own_site.orthanc, source.StudyInstanceUID, segs=1, overlays=1)


def test_a_node_that_is_killed_again_and_again_loses_nothing_and_repeats_nothing(own_site: Site) -> None:
    own_site.start()
    first = clean()
    images = [first, *(another_image(first) for _ in range(5))]
    for number, image in enumerate(images):
        image.InstanceNumber = number + 1
        own_site.orthanc.upload(image)
    wait_for("the study to reach the node", lambda: own_site.node.status()["studies"], seconds=60, every=0.5)
    pauses = random.Random(8)
    for _ in range(4):
        _let_work(pauses.uniform(0.5, 7))
        own_site.node.kill()
        own_site.node.start()
    # what the archive could not send while the node was down, its administrator sends again
    own_site.orthanc.route_again(first.StudyInstanceUID)
    wait_for_results(own_site.orthanc, first.StudyInstanceUID, segs=0, overlays=len(images), seconds=120)
    found = held(own_site.orthanc, first.StudyInstanceUID)
    assert [references(overlay) for overlay in sorted(found.overlays, key=lambda each: each.InstanceNumber)] == [
        {image.SOPInstanceUID} for image in images
    ]
    [known] = own_site.node.status("--study", first.StudyInstanceUID)["studies"]
    assert len(known["instances"]) == len(images)
    assert all(len(instance["jobs"]) == 1 for instance in known["instances"])


def _let_work(seconds: float) -> None:
    """Let the node work for so long: the moment of a kill is drawn, there is nothing to wait for."""
    until = time.monotonic() + seconds
    wait_for("the drawn moment", lambda: time.monotonic() > until, seconds=seconds + 5)
