"""Results over TLS to dcmtk's storescp, each side showing a certificate; what keeps them waiting."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dicom_node.config import PeerSection
from dicom_node.deliver.destination import Outcome, Verdict
from dicom_node.deliver.dicom import DicomDestination
from dicom_node.dimse.association import Timeouts
from dicom_node.domain import Kind
from dicom_node.security import TLSSection
from tests.deliver.node import Node, peer, settings_of
from tests.peers import storescp
from tests.pki import Authority

STUDY = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path / "node"))
    yield node
    node.close()


@pytest.fixture(scope="module")
def archive(hospital: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    shown = hospital.issue("ARCHIVE")
    options = ["+xa", "+tls", str(shown.key), str(shown.certificate), "+cf", str(hospital.certificate)]
    with storescp(tmp_path_factory.mktemp("archive"), called="ARCHIVE", options=options) as listening:
        yield listening


def _send(node: Node, port: int, tls: TLSSection, settings: Mapping[str, object] | None = None) -> list[Outcome]:
    section = PeerSection.model_validate({**peer("archive", port), "tls": True, **(settings or {})})
    timeouts = Timeouts(connect=10, response=10)
    destination = DicomDestination(section, calling="CHEXNODE", timeouts=timeouts, spool=node.spool, tls=tls)
    return list(destination.send([node.result(STUDY), node.result(STUDY, Kind.SEG)]))


def test_dcmtk_takes_results_over_tls(node: Node, archive: tuple[int, Path], hospital: Authority) -> None:
    port, folder = archive
    before = len(list(folder.iterdir()))
    ours = hospital.section(hospital.issue("CHEXNODE"), receive=False)
    assert [outcome.verdict for outcome in _send(node, port, ours)] == [Verdict.STORED] * 2
    assert [outcome.verdict for outcome in _send(node, port, ours, {"certificate_names": ["ARCHIVE"]})] == [
        Verdict.STORED
    ] * 2
    assert len(list(folder.iterdir())) == before + 4


def test_who_is_not_believed_gets_nothing_and_results_wait(
    node: Node, archive: tuple[int, Path], hospital: Authority, tmp_path: Path
) -> None:
    port, folder = archive
    before = len(list(folder.iterdir()))
    ours = hospital.issue("CHEXNODE")
    stranger = Authority(tmp_path / "elsewhere", name="Another CA")
    for tls, settings, why in (
        (stranger.section(ours, receive=False), {}, "certificate verify failed"),
        (hospital.section(stranger.issue("CHEXNODE"), receive=False), {}, "ARCHIVE .* did not answer"),
        (hospital.section(ours, receive=False), {"certificate_names": ["PACS"]}, "names ARCHIVE, not PACS"),
        (hospital.section(ours, receive=False), {"tls": False}, "ARCHIVE"),
        (TLSSection(certificate=tmp_path / "gone.pem"), {}, "tls.certificate: .*gone.pem is not there"),
    ):
        outcomes = _send(node, port, tls, settings)
        assert [outcome.verdict for outcome in outcomes] == [Verdict.RETRY] * 2, why
        assert any(re.search(why, outcome.detail) for outcome in outcomes), outcomes
    assert len(list(folder.iterdir())) == before


def test_a_renewed_certificate_needs_no_restart(
    node: Node, archive: tuple[int, Path], hospital: Authority, tmp_path: Path
) -> None:
    good, stranger = hospital.issue("CHEXNODE"), Authority(tmp_path / "elsewhere").issue("CHEXNODE")
    place = tmp_path / "node.pem"
    tls = TLSSection(certificate=place, ca=hospital.certificate)
    verdicts = []
    for shown in (stranger, good):
        place.write_text(shown.certificate.read_text() + shown.key.read_text())
        verdicts.append(_send(node, archive[0], tls)[0].verdict)
    assert verdicts == [Verdict.RETRY, Verdict.STORED]
