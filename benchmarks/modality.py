"""Who sends in the benchmarks: images with fresh UIDs, dcmtk's storescu as it comes, a sender that costs little."""

import itertools
import os
import socket
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.receivers import CALLING, Receiver
from dicom_node.dimse.commands import as_p_data, data_fragments, store_request
from tests import datasets
from tests.dimse.raw import associate_request

#: UIDs of one length, so that a file is made fresh by changing it in place
_UID = "1.2.826.0.1.3680043.9.7777.1{run:010d}.1{number:09d}"
_numbers = itertools.count(1)
_RUN = int.from_bytes(os.urandom(4), "big")
_RELEASE = struct.pack(">BxII", 5, 4, 0)


def fresh_uid() -> str:
    """A UID that nothing has had yet."""
    return _UID.format(run=_RUN, number=next(_numbers))


@dataclass(frozen=True, kw_only=True)
class Image:
    """A DX image: its data set in Explicit VR Little Endian, and where its SOP Instance UID stands in it."""

    sop_class_uid: str
    data_set: bytes
    at: int

    @classmethod
    def of(cls, rows: int, columns: int) -> "Image":
        """One of 2 · rows · columns bytes and a header; what it shows no receiver looks at."""
        uid = fresh_uid()
        dataset = datasets.chest(16, 16, SOPInstanceUID=uid, StudyInstanceUID=fresh_uid())
        dataset.Rows, dataset.Columns, dataset.PixelData = rows, columns, os.urandom(2 * rows * columns)
        encoded = datasets.data_set_bytes(dataset)
        return cls(sop_class_uid=str(dataset.SOPClassUID), data_set=encoded, at=encoded.index(uid.encode()))

    def fresh(self) -> tuple[str, bytearray]:
        """The same picture as another instance: its UID and its data set."""
        uid = fresh_uid()
        data = bytearray(self.data_set)
        data[self.at : self.at + len(uid)] = uid.encode()
        return uid, data


class Files:
    """PS3.10 files for dcmtk's senders."""

    def __init__(self, folder: Path, count: int, rows: int, columns: int) -> None:
        folder.mkdir()
        self.paths = [folder / f"{number:04d}.dcm" for number in range(count)]
        study = fresh_uid()
        self._at: list[tuple[int, ...]] = []
        for path in self.paths:
            uid = fresh_uid()
            made = datasets.chest(rows, columns, SOPInstanceUID=uid, StudyInstanceUID=study)
            made.save_as(path, enforce_file_format=True)
            whole = path.read_bytes()
            first = whole.index(uid.encode())
            self._at.append((first, whole.index(uid.encode(), first + 1)))

    def renew(self) -> None:
        """Make other instances of them, in place."""
        for path, places in zip(self.paths, self._at, strict=True):
            uid = fresh_uid().encode()
            with path.open("r+b") as file:
                for at in places:
                    file.seek(at)
                    file.write(uid)


def storescu(program: str, to: Receiver, paths: Sequence[Path]) -> None:
    """dcmtk's storescu as it comes, one association. Raises CalledProcessError."""
    subprocess.run([*_storescu(program, to), *map(str, paths)], check=True)  # noqa: S603 - dcmtk


def storescus(program: str, to: Receiver, shares: Sequence[Sequence[Path]]) -> None:
    """As many of them side by side as there are `shares`. Raises RuntimeError where one failed."""
    running = [subprocess.Popen([*_storescu(program, to), *map(str, share)]) for share in shares]  # noqa: S603 - dcmtk
    if sum(process.wait() != 0 for process in running):
        raise RuntimeError(f"storescu to {to.name} failed")


def _storescu(program: str, to: Receiver) -> list[str]:
    return [program, "-R", "-aet", CALLING, "-aec", to.ae_title, "127.0.0.1", str(to.port)]


class Sender:
    """An association that sends bytes made beforehand, in PDUs as large as are offered, at most 128 KiB."""

    def __init__(self, to: Receiver, sop_class_uid: str) -> None:
        self._class = sop_class_uid
        self._socket = socket.create_connection(("127.0.0.1", to.port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        contexts = [(sop_class_uid, ExplicitVRLittleEndian)]
        self._socket.sendall(associate_request(contexts, calling=CALLING, called=to.ae_title))
        kind, answer = self._pdu()
        if kind != 2:
            raise RuntimeError(f"{to.name} answers an association with PDU type {kind}")
        # Maximum Length Sub-Item (PS3.8 D.1)
        (offered,) = struct.unpack_from(">I", answer, answer.index(b"\x51\x00\x00\x04") + 4)
        self.largest = min(offered or 1 << 17, 1 << 17)

    def message(self, uid: str, data: bytearray) -> bytes:
        """A whole C-STORE, as it goes out."""
        request = store_request(message_id=1, sop_class_uid=self._class, sop_instance_uid=uid)
        return as_p_data(1, request) + data_fragments(1, memoryview(data), largest=self.largest, ends=True)

    def store(self, message: bytes) -> None:
        """Send it and wait for its answer. Raises RuntimeError for any but success."""
        self._socket.sendall(message)
        kind, answer = self._pdu()
        if kind != 4 or struct.pack("<HHIH", 0, 0x0900, 2, 0) not in answer:
            raise RuntimeError("a C-STORE was not answered with success")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._socket.sendall(_RELEASE)
            self._pdu()
        self._socket.close()

    def _pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxI", self._exactly(6))
        return kind, self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            more = self._socket.recv(size - len(received))
            if not more:
                raise RuntimeError("the receiver hung up")
            received += more
        return bytes(received)


def pour(to: Receiver, messages: Sequence[bytes]) -> None:
    """Send bytes to a sink, each answered once it is flushed."""
    with socket.create_connection(("127.0.0.1", to.port), timeout=120) as connection:
        for message in messages:
            connection.sendall(len(message).to_bytes(8, "big"))
            connection.sendall(message)
            if connection.recv(1) != b"!":
                raise RuntimeError("the sink hung up")
