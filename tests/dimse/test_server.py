"""The hardened server against peers that hold the door, lie, drip or flood, and beside them an honest one."""

import contextlib
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from dicom_node.dimse.association import echo, open_association
from dicom_node.dimse.contexts import verification_contexts
from dicom_node.errors import PeerUnavailable, Refused
from tests.dimse.conftest import Peer
from tests.dimse.hostile import closed, honest_echo
from tests.dimse.raw import RawSender, associate_request, p_data, store_command
from tests.peers import LOOPBACK, association, echoed, echoscu
from tests.waiting import wait_for

DX = DigitalXRayImageStorageForPresentation
CONTEXTS = [(DX, ExplicitVRLittleEndian)]
Serve = Callable[..., Peer]


@contextlib.contextmanager
def _connected(port: int, count: int, source: str = LOOPBACK) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((LOOPBACK, port), source_address=(source, 0)))
            for _ in range(count)
        ]


def test_an_address_that_is_not_allowed_gets_not_a_byte(serve: Serve) -> None:
    peer = serve()
    with _connected(peer.port, 1, "127.0.0.66") as (stranger,):
        with contextlib.suppress(OSError):
            stranger.sendall(associate_request(CONTEXTS))
        stranger.settimeout(5)
        with contextlib.suppress(ConnectionError):
            assert stranger.recv(1) == b""
    assert peer.judged == []


def test_silent_and_dripping_clients_beside_an_honest_one(serve: Serve) -> None:
    peer = serve(request_timeout=60.0)
    request = associate_request(CONTEXTS)
    with _connected(peer.port, 300), _connected(peer.port, 11) as dripping:
        for connection in dripping:
            connection.sendall(request[:3])
        assert honest_echo(peer.port) < 1.0
        for connection in dripping:
            connection.sendall(request[3:5])
        assert honest_echo(peer.port) < 1.0


def test_more_silent_clients_than_are_waited_for_make_way(serve: Serve) -> None:
    peer = serve(request_timeout=60.0, max_silent=20)
    with _connected(peer.port, 60, "127.0.0.7") as silent, _connected(peer.port, 1, "127.0.0.8") as (other,):
        assert honest_echo(peer.port) < 1.0
        assert closed(silent[0])
        # the one that holds one connection is not the one that pays
        other.sendall(associate_request(CONTEXTS))
        other.settimeout(10)
        assert other.recv(1) == b"\x02"


def test_a_silent_client_is_given_up_in_time(serve: Serve) -> None:
    peer = serve(request_timeout=0.3)
    with _connected(peer.port, 1) as (silent,):
        assert closed(silent, 5)


def test_a_dripping_request_is_given_up_in_time(serve: Serve) -> None:
    """One byte every tenth of a second: each is in time, the request is not."""
    peer = serve(request_timeout=0.5)
    started = time.monotonic()
    with _connected(peer.port, 1) as (dripping,):
        with contextlib.suppress(OSError):
            for byte in associate_request(CONTEXTS):
                dripping.sendall(bytes([byte]))
                threading.Event().wait(0.1)
                assert time.monotonic() - started < 5
        assert closed(dripping)
    assert peer.judged == []


def test_a_request_that_claims_400_mib(serve: Serve) -> None:
    peer = serve()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with _connected(peer.port, 1) as (liar,):
        with contextlib.suppress(OSError):
            liar.sendall(struct.pack(">BxI", 1, 400 << 20))
            for _ in range(400):
                liar.sendall(bytes(1 << 20))
        assert closed(liar)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB
    assert honest_echo(peer.port) < 1.0


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + bytes(512),
        struct.pack(">BxI", 4, 10) + bytes(10),
        struct.pack(">BxI", 1, 68) + b"\xff" * 68,
        struct.pack(">BxI", 1, 0),
        associate_request(CONTEXTS)[:6] + b"\xff" * (len(associate_request(CONTEXTS)) - 6),
        struct.pack(">BxI", 9, 4) + bytes(4),
    ],
    ids=["HTTP", "TLS", "P-DATA first", "rubbish request", "empty request", "spoilt request", "unknown PDU"],
)
def test_what_is_no_request(serve: Serve, sent: bytes) -> None:
    peer = serve()
    with _connected(peer.port, 1) as (scanner,):
        scanner.sendall(sent)
        assert closed(scanner)
    assert honest_echo(peer.port) < 1.0


