"""Several associations to Orthanc at a time: it stores each result once, and no association is too many for it."""

import itertools
from pathlib import Path

from orthanc import Orthanc

from dicom_node.domain import Kind
from tests.deliver.node import Node, peer, settings_of
from tests.deliver.test_role import STUDY, all_stored, delivering
from tests.peers import free_port
from tests.waiting import wait_for


def test_orthanc_takes_several_associations(tmp_path: Path) -> None:
    orthanc = Orthanc(tmp_path / "orthanc", free_port(), routes=False)
    orthanc.start()
    archive = peer("archive", orthanc.dicom_port) | {"ae_title": "ORTHANC", "associations": 4}
    node = Node(settings_of(tmp_path / "node", archive, deliver={"connect_timeout": 10, "response_timeout": 20}))
    try:
        studies = [node.queue("archive", *(node.result(STUDY, kind) for kind in (Kind.SEG, Kind.SC))) for _ in range(8)]
        with delivering(node.settings):
            wait_for("delivery", lambda: all_stored(node))
        assert {one.attempts for one in node.deliveries()} == {1}
        held = [instance["MainDicomTags"]["SOPInstanceUID"] for instance in orthanc.get("/instances?expand")]
        assert sorted(held) == sorted(itertools.chain(*studies))
    finally:
        node.close()
        orthanc.stop()
