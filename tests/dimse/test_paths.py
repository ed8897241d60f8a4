"""One suite for C-STORE by every path: the node's own loop, plain and over TLS, and pynetdicom's as it comes.

Whatever a sender can tell by its answers, and whatever is kept, must not depend on who moves the bytes.
"""

import contextlib
import ssl
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from dicom_node.dimse.commands import StoreRequest
from dicom_node.dimse.contexts import accepted_contexts
from tests import datasets
from tests.dimse.conftest import Kept, Peer
from tests.dimse.raw import RawSender, element, p_data, store_command
from tests.peers import LOOPBACK, free_port, requestor, sent
from tests.pki import Authority
from tests.waiting import wait_for

DX = DigitalXRayImageStorageForPresentation
CONTEXTS = [(str(DX), str(ExplicitVRLittleEndian)), (str(Verification), "1.2.840.10008.1.2")]


@dataclass(kw_only=True)
class Way:
    """A listening receiver, whoever moves its bytes."""

    port: int
    kept: list[Kept]
    answers: Callable[[int, str], None]
    tls: ssl.SSLContext | None = None

    def sender(self) -> RawSender:
        return RawSender(self.port, CONTEXTS, tls=self.tls)


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    hospital = Authority(tmp_path_factory.mktemp("pki"))
    shown = hospital.issue("CHEXNODE")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(shown.certificate, shown.key)
    return server, ssl.create_default_context(cafile=str(hospital.certificate))


@contextlib.contextmanager
def _own(tls: tuple[ssl.SSLContext, ssl.SSLContext] | None) -> Iterator[Way]:
    peer = Peer(tls=(lambda: tls[0]) if tls else None, request_timeout=60.0, io_timeout=20.0, message_timeout=60.0)

    def answers(status: int, comment: str) -> None:
        peer.status, peer.comment = status, comment

    try:
        yield Way(port=peer.port, kept=peer.kept, answers=answers, tls=tls[1] if tls else None)
    finally:
        peer.server.close(drain=0.1)


class _Stock:
    """pynetdicom's own acceptor, which hands whole data sets to the same Kept."""

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self.status, self.comment = 0x0000, ""
        self.abandoned = 0

    def store(self, event: Any) -> Any:
        asked = event.request
        request = StoreRequest(
            message_id=asked.MessageID,
            affected_sop_class_uid=asked.AffectedSOPClassUID,
            affected_sop_instance_uid=asked.AffectedSOPInstanceUID,
            priority=asked.Priority,
            transfer_syntax_uid=event.context.transfer_syntax,
            calling_ae_title=event.assoc.requestor.ae_title,
        )
        kept = Kept(self, request)  # type: ignore[arg-type]  # what it needs of a Peer
        kept.write(event.encoded_dataset(include_meta=False))
        status, comment = kept.finish()
        answer = Dataset()
        answer.Status, answer.ErrorComment = status, comment[:64]
        return answer


@contextlib.contextmanager
def _stock() -> Iterator[Way]:
    stock = _Stock()

    def answers(status: int, comment: str) -> None:
        stock.status, stock.comment = status, comment

    ae = AE("CHEXNODE")
    ae.supported_contexts = accepted_contexts()[:120]
    port = free_port()
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, stock.store)])
    assert server is not None
    try:
        yield Way(port=port, kept=stock.kept, answers=answers)
    finally:
        server.shutdown()


@pytest.fixture(params=["own", "own over TLS", "pynetdicom"])
def path(request: pytest.FixtureRequest) -> Iterator[Way]:
    if request.param == "pynetdicom":
        with _stock() as made:
            yield made
        return
    tls = request.getfixturevalue("contexts") if request.param == "own over TLS" else None
    with _own(tls) as made:
        yield made