@pytest.mark.parametrize("cut", [1, 6, 10, 74, 100])
def test_a_request_cut_off(serve: Serve, cut: int) -> None:
    peer = serve()
    with _connected(peer.port, 1) as (scanner,):
        scanner.sendall(associate_request(CONTEXTS)[:cut])
        scanner.shutdown(socket.SHUT_WR)
        assert closed(scanner)
    assert honest_echo(peer.port) < 1.0


def test_an_idle_association_is_ended(serve: Serve) -> None:
    peer = serve(idle_timeout=0.3)
    with RawSender(peer.port, CONTEXTS) as raw:
        assert closed(raw.socket, 5)


def test_associations_of_one_peer_and_in_all_are_capped(serve: Serve) -> None:
    peer = serve(max_associations=3, max_associations_per_peer=2)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(RawSender(peer.port, CONTEXTS, source="127.0.0.2"))
        with association(peer.port) as third:  # from 127.0.0.1
            assert third.is_established
            with association(peer.port) as fourth:
                assert fourth.is_rejected
                primitive = fourth.acceptor.primitive
                assert (primitive.result, primitive.result_source, primitive.diagnostic) == (2, 3, 2)
    wait_for("room again", lambda: _echoes(peer.port))


def _echoes(port: int) -> bool:
    try:
        echo(LOOPBACK, port, called="CHEXNODE", calling="HONEST")
    except PeerUnavailable:
        return False
    return True


def test_a_wrong_called_ae_title(serve: Serve) -> None:
    peer = serve()
    with pytest.raises(Refused, match="is WRONG its AE title"):
        echo(LOOPBACK, peer.port, called="WRONG", calling="HONEST")


@pytest.mark.peer
def test_echoscu(serve: Serve) -> None:
    peer = serve()
    assert echoed(echoscu(peer.port, options=["--repeat", "5"]))
    assert not echoed(echoscu(peer.port, called="WRONG"))


def test_what_a_request_says_is_handed_to_the_judge(serve: Serve) -> None:
    peer = serve()
    with RawSender(peer.port, CONTEXTS, source="127.0.0.5"):
        (asked,) = peer.judged
    assert (asked.address, asked.calling_ae_title, asked.called_ae_title) == ("127.0.0.5", "SENDER", "CHEXNODE")
    assert asked.certificate is None


def test_close_lets_messages_finish_and_cuts_off_what_is_stuck(serve: Serve) -> None:
    peer = serve(io_timeout=60, message_timeout=60, idle_timeout=60, request_timeout=60)
    with (
        RawSender(peer.port, CONTEXTS) as idle,
        RawSender(peer.port, CONTEXTS) as stuck,
        _connected(peer.port, 1) as (silent,),
    ):
        stuck.socket.sendall(p_data(1, 3, store_command(DX, "1.2.3")) + p_data(1, 0, b"half of it"))
        wait_for("the message to have begun", lambda: peer.server.busy == 1)
        started = time.monotonic()
        assert peer.server.close(drain=0.5) is False
        assert time.monotonic() - started < 5
        assert idle.read_pdu()[0] == 7, "an idle association is aborted, not just dropped"
        assert closed(stuck.socket)
        assert closed(silent)
        assert peer.abandoned == 1
    with pytest.raises(PeerUnavailable, match="cannot connect"):
        echo(LOOPBACK, peer.port, called="CHEXNODE", calling="HONEST")


def test_a_service_that_fails_ends_its_association_alone(serve: Serve) -> None:
    peer = serve()
    with RawSender(peer.port, CONTEXTS) as raw:
        peer.status = "no number"  # type: ignore[assignment]  # a defect in a service, on purpose
        raw.socket.sendall(p_data(1, 3, store_command(DX, "1.2.3")) + p_data(1, 2, b"all of it"))
        assert raw.read_pdu()[0] == 7
    assert honest_echo(peer.port) < 1.0


def test_an_honest_requestor_of_ours_is_not_held_up_by_nagle(serve: Serve) -> None:
    """50 echoes over one association: with a delayed ACK each they would take two seconds."""
    peer = serve()
    with open_association(
        LOOPBACK, peer.port, called="CHEXNODE", calling="HONEST", contexts=verification_contexts()
    ) as opened:
        started = time.monotonic()
        for _ in range(50):
            opened.echo()
        assert time.monotonic() - started < 1.5
