"""Changes to a data set, each a small value that hypothesis can shrink: blind ones, and ones that know DICOM."""

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hypothesis import strategies as st


class Way(StrEnum):
    """How it is changed."""

    BYTE = "byte"
    CUT = "cut"
    COPY = "copy"
    SPOIL = "spoil"
    VALUE = "value"
    INSERT = "insert"
    END = "end"


#: what hurts a parser: undefined length, items and delimiters, VRs of the long form, the greatest numbers, escapes
SPOILERS: Final = (
    b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"\xfe\xff\x0d\xe0", b"UNSQ", b"SQ\0\0", b"OB\0\0",
    b"\xff\xff", b"\0\0", b"\xff\x7f", b"\x80\0", b"\x1b$B\x1b(J", b"\xff\xd8\xff\xd9", b"\xe0\x7f\x10\0",
)  # fmt: skip
#: values of any VR that are none
VALUES: Final = (
    b"", b" ", b"\\" * 30, b"-1", b"1e999", b"nan", b"99999999999999999999", b"0\\0", b"1.2.3.\0", b"../../etc/passwd",
    b"\xff\xfe\xfd", b"\0" * 40, b"ISO 2022 IR 87\\ISO 2022 IR 149", b"A" * 70_000, b"0999Y", b"20269999", b"%s%n{0}",
)  # fmt: skip
#: elements that decide how a film is read, by tag
DECIDING: Final = (
    0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080050, 0x00080060, 0x00080070, 0x00100010, 0x00100020,
    0x00101010, 0x0020000D, 0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280100,
    0x00280101, 0x00280102, 0x00280103, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x20500020, 0x7FE00010,
)  # fmt: skip
_SEQUENCE = struct.pack("<HH2s2xI", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF)
_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
#: elements that nobody expects, in Explicit VR Little Endian: LUTs, shutters, frames, sequences within sequences
INSERTED: Final = (
    (_SEQUENCE + _ITEM) * 300,
    _SEQUENCE + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 3000,
    struct.pack("<HH2sH", 0x0028, 0x0008, b"IS", 4) + b"9999",
    struct.pack("<HH2sH", 0x0028, 0x0120, b"US", 3) + b"abc",
    struct.pack("<HH2sHHHH", 0x0028, 0x3002, b"US", 6, 0, 0, 16),
    struct.pack("<HH2sH", 0x0018, 0x1600, b"CS", 10) + b"POLYGONAL ",
    struct.pack("<HH2sH", 0x0018, 0x1620, b"IS", 6) + b"1\\2\\x ",
    struct.pack("<HH2s2xI", 0x0028, 0x3010, b"SQ", 0xFFFFFFF0),
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change. `at` is a place in thousandths, or a number that chooses; `pick` chooses what is put there."""

    way: Way
    at: int
    pick: int


CHANGES = st.lists(
    st.builds(Change, way=st.sampled_from(Way), at=st.integers(0, 999), pick=st.integers(0, 255)),
    min_size=1,
    max_size=6,
)


def changed(data: bytes, changes: list[Change], *, big: bool = False) -> bytes:
    """The data set after all changes; `big`: its tags are big endian."""
    for each in changes:
        data = _change(data, each, ">" if big else "<")
    return data


def _change(data: bytes, change: Change, order: str) -> bytes:
    at, pick = change.at * len(data) // 1000, change.pick
    match change.way:
        case Way.BYTE:
            return data[:at] + bytes([pick]) + data[at + 1 :]
        case Way.CUT:
            return data[:at] + data[at + 1 + pick :]
        case Way.COPY:
            return data[:at] + data[at : at + 1 + pick] + data[at:]
        case Way.SPOIL:
            spoiler = SPOILERS[pick % len(SPOILERS)]
            return data[:at] + spoiler + data[at + len(spoiler) :]
        case Way.INSERT:
            start = _element(data, DECIDING[change.at % len(DECIDING)], order)
            return data[:start] + INSERTED[pick % len(INSERTED)] + data[start:]
        case Way.VALUE:
            return _with_value(data, DECIDING[change.at % len(DECIDING)], VALUES[pick % len(VALUES)], order)
        case Way.END:
            return data[:at]


def _element(data: bytes, tag: int, order: str) -> int:
    """Where the tag first stands in these bytes; their end where it does not."""
    found = data.find(struct.pack(order + "HH", tag >> 16, tag & 0xFFFF))
    return len(data) if found < 0 else found


def _with_value(data: bytes, tag: int, value: bytes, order: str) -> bytes:
    """Another value in an element of the short explicit form, its length put right; what is not of it stays."""
    start = _element(data, tag, order)
    if start + 8 > len(data) or not data[start + 4 : start + 6].isalpha() or len(value) > 0xFFFF:
        return data
    (length,) = struct.unpack_from(order + "H", data, start + 6)
    return data[: start + 6] + struct.pack(order + "H", len(value)) + value + data[start + 8 + length :]
