"""The processes that encode: results are made beside the model, and no other thread of this process feels it.

highdicom and pydicom are Python through and through: in a thread of this process they would hold its lock while the
next film waits for the model, and two of them would undo each other's warning filters, which are the process's.
"""

import contextlib
import queue
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from dicom_node.analyse import order as orders
from dicom_node.analyse.order import Answer, Broke, Kept, NotKept, Order, Refusal
from dicom_node.analyse.spawn import spawned
from dicom_node.errors import EncoderUnavailable, OutOfRoom, StorageFault, Unreadable

#: seconds that an encoder may take to load its libraries, and for one image (law 6)
_START_TIMEOUT, _TIMEOUT = 60.0, 60.0


class EncodingFailed(Exception):
    """An image whose objects cannot be made; the message quotes nothing of it."""


def kept_of(answer: Answer) -> Kept:
    """What was kept, or what kept it from being kept: see Encoders.encode."""
    match answer:
        case Refusal():
            raise Unreadable(answer.reason, answer.detail)
        case NotKept():
            raise (OutOfRoom if answer.no_room else StorageFault)(answer.detail)
        case Broke():
            raise EncodingFailed(f"{answer.error} at {', '.join(answer.frames)}")
    return answer


class Encoders:
    """`count` processes that encode into the spool in `spool_folder`. A context manager; for many threads at a time."""

    def __init__(self, spool_folder: Path, count: int) -> None:
        self._all = [_Encoder(spool_folder) for _ in range(count)]
        self._idle: queue.SimpleQueue[_Encoder] = queue.SimpleQueue()
        for encoder in self._all:
            self._idle.put(encoder)
        #: images that are encoded at a time
        self.count = count

    def encode(self, order: Order) -> Kept:
        """Make every object of one image durable.

        Raises Unreadable where its header names no instance, OutOfRoom, StorageFault, EncoderUnavailable where no
        process starts, and EncodingFailed for what nobody foresaw.
        """
        encoder = self._idle.get()
        try:
            answer = encoder.answer(order)
        finally:
            self._idle.put(encoder)
        return kept_of(answer)

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [encoder.pid for encoder in self._all]

    def close(self) -> None:
        """End every process, whatever it is doing."""
        for encoder in self._all:
            encoder.close()

    def __enter__(self) -> "Encoders":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Encoder:
    """One process, started at once, and replaced when it dies over an image or takes too long for it."""

    def __init__(self, spool_folder: Path) -> None:
        self._spool_folder = spool_folder
        self._closed = False
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def answer(self, order: Order) -> Answer:
        """Raises EncoderUnavailable, EncodingFailed."""
        self._await_ready()
        try:
            orders.send(self._connection, order)
            answer: Answer = orders.receive(self._connection, deadline=time.monotonic() + _TIMEOUT)
        except TimeoutError as error:
            self._replace()
            raise EncodingFailed(f"it took more than {_TIMEOUT:g} s to encode") from error
        except (EOFError, OSError) as error:
            self._replace()
            raise EncodingFailed(f"the process that encodes ended over it (exit code {self._ended})") from error
        return answer

    def close(self) -> None:
        """From another thread too: what `answer` is at raises."""
        self._closed = True
        self._end()

    def _start(self) -> None:
        self._ready = False
        self._process, self._connection = spawned("dicom_node.analyse.encoder")
        with contextlib.suppress(OSError):  # dead already: _await_ready tells
            orders.send(self._connection, self._spool_folder)

    def _await_ready(self) -> None:
        if self._ready:
            return
        try:
            self._ready = bool(orders.receive(self._connection, deadline=time.monotonic() + _START_TIMEOUT))
            self._connection.settimeout(_TIMEOUT)
        except (TimeoutError, EOFError, OSError) as error:
            self._replace()
            raise EncoderUnavailable(
                "the process that encodes did not start: what it printed stands above, or the host is out of memory "
                "(analyse.encoders)"
            ) from error

    def _replace(self) -> None:
        self._ended = self._end()
        if self._closed:
            raise EncoderUnavailable("the encoders are closed: the node is stopping")
        self._start()

    def _end(self) -> int:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        try:
            # it ends by itself once its socket has, and forgets the names that it did not use
            return self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._connection.close()
