"""What the analyse role and its encoders say to each other: an image to encode, and what of it is durable."""

import pickle
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.analyse.results import Encoding
from dicom_node.analyse.wire import receive_into
from dicom_node.domain import EncodedResult, Finding, Profile, Reason
from model.contract import Film

#: octets of the pickled message, number of buffers that follow it; octets of one buffer
_HEAD, _LENGTH = struct.Struct(">II"), struct.Struct(">Q")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One image to encode."""

    encoding: Encoding
    profiles: tuple[Profile, ...]
    header: Dataset
    film: Film
    findings: tuple[Finding, ...]
    input_digest: str
    content_time: datetime
    #: the header as the report of the study wants it: kept beside the objects
    packed_header: bytes


@dataclass(frozen=True, kw_only=True)
class KeptObject:
    """One object of a result, durable."""

    #: without its data, which stand in the spool
    result: EncodedResult
    spool_key: str
    #: SHA-256 of the data, 64 hex digits
    digest: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is durable of one image."""

    objects: tuple["KeptObject", ...]
    #: of the packed header, in the spool
    header_key: str
    #: stage -> seconds
    spent: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Of such a header nothing can be made."""

    reason: Reason
    detail: str


@dataclass(frozen=True, kw_only=True)
class NotKept:
    """The disk took it not."""

    #: there is no room; else the disk failed
    no_room: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Broke:
    """What nobody foresaw, in words that quote no value."""

    error: str
    #: where it was raised, the innermost last
    frames: tuple[str, ...]


#: what an order is answered with
Answer = Kept | Refusal | NotKept | Broke


class Encodes(Protocol):
    """Where orders are carried out; called by many threads at a time."""

    def encode(self, order: Order) -> Kept: ...


def send(connection: socket.socket, message: object) -> None:
    """Send one message, its arrays as they lie in memory. Raises OSError."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    raw = [buffer.raw() for buffer in buffers]
    connection.sendall(
        _HEAD.pack(len(pickled), len(raw)) + b"".join(_LENGTH.pack(part.nbytes) for part in raw) + pickled
    )
    for part in raw:
        connection.sendall(part)


def receive(connection: socket.socket, *, deadline: float | None = None) -> Any:
    """One message; `deadline` in monotonic seconds. Raises TimeoutError, EOFError, OSError."""
    pickled_octets, count = _HEAD.unpack(_read(connection, _HEAD.size, deadline))
    lengths = [_LENGTH.unpack(_read(connection, _LENGTH.size, deadline))[0] for _ in range(count)]
    pickled = _read(connection, pickled_octets, deadline)
    buffers = [_read(connection, length, deadline) for length in lengths]
    return pickle.loads(pickled, buffers=buffers)  # noqa: S301 - the other end is this node's own process


def _read(connection: socket.socket, octets: int, deadline: float | None) -> memoryview:
    # a bytearray would be cleared first: one pass more over a film
    read = np.empty(octets, np.uint8).data
    receive_into(connection, read, deadline=deadline)
    return read
