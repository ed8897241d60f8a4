"""Command sets of DIMSE-C and of two of DIMSE-N, written by hand: Implicit VR Little Endian (PS3.7 6.3.1)."""

import struct
from dataclasses import dataclass

#: Command Field (0000,0100) of a request and its response (PS3.7 E.1)
C_STORE_RQ = 0x0001
C_STORE_RSP = 0x8001
C_FIND_RQ = 0x0020
C_FIND_RSP = 0x8020
C_GET_RQ = 0x0010
C_GET_RSP = 0x8010
C_MOVE_RQ = 0x0021
C_MOVE_RSP = 0x8021
C_ECHO_RQ = 0x0030
C_ECHO_RSP = 0x8030
N_EVENT_REPORT_RQ = 0x0100
N_EVENT_REPORT_RSP = 0x8100
N_ACTION_RQ = 0x0130
N_ACTION_RSP = 0x8130
#: Command Data Set Type (0000,0800): no data set follows
NO_DATA_SET = 0x0101

_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<H")


class CommandError(ValueError):
    """The command set is not one: the association ends with an A-ABORT."""


@dataclass(frozen=True, kw_only=True)
class StoreRequest:
    """One C-STORE-RQ as its command set tells it; nothing of it has been checked against the data set."""

    message_id: int
    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    #: 0 medium, 1 high, 2 low (PS3.7 9.1.1.1.6)
    priority: int
    #: of the presentation context that the data set came in
    transfer_syntax_uid: str
    calling_ae_title: str


def read_command(encoded: bytes) -> dict[int, bytes]:
    """The elements of group 0000 by element number. Raises CommandError for anything else."""
    elements: dict[int, bytes] = {}
    offset = 0
    while offset < len(encoded):
        if len(encoded) - offset < _ELEMENT.size:
            raise CommandError("a command element is cut off")
        group, element, length = _ELEMENT.unpack_from(encoded, offset)
        offset += _ELEMENT.size
        if group != 0 or length > len(encoded) - offset:
            raise CommandError(f"({group:04X},{element:04X}) of {length} bytes does not belong into a command set")
        elements[element] = encoded[offset : offset + length]
        offset += length
    return elements


def number(elements: dict[int, bytes], element: int) -> int:
    """A US of the command set. Raises CommandError where it is missing or malformed."""
    value = elements.get(element, b"")
    if len(value) != _US.size:
        raise CommandError(f"(0000,{element:04X}) is missing or no 16-bit number")
    (found,) = _US.unpack(value)
    return int(found)


def uid(elements: dict[int, bytes], element: int) -> str:
    """A UID of the command set, padding removed; empty where it is missing. It is data, whatever it says."""
    return element_text(elements.get(element, b""))


def element_text(value: bytes) -> str:
    """A value of the default repertoire, padding removed."""
    return value.rstrip(b"\0 ").decode("ascii", "replace")


def store_response(request: StoreRequest, status: int, comment: str = "") -> bytes:
    """The command set of a C-STORE-RSP (PS3.7 9.3.1.2). `comment` (0000,0902) is cut at 64 characters."""
    body = (
        _text(0x0002, request.affected_sop_class_uid.encode("ascii", "replace"), b"\0")
        + _number(0x0100, C_STORE_RSP)
        + _number(0x0120, request.message_id)
        + _number(0x0800, NO_DATA_SET)
        + _number(0x0900, status)
    )
    if comment:
        body += _text(0x0902, comment.encode("ascii", "replace")[:64], b" ")
    body += _text(0x1000, request.affected_sop_instance_uid.encode("ascii", "replace"), b"\0")
    return _whole(body)


