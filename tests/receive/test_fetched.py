"""What the node fetched itself is taken in like anything that arrives, and stays with whoever sent it first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.errors import OutOfRoom, Refused, Unreadable
from dicom_node.ledger import instances
from dicom_node.ledger.rows import InstanceRow
from dicom_node.peer import PeerSection, Transport
from dicom_node.receive.fetched import taking_in
from tests import datasets
from tests.deliver.node import Node, settings_of

WEB = PeerSection(name="web", transport=Transport.STOW_RS, dicomweb_url="http://127.0.0.1:1/dicom-web")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path, receive={"low_watermark": 0}))
    yield node
    node.close()


def current(node: Node, uid: str) -> InstanceRow | None:
    with node.ledger.reading() as tx:
        return instances.current(tx, uid)


def test_a_file_is_kept_octet_for_octet_under_the_peer_s_name(node: Node) -> None:
    dataset = datasets.chest()
    named = WEB.model_copy(update={"ae_title": "VNA"})
    taking_in(node.settings, node.ledger, named)(datasets.file_bytes(dataset))
    row = current(node, dataset.SOPInstanceUID)
    assert row is not None
    assert (row.calling_ae_title, row.study_instance_uid) == ("VNA", dataset.StudyInstanceUID)
    assert node.spool.read(row.spool_key).endswith(datasets.data_set_bytes(dataset))


def test_an_image_that_is_known_stays_with_whoever_sent_it(node: Node) -> None:
    dataset = datasets.chest()
    node.arrive(dataset.StudyInstanceUID, calling="MODALITY", sop_uid=dataset.SOPInstanceUID)
    taking_in(node.settings, node.ledger, WEB)(datasets.file_bytes(dataset))
    versions = node.study(dataset.StudyInstanceUID).instances
    assert [each.instance.calling_ae_title for each in versions] == ["MODALITY", "MODALITY"]


def test_what_is_no_file_or_no_image_is_said_and_not_kept(node: Node) -> None:
    take_in = taking_in(node.settings, node.ledger, WEB)
    with pytest.raises(Unreadable, match="no DICOM file"):
        take_in(b"<html>Please log in</html>")
    dataset = datasets.chest()
    file = datasets.file_bytes(dataset)
    with pytest.raises(Refused, match="what web gave is not kept"):
        take_in(file.replace(dataset.SOPInstanceUID.encode(), b"1.2.3".ljust(len(dataset.SOPInstanceUID), b"\0"), 1))
    assert current(node, dataset.SOPInstanceUID) is None


def test_a_full_disk_ends_it(tmp_path: Path) -> None:
    node = Node(settings_of(tmp_path, receive={"low_watermark": 1 << 60}))
    try:
        with pytest.raises(OutOfRoom, match="could not be kept"):
            taking_in(node.settings, node.ledger, WEB)(datasets.file_bytes(datasets.chest()))
    finally:
        node.close()
