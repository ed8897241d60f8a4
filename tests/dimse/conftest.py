"""A hardened server in this process that keeps what it is sent in memory."""

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from dicom_node.dimse.acceptor import AcceptorLimits
from dicom_node.dimse.commands import StoreRequest
from dicom_node.dimse.contexts import accepted_contexts
from dicom_node.dimse.requests import CALLED_NOT_RECOGNISED, AssociationRequest, Rejection
from dicom_node.dimse.server import Server, ServerLimits


class Kept:
    """One C-STORE, in memory."""

    def __init__(self, peer: "Peer", request: StoreRequest) -> None:
        self.request = request
        self.data = bytearray()
        self._peer = peer

    def write(self, *pieces: bytes | memoryview) -> None:
        for piece in pieces:
            self.data += piece

    def finish(self) -> tuple[int, str]:
        self._peer.kept.append(self)
        return self._peer.status, self._peer.comment

    def abandon(self) -> None:
        self._peer.abandoned += 1


class Peer:
    """The server, and what came of it."""

    def __init__(self, *, tls: Callable[[], ssl.SSLContext] | None = None, **settings: Any) -> None:
        self.kept: list[Kept] = []
        self.abandoned = 0
        self.status, self.comment = 0x0000, ""
        self.judged: list[AssociationRequest] = []
        self.failures: Callable[[], list[Any]] = list
        acceptor = {"max_pdu": 131072, "io_timeout": 2.0, "message_timeout": 5.0, "idle_timeout": 5.0}
        server = {"max_associations": 8, "max_associations_per_peer": 4, "request_timeout": 2.0}
        for name, value in settings.items():
            (acceptor if name in acceptor else server)[name] = value
        self.server = Server(
            ("127.0.0.1", 0),
            ae_title="CHEXNODE",
            contexts=accepted_contexts(),
            admits=lambda address: address != "127.0.0.66",
            judge=self._judge,
            begin_store=lambda request: Kept(self, request),
            limits=ServerLimits(acceptor=AcceptorLimits(**acceptor), **server),  # type: ignore[arg-type]  # by name
            tls=tls,
        )
        self.server.start()
        self.port = self.server.port

    def _judge(self, request: AssociationRequest) -> Rejection | None:
        self.judged.append(request)
        return None if request.called_ae_title == "CHEXNODE" else CALLED_NOT_RECOGNISED


@pytest.fixture
def serve() -> Iterator[Callable[..., Peer]]:
    """Start a server; keywords set a cap or a deadline."""
    peers: list[Peer] = []

    def _serve(**settings: Any) -> Peer:
        peers.append(Peer(**settings))
        return peers[-1]

    yield _serve
    for peer in peers:
        peer.server.close(drain=0.1)


@pytest.fixture
def serve_once() -> Iterator[Peer]:
    """One server for many associations, which also tells of failures that its outermost loop had to catch."""
    with capture_logs() as logged:
        peer = Peer()
        peer.failures = lambda: [entry for entry in logged if entry["log_level"] == "error"]
        yield peer
        peer.server.close(drain=0.1)