def store_request(*, message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """The command set of a C-STORE-RQ, of medium priority (PS3.7 9.3.1.1)."""
    return _whole(
        _text(0x0002, sop_class_uid.encode("ascii", "replace"), b"\0")
        + _number(0x0100, C_STORE_RQ)
        + _number(0x0110, message_id)
        + _number(0x0700, 0)
        + _number(0x0800, 0)
        + _text(0x1000, sop_instance_uid.encode("ascii", "replace"), b"\0")
    )


def find_request(*, message_id: int, sop_class_uid: str) -> bytes:
    """The command set of a C-FIND-RQ, of medium priority (PS3.7 9.3.2.1); its identifier follows."""
    return _query(C_FIND_RQ, message_id, sop_class_uid)


def get_request(*, message_id: int, sop_class_uid: str) -> bytes:
    """The command set of a C-GET-RQ, of medium priority (PS3.7 9.3.3.1); its identifier follows."""
    return _query(C_GET_RQ, message_id, sop_class_uid)


def move_request(*, message_id: int, sop_class_uid: str, destination: str) -> bytes:
    """The command set of a C-MOVE-RQ to an AE title, of medium priority (PS3.7 9.3.4.1); its identifier follows."""
    return _query(C_MOVE_RQ, message_id, sop_class_uid, destination=destination)


def _query(command_field: int, message_id: int, sop_class_uid: str, *, destination: str = "") -> bytes:
    return _whole(
        _text(0x0002, sop_class_uid.encode("ascii"), b"\0")
        + _number(0x0100, command_field)
        + _number(0x0110, message_id)
        + (_text(0x0600, destination.encode("ascii"), b" ") if destination else b"")
        + _number(0x0700, 0)
        + _number(0x0800, 0)
    )


def echo_request(*, message_id: int, sop_class_uid: str) -> bytes:
    """The command set of a C-ECHO-RQ (PS3.7 9.3.5.1)."""
    return _whole(
        _text(0x0002, sop_class_uid.encode("ascii"), b"\0")
        + _number(0x0100, C_ECHO_RQ)
        + _number(0x0110, message_id)
        + _number(0x0800, NO_DATA_SET)
    )


def action_request(*, message_id: int, sop_class_uid: str, sop_instance_uid: str, action_type: int) -> bytes:
    """The command set of an N-ACTION-RQ (PS3.7 10.3.5.1); its Action Information follows."""
    return _whole(
        _text(0x0003, sop_class_uid.encode("ascii"), b"\0")
        + _number(0x0100, N_ACTION_RQ)
        + _number(0x0110, message_id)
        + _number(0x0800, 0)
        + _text(0x1001, sop_instance_uid.encode("ascii"), b"\0")
        + _number(0x1008, action_type)
    )


def event_report_request(*, message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type: int) -> bytes:
    """The command set of an N-EVENT-REPORT-RQ (PS3.7 10.3.1.1); its Event Information follows."""
    return _whole(
        _text(0x0002, sop_class_uid.encode("ascii"), b"\0")
        + _number(0x0100, N_EVENT_REPORT_RQ)
        + _number(0x0110, message_id)
        + _number(0x0800, 0)
        + _text(0x1000, sop_instance_uid.encode("ascii"), b"\0")
        + _number(0x1002, event_type)
    )


def event_report_response(request: dict[int, bytes], status: int) -> bytes:
    """The command set of the N-EVENT-REPORT-RSP to the elements of `request` (PS3.7 10.3.1.2)."""
    return _whole(
        _text(0x0002, request.get(0x0002, b""), b"\0")
        + _number(0x0100, N_EVENT_REPORT_RSP)
        + _number(0x0120, number(request, 0x0110))
        + _number(0x0800, NO_DATA_SET)
        + _number(0x0900, status)
        + _text(0x1000, request.get(0x1000, b""), b"\0")
        + (_number(0x1002, number(request, 0x1002)) if 0x1002 in request else b"")
    )


def as_p_data(context_id: int, command: bytes) -> bytes:
    """A whole P-DATA-TF PDU with `command` as the only and last command fragment (PS3.8 9.3.5, E.2)."""
    return struct.pack(">BxIIBB", 0x04, len(command) + 6, len(command) + 2, context_id, 0x03) + command


def data_fragments(context_id: int, data: memoryview, *, largest: int, ends: bool) -> bytes:
    """P-DATA-TF PDUs of at most `largest` bytes each, one PDV in each; `ends`: the last of them is the last."""
    pieces: list[bytes | memoryview] = []
    for start in range(0, max(len(data), 1), largest - 6):
        piece = data[start : start + largest - 6]
        last = ends and start + len(piece) >= len(data)
        pieces.append(struct.pack(">BxIIBB", 0x04, len(piece) + 6, len(piece) + 2, context_id, 0x02 if last else 0))
        pieces.append(piece)
    return b"".join(pieces)


def _whole(body: bytes) -> bytes:
    """With its group length (0000,0000) in front."""
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def _number(element: int, value: int) -> bytes:
    return _ELEMENT.pack(0, element, _US.size) + _US.pack(value)


def _text(element: int, value: bytes, padding: bytes) -> bytes:
    value += padding * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(value)) + value
