"""Messages of an open association: cut anywhere they arrive whole; what is none ends its association and no other."""

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from tests import datasets
from tests.dimse.conftest import Peer
from tests.dimse.hostile import closed, honest_echo
from tests.dimse.raw import RawSender, associate_request, element, p_data, store_command
from tests.peers import association
from tests.waiting import wait_for

DX = DigitalXRayImageStorageForPresentation
CONTEXTS = [(DX, ExplicitVRLittleEndian)]
Serve = Callable[..., Peer]


def _flood(raw: RawSender, pieces: Iterator[bytes]) -> int:
    """Send until the server has had enough; the type of the PDU that it says so with (0: none arrived)."""
    with contextlib.suppress(OSError):
        for piece in pieces:
            raw.socket.sendall(piece)
    with contextlib.suppress(TimeoutError):
        return raw.read_pdu()[0]
    return -1


def _forever(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece


@pytest.mark.parametrize(
    "pieces",
    [
        lambda: _forever(p_data(1, 1, b"")),
        lambda: _forever(p_data(1, 1, bytes(1000))),
        lambda: iter([struct.pack(">BxI", 4, 400 << 20)]),
        lambda: iter([struct.pack(">BxI", 5, 1 << 20)]),
        lambda: iter([p_data(3, 3, store_command(DX, "1.2.3"))]),
        lambda: iter([p_data(1, 0, b"data before a command")]),
        lambda: iter([p_data(1, 3, b"no command set")]),
        lambda: iter([p_data(1, 3, element(0x0100, struct.pack("<H", 0x4711)) + element(0x0800, b"\1\1"))]),
        lambda: iter([p_data(1, 3, store_command(DX, "1.2.3")), p_data(1, 3, store_command(DX, "1.2.3"))]),
        lambda: iter([struct.pack(">BxIIBB", 4, 6, 400 << 20, 1, 3)]),
        lambda: iter([struct.pack(">BxII", 4, 4, 0)]),
        lambda: iter([struct.pack(">BxI", 9, 4) + bytes(4)]),
        lambda: iter([associate_request(CONTEXTS)]),
    ],
    ids=[
        "endless empty command fragments",
        "endless command fragments",
        "a P-DATA of 400 MiB",
        "a release of 1 MiB",
        "a context that was not accepted",
        "data before a command",
        "a command set that is none",
        "an unknown command",
        "a command within a data set",
        "a PDV that claims 400 MiB",
        "a PDV without a header",
        "an unknown PDU",
        "a second request",
    ],
)
def test_what_is_no_message_ends_the_association_and_no_other(
    serve: Serve, pieces: Callable[[], Iterator[bytes]]
) -> None:
    peer = serve()
    with RawSender(peer.port, CONTEXTS) as raw:
        assert _flood(raw, pieces()) in (0, 7)
    assert honest_echo(peer.port) < 1.0
    assert peer.kept == []


def test_a_transfer_that_stalls_is_given_up_in_time(serve: Serve) -> None:
    peer = serve(io_timeout=0.3)
    with RawSender(peer.port, CONTEXTS) as raw:
        raw.socket.sendall(p_data(1, 3, store_command(DX, "1.2.3")) + p_data(1, 0, b"half of it"))
        assert closed(raw.socket, 5)
    wait_for("the part to be abandoned", lambda: peer.abandoned == 1)


def test_a_pdu_that_drips_is_given_up_in_time(serve: Serve) -> None:
    peer = serve(io_timeout=0.5)
    started = time.monotonic()
    with RawSender(peer.port, CONTEXTS) as raw:
        raw.socket.sendall(p_data(1, 3, store_command(DX, "1.2.3")) + struct.pack(">BxI", 4, 1000))
        with contextlib.suppress(OSError):
            for _ in range(1000):
                raw.socket.sendall(b"\0")
                threading.Event().wait(0.05)
                assert time.monotonic() - started < 5
        assert closed(raw.socket)
    wait_for("the part to be abandoned", lambda: peer.abandoned == 1)


def test_a_message_of_many_prompt_pdus_has_a_deadline_too(serve: Serve) -> None:
    peer = serve(message_timeout=0.5)
    with RawSender(peer.port, CONTEXTS) as raw:
        raw.socket.sendall(p_data(1, 3, store_command(DX, "1.2.3")))
        assert _flood(raw, _forever(p_data(1, 0, bytes(100)))) in (0, 7)
    wait_for("the part to be abandoned", lambda: peer.abandoned == 1)


def test_messages_of_any_cut(serve: Serve) -> None:
    """Fragments, PDUs and TCP segments that begin and end anywhere give the same bytes."""
    peer = serve()
    dataset = datasets.chest()
    body = datasets.data_set_bytes(dataset)
    uid = generate_uid()
    command = store_command(DX, uid)
    pieces = [p_data(1, 1, command[:7]), p_data(1, 1, b""), p_data(1, 3, command[7:])]
    # three PDVs in one PDU, an empty one among them
    pdvs = b"".join(struct.pack(">IBB", len(part) + 2, 1, 0) + part for part in (body[:10], b"", body[10:1001]))
    pieces += [struct.pack(">BxI", 4, len(pdvs)) + pdvs, p_data(1, 0, body[1001:2000]), p_data(1, 2, body[2000:])]
    stream = b"".join(pieces)
    with RawSender(peer.port, CONTEXTS) as raw:
        for size in (1, 5, 4096, len(stream)):
            step = max(size, 1)
            for start in range(0, len(stream), step):
                raw.socket.sendall(stream[start : start + step])
            assert raw.status() == 0x0000
        raw.socket.sendall(stream * 20)  # without waiting for an answer
        assert [raw.status() for _ in range(20)] == [0] * 20
    assert [bytes(kept.data) for kept in peer.kept] == [body] * 24
    assert {kept.request.affected_sop_instance_uid for kept in peer.kept} == {uid}


def test_status_and_comment_reach_the_sender(serve: Serve) -> None:
    peer = serve()
    peer.status, peer.comment = 0xC000, "cannot understand " * 10
    with association(peer.port, *CONTEXTS) as sender:
        answer = sender.send_c_store(datasets.chest())
    assert answer.Status == 0xC000
    assert answer.ErrorComment == ("cannot understand " * 10)[:64].strip()