def _body(size: int) -> bytes:
    """A data set of exactly `size` bytes (even, and more than a header's)."""
    filler = bytes(range(256)) * (size // 256 + 1)
    head = struct.pack("<HH2sH", 0x0008, 0x0016, b"UI", len(DX) + len(DX) % 2) + DX.encode().ljust(
        len(DX) + len(DX) % 2, b"\0"
    )
    left = size - len(head) - 12
    return head + struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OW", left) + filler[:left]


@pytest.mark.parametrize("chunk", [1000, 16_378, 131_066])
def test_every_byte_in_pdus_of_any_size(path: Way, chunk: int) -> None:
    """From one fragment to several receive buffers, and one byte around each border."""
    bodies = [_body(size) for size in (400, chunk - 2, chunk, chunk + 2, (1 << 20) - 2, (1 << 20) + 2, 3_000_002)]
    with path.sender() as raw:
        for body in bodies:
            assert raw.store(DX, generate_uid(), body, chunk=chunk) == 0x0000
    assert [bytes(kept.data) for kept in path.kept] == bodies


def test_fragments_that_nobody_sends_but_may(path: Way) -> None:
    """Several in one PDU, an empty one, a last one that is empty, a command in pieces."""
    body = _body(5000)
    command = store_command(DX, generate_uid())
    pdvs = b"".join(struct.pack(">IBB", len(part) + 2, 1, 0) + part for part in (body[:10], b"", body[10:2001]))
    with path.sender() as raw:
        raw.socket.sendall(p_data(1, 1, command[:9]) + p_data(1, 3, command[9:]))
        raw.socket.sendall(struct.pack(">BxI", 4, len(pdvs)) + pdvs + p_data(1, 0, body[2001:]) + p_data(1, 2, b""))
        assert raw.status() == 0x0000
    assert [bytes(kept.data) for kept in path.kept] == [body]


def test_what_the_command_says_reaches_whoever_keeps_it(path: Way) -> None:
    uid = generate_uid()
    with path.sender() as raw:
        assert raw.store(DX, uid, _body(1000)) == 0x0000
    (kept,) = path.kept
    assert kept.request.affected_sop_class_uid == DX
    assert kept.request.affected_sop_instance_uid == uid
    assert kept.request.transfer_syntax_uid == ExplicitVRLittleEndian
    assert kept.request.calling_ae_title.strip() == "SENDER"


@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xC000])
def test_the_status_reaches_the_sender(path: Way, status: int) -> None:
    path.answers(status, "out of patience" if status else "")
    with path.sender() as raw:
        for _ in range(2):
            assert raw.store(DX, generate_uid(), _body(40_000)) == status, "and the association goes on"


def test_other_services_in_between_are_pynetdicoms(path: Way) -> None:
    """A C-ECHO between two C-STOREs is answered by its service class."""
    echo = (
        element(0x0002, Verification.encode() + b"\0" * (len(Verification) % 2))
        + element(0x0100, struct.pack("<H", 0x0030))
        + element(0x0110, struct.pack("<H", 7))
        + element(0x0800, struct.pack("<H", 0x0101))
    )
    whole = element(0x0000, struct.pack("<I", len(echo))) + echo
    with path.sender() as raw:
        for _ in range(3):
            assert raw.store(DX, generate_uid(), _body(20_000)) == 0x0000
            raw.socket.sendall(p_data(3, 3, whole))
            assert raw.status() == 0x0000
    assert len(path.kept) == 3


def test_a_release_is_answered_and_what_breaks_off_is_not_kept(path: Way) -> None:
    with path.sender() as raw:
        assert raw.store(DX, generate_uid(), _body(1000)) == 0x0000
        raw.socket.sendall(struct.pack(">BxII", 5, 4, 0))
        assert raw.read_pdu()[0] == 6
    with path.sender() as raw:
        raw.socket.sendall(p_data(1, 3, store_command(DX, generate_uid())) + p_data(1, 0, _body(50_000)[:9000]))
    with path.sender() as raw:
        assert raw.store(DX, generate_uid(), _body(2000)) == 0x0000
    wait_for("the second", lambda: len(path.kept) == 2)
    assert [len(kept.data) for kept in path.kept] == [1000, 2000]


def test_a_stock_sender(path: Way) -> None:
    dataset = datasets.chest(700, 500)
    tls = (path.tls, LOOPBACK) if path.tls is not None else None
    opened = requestor([(DX, ExplicitVRLittleEndian)]).associate(LOOPBACK, path.port, ae_title="CHEXNODE", tls_args=tls)
    assert sent(opened, dataset) == 0x0000
    opened.release()
    assert bytes(path.kept[0].data) == datasets.data_set_bytes(dataset)
