"""The doctor on certificates: the node's own and what its peers show, over real handshakes."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.config import PeerSection, Settings
from dicom_node.doctor import certificates
from dicom_node.doctor.check import Check, Health
from dicom_node.domain import Mode
from dicom_node.security import TLSSection
from tests.pki import Authority, Shown


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@contextlib.contextmanager
def archive(shown: Shown) -> Iterator[int]:
    """Somebody who shakes hands over TLS; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.certificate, shown.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            plain, _ = listener.accept()
            with plain, context.wrap_socket(plain, server_side=True) as wrapped:
                wrapped.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)


def _peer(port: int, **settings: object) -> PeerSection:
    described = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": port, "tls": True}
    return PeerSection.model_validate({**described, "mode": Mode.HOLD, **settings})


def _look(tls: TLSSection, *peers: PeerSection) -> list[Check]:
    return list(certificates.checks(Settings(tls=tls, peers=peers)))


def test_without_tls_there_is_nothing_to_look_at() -> None:
    assert _look(TLSSection()) == []


def test_own_certificates_that_are_good_end_soon_or_cannot_be_used(hospital: Authority, tmp_path: Path) -> None:
    good = _look(hospital.section(hospital.issue("CHEXNODE")))
    assert [check.health for check in good] == [Health.OK, Health.OK]
    soon = _look(hospital.section(hospital.issue("CHEXNODE", days=9)))
    assert [check.health for check in soon] == [Health.WARNING, Health.OK]
    assert "in 9 days" in soon[0].said
    other_key = TLSSection(
        receive=True,
        certificate=hospital.issue("CHEXNODE").certificate,
        key=hospital.issue("X").key,
        ca=hospital.certificate,
    )
    (failed,) = _look(other_key)
    assert failed.health is Health.FAILED
    assert "belongs to the certificate" in failed.said


def test_a_key_or_a_passcode_that_others_may_read_is_named(hospital: Authority, tmp_path: Path) -> None:
    shown = hospital.issue("CHEXNODE")
    shown.key.chmod(0o644)
    secret = tmp_path / "passcode"
    secret.write_text("x")
    secret.chmod(0o640)
    peer = PeerSection(
        name="room",
        ae_title="ROOM",
        sends=True,
        allow_from=("127.0.0.1",),
        results_to=("archive",),
        user="room",
        user_secret=f"file:{secret}",
    )
    found = _look(hospital.section(shown), peer, _peer(104, tls=False))
    assert [check.advice for check in found if check.health is Health.WARNING] == [
        f"chmod 600 {shown.key}",
        f"chmod 600 {secret}",
    ]


def test_what_a_peer_shows(hospital: Authority, tmp_path: Path) -> None:
    tls = hospital.section(hospital.issue("CHEXNODE"), receive=False)
    with archive(hospital.issue("ARCHIVE", days=200)) as port:
        good = _look(tls, _peer(port))[-1]
    assert good.health is Health.OK
    assert good.said.startswith("TLSv1.3; its certificate ends on ")
    with archive(hospital.issue("ARCHIVE", days=3)) as port:
        assert _look(tls, _peer(port))[-1].health is Health.WARNING
    with archive(hospital.issue("ARCHIVE", alternative="DNS:elsewhere.example")) as port:
        renamed = _look(tls, _peer(port))[-1]
    assert renamed.health is Health.FAILED
    with archive(hospital.issue("ARCHIVE", alternative="DNS:elsewhere.example")) as port:
        assert _look(tls, _peer(port, certificate_names=("ARCHIVE",)))[-1].health is Health.OK
    with archive(Authority(tmp_path / "elsewhere", name="Another CA").issue("ARCHIVE")) as port:
        stranger = _look(tls, _peer(port))[-1]
    assert stranger.health is Health.FAILED
    assert "certificate" in stranger.said
