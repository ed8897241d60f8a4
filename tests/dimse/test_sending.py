"""Sending to real peers: frozen bytes, every syntax, and an end to whatever a peer does or doesn't do."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt

from dicom_node.dimse.association import Timeouts, echo, open_association
from dicom_node.dimse.contexts import ACCEPTED_TRANSFER_SYNTAXES, proposed_contexts, verification_contexts
from dicom_node.dimse.sending import send_files
from dicom_node.errors import PeerUnavailable, Refused, Unreadable
from tests import datasets
from tests.peers import LOOPBACK, free_port, storescp

DX = DigitalXRayImageStorageForPresentation
QUICK = Timeouts(connect=1.0, response=1.0)


#: dcmtk 3.6.7 knows no HTJ2K
OF_DCMTK = [syntax for syntax in datasets.TRANSFER_SYNTAXES if not syntax.startswith("1.2.840.10008.1.2.4.20")]


@pytest.mark.peer
@pytest.mark.parametrize("syntax", OF_DCMTK, ids=lambda syntax: UID(syntax).keyword)
def test_storescp_gets_the_bytes_as_they_are(tmp_path: Path, syntax: str) -> None:
    dataset = datasets.in_syntax(datasets.chest(), UID(syntax))
    path = datasets.write(dataset, tmp_path)
    with storescp(tmp_path / "got") as (port, folder):
        with open_association(
            LOOPBACK, port, called="STORESCP", calling="CHEXNODE", contexts=proposed_contexts([(DX, syntax)])
        ) as opened:
            assert opened.store(path).status == 0x0000
        (got,) = folder.iterdir()
        assert got.read_bytes().endswith(datasets.data_set_bytes(dataset))
        assert pydicom.dcmread(got).file_meta.TransferSyntaxUID == syntax


class _Stock:
    """A stock pynetdicom SCP that keeps data sets as bytes and answers what it is told to."""

    def __init__(self, *, status: int = 0x0000, maximum_pdu_size: int = 16382) -> None:
        self.status = status
        self.got: list[bytes] = []
        ae = AE("STOCK")
        ae.maximum_pdu_size = maximum_pdu_size
        ae.require_called_aet = True
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, list(ACCEPTED_TRANSFER_SYNTAXES))
        ae.add_supported_context("1.2.840.10008.1.1")
        self.server = ae.start_server((LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        self.port = self.server.server_address[1]

    def _store(self, event: evt.Event) -> int:
        self.got.append(event.request.DataSet.getvalue())
        return self.status


@pytest.fixture
def stock() -> Iterator[_Stock]:
    peer = _Stock()
    yield peer
    peer.server.shutdown()


@pytest.mark.parametrize("how", ["path", "bytes", "dataset"])
def test_one_association_many_objects(stock: _Stock, tmp_path: Path, how: str) -> None:
    sent = [datasets.chest(), datasets.chest(1200, 1000), datasets.chest(1, 1)]
    with open_association(
        LOOPBACK,
        stock.port,
        called="STOCK",
        calling="CHEXNODE",
        contexts=proposed_contexts([(DX, ExplicitVRLittleEndian)]),
    ) as opened:
        opened_for = (opened.accepts(DX, ExplicitVRLittleEndian), opened.accepts(DX, ImplicitVRLittleEndian))
        for dataset in sent:
            source = {
                "path": datasets.write(dataset, tmp_path),
                "bytes": datasets.file_bytes(dataset),
                "dataset": dataset,
            }[how]
            assert opened.store(source).status == 0x0000  # type: ignore[arg-type]  # one of three on purpose
    assert opened_for == (True, False)
    assert stock.got == [datasets.data_set_bytes(dataset) for dataset in sent]


def test_small_pdus(tmp_path: Path) -> None:
    peer = _Stock(maximum_pdu_size=256)
    try:
        dataset = datasets.chest(100, 100)
        outcomes = list(
            send_files([datasets.write(dataset, tmp_path)], LOOPBACK, peer.port, called="STOCK", calling="CHEXNODE")
        )
        assert [outcome.stored for outcome in outcomes] == [True]
        assert peer.got == [datasets.data_set_bytes(dataset)]
    finally:
        peer.server.shutdown()


def test_what_the_peer_says_is_told(tmp_path: Path) -> None:
    peer = _Stock(status=0xA700)
    try:
        good, bad = datasets.write(datasets.chest(), tmp_path), tmp_path / "notes.txt"
        bad.write_text("no DICOM")
        outcomes = list(send_files([bad, good], LOOPBACK, peer.port, called="STOCK", calling="CHEXNODE"))
        assert [(outcome.path, outcome.stored) for outcome in outcomes] == [(bad, False), (good, False)]
        assert "not_dicom" in outcomes[0].detail
        assert "A700" in outcomes[1].detail
    finally:
        peer.server.shutdown()


def test_a_class_that_the_peer_does_not_take_is_refused_and_the_rest_goes_on(stock: _Stock) -> None:
    deflated = datasets.chest()
    deflated.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    contexts = proposed_contexts([(DX, "1.2.840.10008.1.2.1.99"), (DX, ExplicitVRLittleEndian)])
    with open_association(LOOPBACK, stock.port, called="STOCK", calling="CHEXNODE", contexts=contexts) as opened:
        with pytest.raises(Refused, match="does not accept"):
            opened.store(datasets.file_bytes(deflated))
        with pytest.raises(Unreadable):
            opened.store(b"no DICOM")
        assert opened.store(datasets.chest()).status == 0x0000


def test_echo(stock: _Stock) -> None:
    assert echo(LOOPBACK, stock.port, called="STOCK", calling="CHEXNODE") < 5


def test_nobody_there() -> None:
    with pytest.raises(PeerUnavailable, match="cannot connect"):
        echo(LOOPBACK, free_port(), called="NOBODY", calling="CHEXNODE", timeouts=QUICK)


def test_a_wrong_called_ae_title_is_refused_for_good(stock: _Stock) -> None:
    with pytest.raises(Refused, match="is WRONG its AE title"):
        echo(LOOPBACK, stock.port, called="WRONG", calling="CHEXNODE")


def test_none_of_the_contexts(stock: _Stock) -> None:
    with (
        pytest.raises(Refused, match="none of the presentation contexts"),
        open_association(
            LOOPBACK, stock.port, called="STOCK", calling="CHEXNODE", contexts=proposed_contexts([("1.2.3", "1.2.4")])
        ),
    ):
        pass


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where somebody accepts and says nothing."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield listener.getsockname()[1]


def test_a_peer_that_says_nothing_is_given_up_in_time(silent: int) -> None:
    started = time.monotonic()
    with pytest.raises(PeerUnavailable, match="too long"):
        echo(LOOPBACK, silent, called="SILENT", calling="CHEXNODE", timeouts=QUICK)
    assert time.monotonic() - started < 5


def test_a_peer_that_stops_reading_is_given_up_in_time(tmp_path: Path) -> None:
    """It accepts the association and then never reads again."""
    accepted = threading.Event()
    hold = threading.Event()

    def stall() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(_accept_dx())
            accepted.set()
            hold.wait(20)

    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        threading.Thread(target=stall, daemon=True).start()
        dataset = datasets.chest(1500, 1500)
        started = time.monotonic()
        with (
            pytest.raises(PeerUnavailable, match="C-STORE"),
            open_association(
                LOOPBACK,
                listener.getsockname()[1],
                called="STALLS",
                calling="CHEXNODE",
                contexts=proposed_contexts([(DX, ExplicitVRLittleEndian)]),
                timeouts=QUICK,
            ) as opened,
        ):
            opened.store(dataset)
        hold.set()
        assert accepted.is_set()
        assert time.monotonic() - started < 8


def _accept_dx() -> bytes:
    """An A-ASSOCIATE-AC for context 1, Explicit VR Little Endian, 64 KiB PDUs."""
    import struct

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(body)) + body

    context = item(0x21, bytes([1, 0, 0, 0]) + item(0x40, ExplicitVRLittleEndian.encode()))
    user = item(0x50, item(0x51, struct.pack(">I", 65536)) + item(0x52, b"1.2.3"))
    body = (
        struct.pack(">H2x", 1)
        + b"STALLS".ljust(16)
        + b"CHEXNODE".ljust(16)
        + bytes(32)
        + item(0x10, b"1.2.840.10008.3.1.1.1")
        + context
        + user
    )
    return struct.pack(">BxI", 2, len(body)) + body


def test_more_contexts_than_an_association_holds() -> None:
    with pytest.raises(ValueError, match="split"):
        proposed_contexts((f"1.2.{number}", "1.2.3") for number in range(129))
    assert len(verification_contexts()) == 1
