"""What is asked of a child that decodes, and what it tells, checked: it may have been taken over by what it read."""

import base64
import math
import socket
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import VR

from dicom_node.analyse import wire
from dicom_node.analyse.picture import is_digest
from dicom_node.analyse.rejection import Rejection, told
from dicom_node.domain import Reason
from dicom_node.encode.identity import HEADER_KEYWORDS
from model.contract import Film

_TAGS = frozenset(tag_for_keyword(keyword) for keyword in HEADER_KEYWORDS)
_VRS = frozenset(str(vr) for vr in VR)


@dataclass(frozen=True, kw_only=True)
class DecodeRequest:
    """One file to read."""

    path: Path
    #: who sent it; "" where nobody did
    calling_ae_title: str = ""
    #: the day on which the node got it
    arrived: date
    #: in a child of its own: it was tried before, and may be what ended the last one
    alone: bool = False
    #: it may be decoded at a lower resolution where that is enough for the network and the Secondary Capture;
    #: its picture is then not compared with another's (picture.of_all)
    reduced: bool = False


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What one file turned out to be."""

    #: None: it is read, and there is a film
    reason: Reason | None
    #: says more than the reason, or what was missing; no identifier
    detail: str
    #: the attributes that results copy (encode.HEADER_KEYWORDS), as octets; None where the file has no header
    header: Dataset | None = None
    sop_instance_uid: str | None = None
    series_instance_uid: str | None = None
    study_instance_uid: str | None = None
    #: of the patient and the order, decoded by the file's character set; never logged
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    accession_number: str = ""
    #: distance of rows, distance of columns
    spacing_mm: tuple[float, float] | None = None
    film: Film | None = None
    #: of the film as displayed and decoded, see picture.picture_digest
    picture_digest: str | None = None
    #: what it withdraws; None: it is no rejection note
    rejection: Rejection | None = None
    #: the file may be read later: its disk failed, or the child was killed from outside, twice
    transient: bool = False


def header_told(message: dict[str, Any]) -> Decoded:
    """The child's first message. Raises WireError where it does not make sense."""
    try:
        reason, detail = _verdict(message)
        if "header" not in message:
            transient = bool(message.get("transient"))
            return Decoded(reason=reason or Reason.DECODE_FAILED, detail=detail, transient=transient)
        identity = message["identity"]
        return Decoded(
            reason=reason,
            detail=detail,
            header=_header(message["header"]),
            patient_id=str(identity["patient_id"]),
            issuer_of_patient_id=str(identity["issuer_of_patient_id"]),
            accession_number=str(identity["accession_number"]),
            spacing_mm=_spacing(message["spacing_mm"]),
            rejection=told(message.get("rejection")),
            sop_instance_uid=_uid(identity["sop_instance_uid"]),
            series_instance_uid=_uid(identity["series_instance_uid"]),
            study_instance_uid=_uid(identity["study_instance_uid"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise wire.WireError(f"it told no header ({type(error).__name__})") from error


def film_told(connection: socket.socket, known: Decoded, *, most_octets: int, deadline: float) -> Decoded:
    """The child's second message and the film that follows it, added to what is `known`.

    Raises WireError where it does not make sense, TimeoutError at `deadline` (monotonic seconds), EOFError, OSError.
    """
    message = wire.receive(connection, deadline=deadline)
    try:
        if "rows" not in message:
            reason, detail = _verdict(message)
            transient = bool(message.get("transient"))
            return replace(known, reason=reason or Reason.DECODE_FAILED, detail=detail, transient=transient)
        rows, columns = int(message["rows"]), int(message["columns"])
        digest = str(message["picture_digest"])
        has_valid = bool(message["has_valid"])
        native = _native(message["native"], (rows, columns))
        window = _window(message["window"])
    except (KeyError, TypeError, ValueError) as error:
        raise wire.WireError(f"it told no film ({type(error).__name__})") from error
    largest = (rows, columns) if native is None else native
    if rows < 1 or columns < 1 or largest[0] * largest[1] * 2 > most_octets or not is_digest(digest):
        raise wire.WireError(f"it told of a film of {rows} x {columns}")
    pixels = np.empty((rows, columns), "<u2")
    wire.receive_into(connection, pixels.data.cast("B"), deadline=deadline)
    valid = None
    if has_valid:
        packed = np.empty((rows * columns + 7) // 8, np.uint8)
        wire.receive_into(connection, packed.data, deadline=deadline)
        valid = np.unpackbits(packed, count=rows * columns).astype(np.bool_).reshape(rows, columns)
    film = Film(pixels=pixels, valid=valid, window=window, native=native)
    return replace(known, film=film, picture_digest=digest)


def _verdict(message: dict[str, Any]) -> tuple[Reason | None, str]:
    reason = message["reason"]
    return None if reason is None else Reason(reason), str(message["detail"])[:500]


def _uid(value: object) -> str | None:
    """A UID as it stands in the file, well-formed or not; at most 64 characters (PS3.5 9.1)."""
    return value if isinstance(value, str) and 0 < len(value) <= 64 else None


def _spacing(value: list[float] | None) -> tuple[float, float] | None:
    if value is None:
        return None
    rows, columns = value
    return float(rows), float(columns)


def _native(value: list[int] | None, shape: tuple[int, int]) -> tuple[int, int] | None:
    if value is None:
        return None
    rows, columns = (int(side) for side in value)
    if rows < shape[0] or columns < shape[1]:
        raise ValueError(f"of {rows} x {columns} there are no {shape[0]} x {shape[1]}")
    return rows, columns


def _window(value: list[Any] | None) -> tuple[float, float, str] | None:
    if value is None:
        return None
    centre, width, function = value
    if not (math.isfinite(centre) and math.isfinite(width)) or function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise ValueError(f"no window has the function {function!r}")
    return float(centre), float(width), str(function)


def _header(told: list[tuple[int, str | None, str]]) -> Dataset:
    header = Dataset()
    for number, vr, encoded in told:
        if number not in _TAGS or vr not in _VRS:
            raise ValueError(f"{number:#010x} is no attribute that results copy")
        octets = base64.b64decode(encoded)
        header[number] = RawDataElement(Tag(number), vr, len(octets), octets, 0, False, True)
    return header
