"""Untrusted bytes to a film, by way of a child process that is limited, and killed at its deadline (law 8)."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any

from dicom_node.analyse import wire
from dicom_node.analyse.decoded import Decoded, DecodeRequest, film_told, header_told
from dicom_node.analyse.spawn import spawned
from dicom_node.domain import Reason
from dicom_node.errors import DecoderUnavailable
from dicom_node.sections import AnalyseSection, SelectSection

#: seconds that a child may take to load its libraries
_START_TIMEOUT = 60.0


class Decoder:
    """One child process, started at once, used for one file after another and replaced whenever it dies.

    A context manager; not for use by several threads at a time.
    """

    def __init__(self, limits: AnalyseSection, rules: SelectSection) -> None:
        self._limits = limits
        self._setup = {
            "memory": limits.decode_memory,
            "cpu_seconds": limits.decode_cpu_seconds,
            "select": rules.model_dump(mode="json"),
        }
        self._replacing = threading.Lock()
        self._closed = False
        self._child = _Child(self._setup)

    def decode(self, request: DecodeRequest) -> Decoded:
        """Read one file; whatever it does to the child is a Reason. Raises DecoderUnavailable where no child starts.

        A child that crashes over a file may have been hurt by an earlier one: the file gets a second, fresh child.
        """
        if self._child.served and request.alone:
            self._replace()
        fresh = not self._child.served
        decoded, crashed = self._try(request)
        if crashed and not fresh:
            decoded, crashed = self._try(request)
        return decoded

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._child.pid

    def await_child(self) -> None:
        """Wait until the child has loaded its libraries. Raises DecoderUnavailable."""
        try:
            self._child.await_ready()
        except (TimeoutError, EOFError, OSError, wire.WireError) as error:
            self._replace()
            raise DecoderUnavailable(
                "the process that decodes did not start: what it printed stands above, or the host is out of memory "
                "(analyse.decoders, analyse.decode_memory)"
            ) from error

    def kill(self) -> None:
        """Kill the child for good; from another thread too: what `decode` is at raises DecoderUnavailable."""
        with self._replacing:
            self._closed = True
            self._child.kill()

    def close(self) -> None:
        """End the child for good."""
        self.kill()
        self._child.end()

    def __enter__(self) -> "Decoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _try(self, request: DecodeRequest) -> tuple[Decoded, bool]:
        """The outcome, and whether the child crashed over it."""
        self.await_child()
        known = Decoded(reason=None, detail="")
        try:
            for told in self._child.ask(request, deadline=time.monotonic() + self._limits.decode_timeout):
                known = told
        except TimeoutError:
            self._replace()
            detail = f"it took longer than analyse.decode_timeout, {self._limits.decode_timeout:g} s"
            return replace(known, reason=Reason.DECODE_LIMIT, detail=detail), False
        except (EOFError, OSError):
            died = self._child.end(patience=5.0)
            self._replace()
            return _after_death(known, died, self._limits)
        except wire.WireError as error:
            self._replace()
            return replace(known, reason=Reason.DECODE_FAILED, detail=f"the decoder went astray: {error}"), True
        return known, False

    def _replace(self) -> None:
        with self._replacing:
            if self._closed:
                raise DecoderUnavailable("the decoder is closed: the node is stopping")
            self._child.end()
            self._child = _Child(self._setup)


def _after_death(known: Decoded, died: int, limits: AnalyseSection) -> tuple[Decoded, bool]:
    if died == -signal.SIGXCPU:
        detail = f"it took more than analyse.decode_cpu_seconds, {limits.decode_cpu_seconds} s of CPU time"
        return replace(known, reason=Reason.DECODE_LIMIT, detail=detail), False
    name = signal.Signals(-died).name if died < 0 else f"exit code {died}"
    if died == -signal.SIGKILL:
        detail = "the decoder was killed from outside; was the host out of memory?"
        return replace(known, reason=Reason.DECODE_LIMIT, detail=detail, transient=True), True
    return replace(known, reason=Reason.DECODE_FAILED, detail=f"the decoder crashed over it ({name})"), True


class _Child:
    """A running child process and our end of its socket."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self._memory = int(setup["memory"])
        #: it was asked before
        self.served = False
        self._ready = False
        self._process, self._connection = spawned("dicom_node.analyse.child")
        self.pid = self._process.pid
        with contextlib.suppress(OSError):  # dead already: await_ready tells
            wire.send(self._connection, setup)

    def await_ready(self) -> None:
        """Wait until it has loaded its libraries. Raises TimeoutError, EOFError, OSError, WireError."""
        if not self._ready:
            self._ready = bool(wire.receive(self._connection, deadline=time.monotonic() + _START_TIMEOUT))

    def ask(self, request: DecodeRequest, *, deadline: float) -> Iterator[Decoded]:
        """What is known once the header is read, then what is known at last.

        `deadline` is in monotonic seconds. Raises TimeoutError, EOFError, OSError, WireError.
        """
        self.served = True
        plain = {
            "path": str(request.path.absolute()),
            "calling_ae_title": request.calling_ae_title,
            "arrived": request.arrived.isoformat(),
            "reduced": request.reduced,
        }
        self._connection.settimeout(max(0.001, deadline - time.monotonic()))
        wire.send(self._connection, plain)
        known = header_told(wire.receive(self._connection, deadline=deadline))
        yield known
        if known.reason is None:
            yield film_told(self._connection, known, most_octets=self._memory, deadline=deadline)

    def kill(self) -> None:
        """Kill it; whoever waits for its answer sees the end of the connection."""
        self._process.kill()

    def end(self, *, patience: float = 0.0) -> int:
        """Its exit code once it has ended: by itself within `patience` seconds, else killed."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(patience)
        self._process.kill()
        return self._process.wait()
