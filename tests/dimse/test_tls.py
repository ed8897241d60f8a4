"""The hook for TLS: the handshake is off the accept path, and the judge sees the client's certificate."""

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from dicom_node.dimse.association import Timeouts, echo, open_association
from dicom_node.dimse.contexts import proposed_contexts
from dicom_node.errors import PeerUnavailable
from tests import datasets
from tests.dimse.conftest import Peer
from tests.peers import LOOPBACK, program
from tests.waiting import wait_for

DX = DigitalXRayImageStorageForPresentation


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=SENDER", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return key, cert


def _context(purpose: ssl.Purpose, certificate: tuple[Path, Path]) -> ssl.SSLContext:
    key, cert = certificate
    context = ssl.create_default_context(purpose, cafile=str(cert))
    context.load_cert_chain(cert, key)
    return context


@pytest.fixture
def peer(certificate: tuple[Path, Path]) -> Iterator[Peer]:
    """A server that asks for a client's certificate."""
    context = _context(ssl.Purpose.CLIENT_AUTH, certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    served = Peer(tls=lambda: context, request_timeout=60.0)
    yield served
    served.server.close(drain=0.1)


def test_a_store_and_the_certificate_behind_it(peer: Peer, certificate: tuple[Path, Path]) -> None:
    dataset = datasets.chest(1500, 1000)
    with open_association(
        LOOPBACK,
        peer.port,
        called="CHEXNODE",
        calling="SENDER",
        contexts=proposed_contexts([(DX, ExplicitVRLittleEndian)]),
        tls=_context(ssl.Purpose.SERVER_AUTH, certificate),
    ) as opened:
        assert opened.store(dataset).status == 0x0000
    assert bytes(peer.kept[0].data) == datasets.data_set_bytes(dataset)
    (asked,) = peer.judged
    assert asked.certificate is not None
    assert asked.certificate["subject"] == ((("commonName", "SENDER"),),)


def test_silent_clients_do_not_hold_up_a_handshake(peer: Peer, certificate: tuple[Path, Path]) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(30):
            silent = stack.enter_context(socket.create_connection((LOOPBACK, peer.port)))
            silent.sendall(b"\x16\x03\x01"[: number % 4])
        seconds = min(
            echo(
                LOOPBACK,
                peer.port,
                called="CHEXNODE",
                calling="HONEST",
                tls=_context(ssl.Purpose.SERVER_AUTH, certificate),
            )
            for _ in range(3)
        )
    assert seconds < 1.0


def test_without_a_certificate_or_without_tls_nobody_gets_in(peer: Peer, certificate: tuple[Path, Path]) -> None:
    strangers = [ssl.create_default_context(cafile=str(certificate[1])), None]
    for tls in strangers:
        with pytest.raises(PeerUnavailable):
            echo(
                LOOPBACK,
                peer.port,
                called="CHEXNODE",
                calling="SENDER",
                tls=tls,
                timeouts=Timeouts(connect=5.0, response=5.0),
            )
    assert peer.judged == []


def test_a_stop_in_the_middle_of_a_session_ends_it(peer: Peer, certificate: tuple[Path, Path]) -> None:
    with open_association(
        LOOPBACK,
        peer.port,
        called="CHEXNODE",
        calling="SENDER",
        contexts=proposed_contexts([(DX, ExplicitVRLittleEndian)]),
        tls=_context(ssl.Purpose.SERVER_AUTH, certificate),
    ) as opened:
        assert opened.store(datasets.chest()).status == 0x0000
        assert peer.server.close(drain=2.0)
        with pytest.raises(PeerUnavailable):
            opened.store(datasets.chest())


def test_who_is_silent_in_a_handshake_makes_way(certificate: tuple[Path, Path]) -> None:
    """Its socket is the session's by then: the plain one, which would be shut down to no effect, is empty."""
    context = _context(ssl.Purpose.CLIENT_AUTH, certificate)
    served = Peer(tls=lambda: context, request_timeout=120.0, max_silent=4)
    with contextlib.ExitStack() as stack:
        stack.callback(served.server.close, drain=0.1)
        silent = [stack.enter_context(socket.create_connection((LOOPBACK, served.port))) for _ in range(8)]
        for connection in silent:
            connection.sendall(b"\x16\x03\x01")
        silent[0].settimeout(20)
        assert silent[0].recv(1) == b""


def test_a_stop_does_not_wait_for_handshakes(certificate: tuple[Path, Path]) -> None:
    context = _context(ssl.Purpose.CLIENT_AUTH, certificate)
    served = Peer(tls=lambda: context, request_timeout=120.0)
    with socket.create_connection((LOOPBACK, served.port)) as silent:
        silent.sendall(b"\x16\x03\x01")
        wait_for("the connection", lambda: served.server._all())
        assert served.server.close(drain=20.0)
