"""One connection's bytes: every read and every write ends by a deadline, no peer chooses a buffer's size."""

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from enum import IntEnum

_HEADER = struct.Struct(">BxI")
#: a P-DATA-TF's header and that of the PDV which it begins with (PS3.8 9.3.5)
_DATA_HEADER = struct.Struct(">BxIIBB")


class PDUType(IntEnum):
    """PS3.8 9.3.1."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


_KINDS = {int(kind): kind for kind in PDUType}
#: bytes that an A-ASSOCIATE-RQ or -AC may have: 128 contexts with 40 transfer syntaxes each need 140 KB
LONGEST_NEGOTIATION = 256 << 10
#: bytes of the PDUs that have nothing to say (PS3.8 9.3.6 to 9.3.8: always 4)
LONGEST_SHORT_PDU = 64
#: what some senders exceed the PDU length by that they were offered: they count its header, or a PDV's
_SLACK = 64
#: bytes of the receive buffer: slices of it go to the disk together, and it fits a core's cache
_BUFFER = 1 << 20
#: Message Control Header of a data set's fragments, by its bits: a command; the last one (PS3.8 E.2)
_IS_COMMAND = 0x01
_IS_LAST = 0x02


class WireError(Exception):
    """The connection can't go on; the reason for an A-P-ABORT where the peer might still hear it (PS3.8 9.3.8)."""

    def __init__(self, what: str, *, abort_reason: int | None = None) -> None:
        super().__init__(what)
        self.abort_reason = abort_reason


UNRECOGNISED_PDU = 1
UNEXPECTED_PDU = 2
INVALID_PARAMETER = 6


