"""Results by STOW-RS into a real Orthanc: whole, once, also when its answer is lost; and compressed, by C-STORE."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Site
from films import abnormal
from numpy.typing import NDArray
from orthanc import Orthanc
from pydicom import Dataset, dcmread
from pydicom.uid import UID, JPEGLSLossless, generate_uid
from results import wait_for_results

from dicom_node.deliver.destination import Verdict
from dicom_node.deliver.dicom import DicomDestination
from dicom_node.deliver.stow import StowDestination
from dicom_node.dimse.association import Timeouts
from dicom_node.domain import Kind
from dicom_node.ledger.rows import StoredResult
from dicom_node.peer import PeerSection, Transport
from dicom_node.query.dimse import DicomArchive
from dicom_node.query.web import WebArchive
from tests.datasets import file_bytes
from tests.deliver.node import Node, settings_of
from tests.deliver.test_role import all_stored, delivering
from tests.deliver.wire import AwkwardWire, Manner
from tests.peers import free_port
from tests.waiting import wait_for

#: the first octet of every answer in HTTP
_HTTP = ord("H")


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"), free_port())
    orthanc.start()
    yield orthanc
    orthanc.stop()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path))
    yield node
    node.close()


def web(orthanc: Orthanc, port: int | None = None) -> PeerSection:
    url = f"http://127.0.0.1:{port or orthanc.http_port}/dicom-web"
    return PeerSection(name="web", transport=Transport.STOW_RS, dicomweb_url=url)


def stow(node: Node, peer: PeerSection) -> StowDestination:
    return StowDestination(peer, connect_timeout=5, response_timeout=20, spool=node.spool)


def archive(orthanc: Orthanc) -> WebArchive:
    return WebArchive(web(orthanc), connect_timeout=5, response_timeout=20)


def test_results_come_back_as_they_were_sent(orthanc: Orthanc, node: Node) -> None:
    study = str(generate_uid())
    results = [node.result(study), node.result(study, Kind.SEG), node.result(study, rows=20000)]
    outcomes = list(stow(node, web(orthanc)).send(results))
    assert [outcome.verdict for outcome in outcomes] == [Verdict.STORED] * 3
    held = {each.sop_instance_uid: each for each in archive(orthanc).instances(study)}
    assert held.keys() == {result.sop_instance_uid for result in results}
    for result in results:
        original = dcmread(node.spool.path(result.spool_key))
        assert archive(orthanc).retrieve(held[result.sop_instance_uid]) == original


def test_what_it_has_already_is_stored(orthanc: Orthanc, node: Node) -> None:
    result = node.result(str(generate_uid()))
    for _ in range(2):
        (outcome,) = stow(node, web(orthanc)).send([result])
        assert outcome.verdict is Verdict.STORED


def test_bytes_that_are_no_dicom_are_refused_with_its_reason(orthanc: Orthanc, node: Node) -> None:
    good = node.result(str(generate_uid()))
    bad = replace(good, spool_key=node.spool.put(bytes(128) + b"DICM" + b"nonsense" * 20))
    refused, stored = stow(node, web(orthanc)).send([bad, good])
    assert refused.verdict is Verdict.REFUSED
    assert stored.verdict is Verdict.STORED


def test_results_arrive_once_though_the_connection_drops_after_the_store(orthanc: Orthanc, tmp_path: Path) -> None:
    with AwkwardWire(orthanc.http_port, Manner.DROP_ANSWER, answers_begin=_HTTP) as wire:
        peer = web(orthanc, wire.port).model_dump(mode="json") | {"mode": "send"}
        node = Node(settings_of(tmp_path, peer, deliver={"response_timeout": 20}))
        try:
            study = str(generate_uid())
            uids = node.queue("web", node.result(study), node.result(study))
            with delivering(node.settings):
                wait_for("a store whose answer is lost", lambda: wire.spoilt >= 1)
                wire.manner = Manner.THROUGH
                wait_for("delivery", lambda: all_stored(node, "web"))
        finally:
            node.close()
    assert sorted(each.sop_instance_uid for each in archive(orthanc).instances(study)) == sorted(uids)


def test_a_node_that_is_told_so_sends_everything_by_stow(own_site: Site) -> None:
    own_site.orthanc.start()
    configuration = own_site.node.configuration
    url = f"http://127.0.0.1:{own_site.orthanc.http_port}/dicom-web"
    by_stow = f'mode = "send"\ntransport = "stow-rs"\ndicomweb_url = "{url}"'
    configuration.write_text(configuration.read_text().replace('mode = "send"', by_stow))
    # what would be sent by C-STORE goes nowhere
    configuration.write_text(configuration.read_text().replace(f"port = {own_site.orthanc.dicom_port}", "port = 1"))
    own_site.node.start()
    source = abnormal()
    own_site.orthanc.upload(source)
    wait_for_results(own_site.orthanc, source.StudyInstanceUID, segs=1, overlays=1)

    def stored() -> bool:
        [study] = own_site.node.status("--study", source.StudyInstanceUID)["studies"]
        return {(each["state"], each["attempts"]) for each in study["deliveries"]} == {("stored", 1)}

    wait_for("every delivery at its first attempt", stored, every=0.5)


@pytest.mark.parametrize(("compress", "syntax"), [(True, JPEGLSLossless), (False, None)])
def test_pictures_go_compressed_where_it_takes_that_and_their_values_stay(
    orthanc: Orthanc, node: Node, tmp_path: Path, compress: bool, syntax: UID | None
) -> None:
    study = str(generate_uid())
    picture, seg = _eight_bits(node, study), node.result(study, Kind.SEG)
    peer = PeerSection(name="orthanc", ae_title="ORTHANC", host="127.0.0.1", port=orthanc.dicom_port, compress=compress)
    timeouts = Timeouts(connect=5, response=20)
    destination = DicomDestination(peer, calling="CHEXNODE", timeouts=timeouts, spool=node.spool)
    assert [outcome.verdict for outcome in destination.send([picture, seg])] == [Verdict.STORED] * 2
    found = DicomArchive(peer, calling="CHEXNODE", timeouts=timeouts).instances(study)
    held = {each.sop_instance_uid: each for each in found}
    assert len(held) == 2
    for result, expected in ((picture, syntax or picture.transfer_syntax_uid), (seg, seg.transfer_syntax_uid)):
        original = dcmread(node.spool.path(result.spool_key))
        returned = archive(orthanc).retrieve(held[result.sop_instance_uid])
        assert returned.file_meta.TransferSyntaxUID == expected
        assert np.array_equal(_pixels(returned, tmp_path), original.pixel_array)


def _eight_bits(node: Node, study: str) -> StoredResult:
    """An overlay as the node writes them: 8 bits, MONOCHROME2, and no noise."""
    kept = node.result(study)
    dataset = dcmread(node.spool.path(kept.spool_key))
    pixels = np.linspace(0, 255, dataset.Rows * dataset.Columns).astype(np.uint8)
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    return replace(kept, spool_key=node.spool.put(file_bytes(dataset)))


def _pixels(dataset: Dataset, folder: Path) -> NDArray[np.generic]:
    """Decoded, by another library than the one that encoded it: dcmtk's."""
    if dataset.file_meta.TransferSyntaxUID == JPEGLSLossless:
        packed, plain = folder / "packed.dcm", folder / "plain.dcm"
        dataset.save_as(packed)
        subprocess.run(["dcmdjpls", str(packed), str(plain)], check=True, timeout=60)
        return np.asarray(dcmread(plain).pixel_array)
    return np.asarray(dataset.pixel_array)
