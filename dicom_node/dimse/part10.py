"""Preamble and file meta, read and written by hand (PS3.10 7.1): the data set behind them is never touched."""

import struct
from dataclasses import dataclass

from dicom_node.dimse.commands import element_text
from dicom_node.dimse.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.domain import Reason
from dicom_node.errors import Unreadable

#: bytes of a file that hold its file meta, those of any real one
LONGEST_META = 64 << 10

_PREAMBLE = 128
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})


@dataclass(frozen=True, kw_only=True)
class FileMeta:
    """What a sender needs of a file: what to propose for it, and where its data set begins."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    #: byte of the file at which the data set begins
    data_set_offset: int


def read_file_meta(start: bytes | memoryview) -> FileMeta:
    """The file meta of a file that begins with `start` (LONGEST_META bytes, or all of it).

    Raises Unreadable (not_dicom) where there is none, or it names no class, instance or syntax.
    """
    view = memoryview(start)
    if bytes(view[_PREAMBLE : _PREAMBLE + 4]) != b"DICM":
        raise Unreadable(Reason.NOT_DICOM, "no DICM after 128 bytes: this is no DICOM file (PS3.10)")
    offset = _PREAMBLE + 4
    values: dict[int, str] = {}
    try:
        while struct.unpack_from("<H", view, offset)[0] == 0x0002:
            element, vr, length = struct.unpack_from("<H2sH", view, offset + 2)
            offset += 8
            if vr in _LONG_VRS:
                (length,) = struct.unpack_from("<I", view, offset)
                offset += 4
            values[element] = element_text(bytes(view[offset : offset + length]))
            offset += length
        return FileMeta(
            sop_class_uid=values[0x0002],
            sop_instance_uid=values[0x0003],
            transfer_syntax_uid=values[0x0010],
            data_set_offset=offset,
        )
    except (struct.error, KeyError) as error:
        raise Unreadable(Reason.NOT_DICOM, "its file meta is cut off, or names no class, UID or syntax") from error


def file_meta(*, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling_ae_title: str) -> bytes:
    """128 bytes of preamble, DICM and group 0002; the data set follows as it was received."""
    elements = (
        struct.pack("<HH2s2xI2s", 0x0002, 0x0001, b"OB", 2, b"\0\1")
        + _short(0x0002, b"UI", sop_class_uid, b"\0")
        + _short(0x0003, b"UI", sop_instance_uid, b"\0")
        + _short(0x0010, b"UI", transfer_syntax_uid, b"\0")
        + _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0")
        + _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b" ")
        + _short(0x0016, b"AE", calling_ae_title, b" ")
    )
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements)) + elements


def _short(element: int, vr: bytes, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    value += padding * (len(value) % 2)
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value
