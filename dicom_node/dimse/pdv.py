"""Presentation data values: the fragments that messages come in (PS3.8 9.3.5.1, Annex E)."""

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from dicom_node.dimse.commands import CommandError
from dicom_node.dimse.wire import INVALID_PARAMETER, PDUType, Wire, WireError

_HEADER = struct.Struct(">IBB")
#: of the length field: itself
_LENGTH_SIZE = 4
#: fragments that are handed on together: what one writev(2) takes
_MOST_TOGETHER = 1024
_IS_COMMAND = 0x01
_IS_LAST = 0x02


class PDV(NamedTuple):
    """One fragment; `data` is a slice of the receive buffer, good until the next one is asked for."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


class PDVReader:
    """Fragments off a Wire, one after another."""

    def __init__(self, wire: Wire, *, io_timeout: float) -> None:
        self._wire = wire
        self._io_timeout = io_timeout
        self._rest = memoryview(b"")

    def wait(self, seconds: float, started: Callable[[], None]) -> PDV | PDUType:
        """The first fragment of a message, or the type of another PDU that came instead.

        The connection may be idle for `seconds`; `started` is called as soon as it no longer is.
        """
        if self._rest:
            started()
            return self._split()
        kind, body = self._wire.next(time.monotonic() + seconds, started=started)
        if kind is not PDUType.P_DATA_TF:
            return kind
        self._rest = body
        return self._split()

    def data_set(self, context_id: int, deadline: float) -> Iterator[Sequence[memoryview]]:
        """The fragments of a data set, as many together as the receive buffer holds; good until more are asked for.

        Raises WireError; CommandError for another message in the middle of it.
        """
        pieces: list[memoryview] = []
        last = False
        while not last:
            if not self._rest:
                last = self._wire.whole_fragments(context_id, pieces, most=_MOST_TOGETHER)
                if last:
                    break
            # what comes next may be read over these; and tiny ones cost more memory than they bring bytes
            overwrites = not self._rest and self._wire.is_full and not self._wire.has_pdu
            if overwrites or len(pieces) >= _MOST_TOGETHER:
                yield pieces
                pieces = []
            fragment = self.next(deadline)
            if fragment.is_command or fragment.context_id != context_id:
                raise CommandError("another message in the middle of a data set")
            pieces.append(fragment.data)
            last = fragment.is_last
        yield pieces

    def next(self, message_deadline: float) -> PDV:
        """The next fragment of a message that has begun. Raises WireError."""
        if not self._rest:
            soon = time.monotonic() + self._io_timeout
            kind, self._rest = self._wire.next(min(soon, message_deadline))
            if kind is PDUType.A_ABORT:
                raise WireError("the peer aborted in the middle of a message")
            if kind is not PDUType.P_DATA_TF:
                raise WireError(f"{kind.name} in the middle of a message", abort_reason=INVALID_PARAMETER)
        return self._split()

    def _split(self) -> PDV:
        rest = self._rest
        if len(rest) < _HEADER.size:
            raise WireError("a PDV is cut off", abort_reason=INVALID_PARAMETER)
        length, context_id, control = _HEADER.unpack_from(rest)
        end = _LENGTH_SIZE + length
        if end < _HEADER.size or end > len(rest):
            raise WireError(f"a PDV of {length} bytes in the {len(rest)} left", abort_reason=INVALID_PARAMETER)
        self._rest = rest[end:]
        return PDV(context_id, bool(control & _IS_COMMAND), bool(control & _IS_LAST), rest[_HEADER.size : end])
