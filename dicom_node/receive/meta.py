"""Preamble and file meta of what the spool keeps, written by hand: pydicom takes 0.3 ms for them (PS3.10 7.1)."""

import struct

from dicom_node.dimse.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


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
