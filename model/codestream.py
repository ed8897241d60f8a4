"""What a compressed picture says of its own size, read from its first bytes and before anything is allocated."""

import struct
from typing import NamedTuple

#: start-of-frame markers of JPEG (ITU-T T.81 table B.1) and JPEG-LS (T.87): all that carry a frame header
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
#: markers without a length: TEM, RSTn, SOI
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN = 0xDA
_J2K_START = b"\xff\x4f\xff\x51"
#: markers of a main header: of the coding style, and of the first tile, with which the header ends (T.800 A.2)
_CODING_STYLE, _START_OF_TILE = 0xFF52, 0xFF90
#: both families end so
_END = b"\xff\xd9"


class Size(NamedTuple):
    """Of a codestream."""

    rows: int
    columns: int
    components: int


class Wavelets(NamedTuple):
    """How a JPEG 2000 or HTJ2K codestream holds its samples."""

    #: bits of a sample
    precision: int
    signed: bool
    #: times that its resolution can be halved by decoding less
    levels: int


def jpeg_size(stream: bytes) -> Size | None:
    """The frame header of a JPEG or JPEG-LS stream, or None where there is none."""
    at = 2
    while stream[:2] == b"\xff\xd8" and at + 4 <= len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_HEADERS and at + 10 <= len(stream):
            rows, columns, components = struct.unpack_from(">HHB", stream, at + 5)
            return Size(rows, columns, components)
        if marker == _START_OF_SCAN:
            return None
        at += 2 + int(struct.unpack_from(">H", stream, at + 2)[0])
    return None


def jpeg2000_size(stream: bytes) -> Size | None:
    """The SIZ segment of a JPEG 2000 or HTJ2K codestream (ITU-T T.800 A.5.1), bare or boxed as JP2."""
    at = stream.find(_J2K_START, 0, 4096)
    if at < 0 or len(stream) < at + 42:
        return None
    x1, y1, x0, y0 = struct.unpack_from(">4I", stream, at + 8)
    components = int(struct.unpack_from(">H", stream, at + 40)[0])
    return Size(y1 - y0, x1 - x0, components)


def wavelets(stream: bytes) -> Wavelets | None:
    """What the main header says of the first component (T.800 A.5.1, A.6.1); None where it does not."""
    start = stream.find(_J2K_START, 0, 4096)
    at = start + 2
    while start >= 0 and at + 14 <= len(stream):
        marker, length = struct.unpack_from(">HH", stream, at)
        if marker == _CODING_STYLE:
            depth = stream[start + 42]
            return Wavelets(precision=(depth & 0x7F) + 1, signed=depth > 0x7F, levels=stream[at + 9])
        if marker < 0xFF00 or marker == _START_OF_TILE:
            return None
        at += 2 + int(length)
    return None


def is_whole(stream: bytes) -> bool:
    """The stream ends as JPEG, JPEG-LS and JPEG 2000 streams do; only padding (00, or fill bytes FF) may follow."""
    return stream.rstrip(b"\x00\xff").endswith(_END)