def tune(connection: socket.socket, *, user_timeout: float) -> None:
    """No Nagle (it costs 40 ms an instance against delayed ACK); a peer that takes nothing is given up in time."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    user_timeout_option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if user_timeout_option is not None:
        connection.setsockopt(socket.IPPROTO_TCP, user_timeout_option, max(1, int(user_timeout * 1000)))


def hang_up(connection: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    """Shut a connection down from any thread, so that whoever reads or writes it returns at once."""
    with contextlib.suppress(OSError):
        # not SSLSocket.shutdown: it drops the session first, and what its thread sends next would be in clear
        socket.socket.shutdown(connection, how)


class Wire:
    """PDUs from a connected socket (plain or TLS). Not for two threads at once, but for `close()`."""

    def __init__(self, connection: socket.socket, *, max_pdu: int, io_timeout: float) -> None:
        self._socket = connection
        self._io_timeout = io_timeout
        self._longest = max_pdu + _SLACK
        self._buffer = memoryview(bytearray())
        self._start = self._end = 0
        over_tcp = connection.family in (socket.AF_INET, socket.AF_INET6)
        self._quick_ack: int | None = getattr(socket, "TCP_QUICKACK", None) if over_tcp else None
        # it reads without waiting: most of the time there is something, and one call brings it
        self._waits = True

    def read_negotiation(self, expected: frozenset[PDUType], deadline: float) -> bytes:
        """One whole PDU of the kinds that open an association, all of it before `deadline` (monotonic)."""
        header = self._exactly(_HEADER.size, deadline)
        kind, length = _HEADER.unpack(header)
        if kind not in expected:
            raise WireError(f"an association cannot begin with a PDU of type {kind:#04x}", abort_reason=UNEXPECTED_PDU)
        if length > LONGEST_NEGOTIATION:
            raise WireError(f"a PDU of type {kind:#04x} claims {length} bytes", abort_reason=INVALID_PARAMETER)
        return header + self._exactly(length, deadline)

    @property
    def has_pdu(self) -> bool:
        """Whether next() can answer without reading from the socket."""
        kept = self._end - self._start
        if kept < _HEADER.size:
            return False
        return kept - _HEADER.size >= self._length_at_start()[1]

    @property
    def is_full(self) -> bool:
        """Whether the next read from the socket overwrites what next() and whole_fragments() gave before."""
        return len(self._buffer) - self._start < _HEADER.size + self._longest

    def next(self, deadline: float, *, started: Callable[[], None] | None = None) -> tuple[PDUType, memoryview]:
        """The next PDU's type and body; it is good until something is read while `is_full`, or `started` is given.

        Its first byte must come before `deadline` (monotonic), the rest of it within io_timeout after that; `started`,
        at the beginning of a message, is called once its first byte is there. Raises WireError.
        """
        if not self._buffer:
            self._buffer = memoryview(bytearray(max(_BUFFER, 2 * self._longest)))
        if self._start == self._end:
            if started is not None:
                self._start = self._end = 0
            self._fill(deadline)
        if started is not None:
            started()
        if not self.has_pdu:
            whole = time.monotonic() + self._io_timeout
            while not self.has_pdu:
                self._fill(whole)
        kind, length = self._length_at_start()
        body = self._start + _HEADER.size
        self._start = body + length
        return kind, self._buffer[body : body + length]

    def whole_fragments(self, context_id: int, into: list[memoryview], *, most: int) -> bool:
        """Put fragments of a data set that are here already `into` a list; whether the last one was among them.

        Only those that nearly all senders send, each whole and alone in its PDU, until `most` are in the list; next()
        has what is anything else.
        """
        buffer, start, end = self._buffer, self._start, self._end
        last = False
        while not last and len(into) < most and end - start >= _DATA_HEADER.size:
            kind, length, pdv_length, pdv_context_id, control = _DATA_HEADER.unpack_from(buffer, start)
            stop = start + _HEADER.size + length
            if stop > end or length != pdv_length + 4 or pdv_length < 2 or length > self._longest:
                break
            if kind != PDUType.P_DATA_TF or pdv_context_id != context_id or control & _IS_COMMAND:
                break
            into.append(buffer[start + _DATA_HEADER.size : stop])
            last = bool(control & _IS_LAST)
            start = stop
        self._start = start
        return last

    def send(self, data: bytes | memoryview) -> None:
        """All of it within io_timeout. Raises WireError."""
        self._waits = True
        try:
            self._socket.settimeout(self._io_timeout)
            self._socket.sendall(data)
        except OSError as error:
            raise WireError(f"sending {len(data)} bytes failed: {error}") from error

    def interrupt(self) -> None:
        """From another thread: the reader gets WireError, what is being sent still goes out."""
        hang_up(self._socket, socket.SHUT_RD)

    def _length_at_start(self) -> tuple[PDUType, int]:
        kind, length = _HEADER.unpack_from(self._buffer, self._start)
        known = _KINDS.get(kind)
        if known is None:
            raise WireError(f"a PDU of type {kind:#04x}", abort_reason=UNRECOGNISED_PDU)
        if length > (self._longest if known is PDUType.P_DATA_TF else LONGEST_SHORT_PDU):
            raise WireError(f"a PDU of {length} bytes ({known.name})", abort_reason=INVALID_PARAMETER)
        return known, length

    def _fill(self, deadline: float) -> None:
        """Read once, whatever there is. The unread rest moves to the front where a PDU might not fit behind it."""
        if self.is_full:
            kept = self._end - self._start
            self._buffer[:kept] = self._buffer[self._start : self._end]
            self._start, self._end = 0, kept
        self._end += self._receive_into(self._buffer[self._end :], deadline)

    def _exactly(self, size: int, deadline: float) -> bytes:
        """Exactly `size` bytes; memory grows with what came, not with what was claimed."""
        collected = bytearray()
        chunk = memoryview(bytearray(min(size, 16 << 10)))
        while len(collected) < size:
            room = chunk[: size - len(collected)]
            collected += room[: self._receive_into(room, deadline)]
        return bytes(collected)

    def _receive_into(self, view: memoryview, deadline: float) -> int:
        if time.monotonic() > deadline:  # also of a peer that never keeps us waiting
            raise WireError("the peer took too long")
        try:
            if self._waits:
                self._socket.setblocking(False)
                self._waits = False
            while True:
                try:
                    received = self._socket.recv_into(view)
                    break
                except (BlockingIOError, ssl.SSLWantReadError):
                    self._await(select.POLLIN, deadline)
                except ssl.SSLWantWriteError:
                    self._await(select.POLLOUT, deadline)
        except OSError as error:
            raise WireError(f"the connection broke: {error}") from error
        if received == 0:
            raise WireError("the peer closed the connection")
        return received

    def _await(self, event: int, deadline: float) -> None:
        """Wait for the socket until `deadline` (monotonic). Raises WireError, OSError."""
        if self._quick_ack is not None:
            # the sender may be waiting for this ACK before it sends the rest (Nagle at its end)
            self._socket.setsockopt(socket.IPPROTO_TCP, self._quick_ack, 1)
        poll = select.poll()
        poll.register(self._socket, event)
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not poll.poll(remaining * 1000):
            raise WireError("the peer took too long")
