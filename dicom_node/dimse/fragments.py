"""The P-DATA-TF PDUs of a data set that goes out: read into place between their headers, sent from there (PS3.8 9.3.5).

One buffer serves an association. Its headers are written once; a file's bytes are read into the gaps by one call and
leave by one call: nothing is put together that would have to be copied first, over TLS neither.
"""

import os
import struct
from collections.abc import Callable, Iterator, Sequence

_HEADER = struct.Struct(">BxIIBB")
_P_DATA_TF = 0x04
_IS_LAST = 0x02
#: a PDU has this many bytes more than its length field says, and this many of those are its PDV's header
_OUTSIDE, _INSIDE = 6, 6
#: bytes that leave at a time, about: each such step must be taken within the response deadline
_STEP = 1 << 20
#: PDUs of one step: what one readv takes (IOV_MAX of Linux), with room
_MOST = 512
#: room for what goes ahead of the first PDU: a command set
_AHEAD = 1024

#: reads into all of the views, in turn, from a position on; the bytes that it read, 0 at the end
ReadInto = Callable[[Sequence[memoryview], int], int]


def of_file(descriptor: int) -> ReadInto:
    """Read an open file. What it returns raises OSError."""

    def read_into(views: Sequence[memoryview], position: int) -> int:
        return os.preadv(descriptor, views, position)

    return read_into


def of_bytes(data: bytes) -> ReadInto:
    """Read bytes that are at hand."""
    source = memoryview(data)

    def read_into(views: Sequence[memoryview], position: int) -> int:
        read = 0
        for view in views:
            piece = source[position + read : position + read + len(view)]
            view[: len(piece)] = piece
            read += len(piece)
        return read

    return read_into


class Fragments:
    """The buffer of one association, whose PDUs are at most `largest` bytes (Maximum Length, PS3.8 Annex D.1)."""

    def __init__(self, largest: int) -> None:
        self._size = largest - _INSIDE
        self._stride = _OUTSIDE + largest
        count = max(1, min(_STEP // self._stride, _MOST))
        self._buffer = bytearray(_AHEAD + count * self._stride)
        whole = memoryview(self._buffer)
        starts = range(_AHEAD + _HEADER.size, len(self._buffer), self._stride)
        self._bodies = [whole[start : start + self._size] for start in starts]
        self._whole = whole
        self._context_id = 0

    def steps(
        self, context_id: int, read_into: ReadInto, *, begin: int, end: int, ahead: bytes
    ) -> Iterator[memoryview]:
        """The bytes from `begin` to `end` of what `read_into` reads, as PDUs, `ahead` in front of the first.

        Each step is good until the next is asked for. Raises EOFError where there are fewer bytes than that, and what
        `read_into` does.
        """
        if context_id != self._context_id:
            self._context_id = context_id
            for number in range(len(self._bodies)):
                self._write_header(number, self._size)
        if len(ahead) > _AHEAD:  # a UID as long as only a hostile file has it
            yield memoryview(ahead)
            ahead = b""
        position, start = begin, _AHEAD - len(ahead)
        self._whole[start:_AHEAD] = ahead
        while True:
            count = min(max(1, -(-(end - position) // self._size)), len(self._bodies))
            last_size = min(end - position - (count - 1) * self._size, self._size)
            size = (count - 1) * self._size + last_size
            self._read(read_into, position, [*self._bodies[: count - 1], self._bodies[count - 1][:last_size]])
            position += size
            stop = _AHEAD + size + count * _HEADER.size
            if position < end:
                yield self._whole[start:stop]
                start = _AHEAD
                continue
            self._write_header(count - 1, last_size, is_last=True)
            yield self._whole[start:stop]
            self._write_header(count - 1, self._size)
            return

    def _read(self, read_into: ReadInto, position: int, views: list[memoryview]) -> None:
        """Fill all of `views` from `position` on. Raises EOFError, and what `read_into` does."""
        while any(views):
            read = read_into(views, position)
            if read == 0:
                raise EOFError(f"{sum(map(len, views))} bytes are missing at its end")
            position += read
            while views and read >= len(views[0]):
                read -= len(views.pop(0))
            if read:
                views[0] = views[0][read:]

    def _write_header(self, number: int, size: int, *, is_last: bool = False) -> None:
        at = _AHEAD + number * self._stride
        control = _IS_LAST if is_last else 0
        _HEADER.pack_into(self._buffer, at, _P_DATA_TF, size + _INSIDE, size + 2, self._context_id, control)
