"""A sender that says what it is told to, right or wrong: the A-ASSOCIATE is pynetdicom's, the rest is bytes."""

import socket
import ssl
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)


def associate_request(
    contexts: Sequence[tuple[str, str]],
    *,
    calling: str = "SENDER",
    called: str = "CHEXNODE",
    items: Sequence[Any] = (),
) -> bytes:
    """The bytes of an A-ASSOCIATE-RQ; `items` come on top of the user information that every request has."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    primitive.presentation_context_definition_list = []
    proposed = []
    for number, (abstract_syntax, transfer_syntax) in enumerate(contexts):
        context = build_context(abstract_syntax, transfer_syntax)
        context.context_id = 2 * number + 1
        proposed.append(context)
    primitive.presentation_context_definition_list = proposed
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, implementation, *items]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def rejection(port: int, request: bytes) -> tuple[int, ...]:
    """Result, source and reason of the A-ASSOCIATE-RJ that answers `request` (PS3.8 9.3.4).

    Stock pynetdicom calls a rejection that comes quickly an abort: it looks whether it is connected once it is over.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while len(answer) < 10 and (more := connection.recv(10 - len(answer))):
            answer += more
    assert answer[:6] == b"\x03\x00\x00\x00\x00\x04", f"answered with {answer!r}"
    return tuple(answer[7:10])


def element(number: int, value: bytes) -> bytes:
    """One element of a command set."""
    return struct.pack("<HHI", 0, number, len(value)) + value


def store_command(sop_class: str, sop_instance: str, *, message_id: int = 1) -> bytes:
    """A C-STORE-RQ's command set."""

    def uid(text: str) -> bytes:
        value = text.encode()
        return value + b"\0" * (len(value) % 2)

    body = (
        element(0x0002, uid(sop_class))
        + element(0x0100, struct.pack("<H", 1))
        + element(0x0110, struct.pack("<H", message_id))
        + element(0x0700, struct.pack("<H", 0))
        + element(0x0800, struct.pack("<H", 1))
        + element(0x1000, uid(sop_instance))
    )
    return element(0x0000, struct.pack("<I", len(body))) + body


def p_data(context_id: int, control: int, data: bytes) -> bytes:
    """One P-DATA-TF with one PDV."""
    return struct.pack(">BxIIBB", 4, len(data) + 6, len(data) + 2, context_id, control) + data


class RawSender:
    """An open association; a context manager. Every read has a deadline."""

    def __init__(
        self,
        port: int,
        contexts: Sequence[tuple[str, str]],
        *,
        seconds: float = 20,
        host: str = "127.0.0.1",
        source: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = socket.create_connection((host, port), timeout=seconds, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        self.socket.sendall(associate_request(contexts))
        kind, self.accepted = self.read_pdu()
        assert kind == 2, f"the association was answered with PDU type {kind}"

    def store(self, sop_class: str, sop_instance: str, body: bytes, *, chunk: int = 16_000) -> int:
        """A whole C-STORE; the status of its response."""
        self.socket.sendall(p_data(1, 3, store_command(sop_class, sop_instance)))
        self.send_data(body, chunk=chunk)
        return self.status()

    def send_data(self, body: bytes, *, chunk: int = 16_000) -> None:
        """The last fragments of a data set."""
        for start in range(0, max(len(body), 1), chunk):
            last = start + chunk >= len(body)
            self.socket.sendall(p_data(1, 2 if last else 0, body[start : start + chunk]))

    def status(self) -> int:
        """Status (0000,0900) of the response that comes next."""
        kind, body = self.read_pdu()
        assert kind == 4, f"a PDU of type {kind} instead of a response"
        marker = struct.pack("<HHI", 0, 0x0900, 2)
        at = body.index(marker) + len(marker)
        return int(struct.unpack_from("<H", body, at)[0])

    def read_pdu(self) -> tuple[int, bytes]:
        """Type and body of the next PDU; type 0 where the connection ends."""
        header = self._exactly(6)
        if len(header) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxI", header)
        return kind, self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        collected = b""
        while len(collected) < size:
            try:
                received = self.socket.recv(size - len(collected))
            except ConnectionError:
                return b""
            if not received:
                return collected
            collected += received
        return collected

    def __enter__(self) -> "RawSender":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
