"""Waking those who wait for work, after the commit that made it.

A ring is lost only with its ringer, killed between the commit and the ring: whoever is started in its place rings
for it (`ring_all`). Everybody looks by himself besides, every LONGEST_WAIT.
"""

import contextlib
import os
import secrets
import select
import socket
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Connection, make_url, text

if TYPE_CHECKING:
    import psycopg

#: seconds that a Listener waits at most, whatever it is asked for
LONGEST_WAIT = 30.0
#: seconds between two tries to open a lost connection
_RECONNECT = 5.0
_REQUESTED = "rings"


class Channel(StrEnum):
    """What there may be to do."""

    JOBS = "jobs"
    STUDIES = "studies"
    DELIVERIES = "deliveries"
    COMMITMENTS = "commitments"


class Listener(Protocol):
    """A waiter. Open it *before* looking for work, or what is committed in between is missed."""

    def wait(self, timeout: float) -> bool:
        """True once rung; False after `timeout` seconds, or after LONGEST_WAIT: look for work either way."""
        ...

    def wake(self) -> None:
        """Make wait() return now; safe in a signal handler and in another thread."""
        ...

    def __enter__(self) -> "Listener": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Bell:
    """The bell of one ledger: sockets in `run_folder` beside SQLite, LISTEN/NOTIFY on PostgreSQL."""

    def __init__(self, ledger_url: str, run_folder: Path) -> None:
        url = make_url(ledger_url)
        self._postgresql = (
            url.set(drivername="postgresql").render_as_string(hide_password=False)
            if url.get_backend_name() == "postgresql"
            else None
        )
        self._folder = run_folder / "bell"

    def ring(self, channel: Channel) -> None:
        """Wake every listener of `channel`. Committed work needs no ring by hand: Ledger does it."""
        if self._postgresql is None:
            _ring_sockets(self._folder, channel)
        else:
            import psycopg  # an extra: SQLite needs none

            with psycopg.connect(self._postgresql, autocommit=True) as connection:
                connection.execute("SELECT pg_notify(%s, '')", (_name(channel),))

    def ring_all(self) -> None:
        """Wake every listener there is, for what somebody committed and did not live to ring for."""
        for channel in Channel:
            self.ring(channel)

    def listen(self, *channels: Channel) -> Listener:
        """A Listener for `channels`; a context manager."""
        if self._postgresql is None:
            return _SocketListener(self._folder, channels)
        return _NotifyListener(self._postgresql, channels)


def request(tx: Connection, channel: Channel) -> None:
    """Ask that `channel` be rung once `tx` has been committed."""
    tx.info.setdefault(_REQUESTED, set()).add(channel)


def requested(tx: Connection) -> set[Channel]:
    """What was asked for in `tx`, and forget it."""
    taken: set[Channel] = tx.info.pop(_REQUESTED, set())
    return taken


def notify(tx: Connection, channels: set[Channel]) -> None:
    """On PostgreSQL: hand the rings to the server, which delivers them when `tx` is committed."""
    for channel in sorted(channels):
        tx.execute(text("SELECT pg_notify(:channel, '')"), {"channel": _name(channel)})


def _name(channel: Channel) -> str:
    return f"chexnode_{channel.value}"


class _Waiter:
    """What both listeners share: a deadline, and a pair of sockets that wake() writes to."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        for end in (self._here, self._there):
            end.setblocking(False)

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it will wake up anyway; closed: nobody waits any more
            self._there.send(b"!")

    def _select(self, watched: int | None, timeout: float) -> bool:
        """True when `watched` became readable; False at the deadline or once woken."""
        handles = [self._here.fileno()] if watched is None else [self._here.fileno(), watched]
        readable, _, _ = select.select(handles, [], [], max(0.0, timeout))
        if self._here.fileno() in readable:
            _drain(self._here)
        return watched in readable

    def _close(self) -> None:
        self._here.close()
        self._there.close()


class _SocketListener(_Waiter):
    """A datagram socket whose file name says what it listens for: `jobs+studies.<random>`."""

    def __init__(self, folder: Path, channels: tuple[Channel, ...]) -> None:
        super().__init__()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{'+'.join(channels)}.{secrets.token_hex(6)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with _short(folder) as prefix:
            self._socket.bind(f"{prefix}/{self._path.name}")

    def wait(self, timeout: float) -> bool:
        rung = self._select(self._socket.fileno(), min(timeout, LONGEST_WAIT))
        if rung:
            _drain(self._socket)
        return rung

    def __enter__(self) -> "Listener":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        self._socket.close()
        self._close()


class _NotifyListener(_Waiter):
    """A connection of its own that LISTENs; lost, it is opened again, tried every 5 s."""

    def __init__(self, conninfo: str, channels: tuple[Channel, ...]) -> None:
        super().__init__()
        self._conninfo = conninfo
        self._channels = channels
        self._connection: psycopg.Connection | None = None
        self._connect()

    def wait(self, timeout: float) -> bool:
        import psycopg  # an extra: SQLite needs none

        deadline = time.monotonic() + min(timeout, LONGEST_WAIT)
        if self._connection is None and self._connect():
            return True  # rings may have been lost meanwhile
        try:
            if self._connection is None:
                return self._select(None, min(_RECONNECT, deadline - time.monotonic()))
            if any(True for _ in self._connection.notifies(timeout=0)):
                return True
            if not self._select(self._connection.fileno(), deadline - time.monotonic()):
                return False
            return any(True for _ in self._connection.notifies(timeout=0))
        except psycopg.OperationalError:
            self._connection = None
            self._select(None, min(_RECONNECT, deadline - time.monotonic()))
            return False

    def _connect(self) -> bool:
        import psycopg  # an extra: SQLite needs none

        try:
            self._connection = psycopg.connect(self._conninfo, autocommit=True, connect_timeout=5)
            for channel in self._channels:
                self._connection.execute(f"LISTEN {_name(channel)}")
        except psycopg.OperationalError:
            self._connection = None
            return False
        return True

    def __enter__(self) -> "Listener":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
        self._close()


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A path to `folder` that is short: the address of a Unix socket has room for 107 bytes (unix(7))."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _ring_sockets(folder: Path, channel: Channel) -> None:
    if not folder.is_dir():
        return
    with _short(folder) as prefix, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ringer:
        ringer.setblocking(False)
        for path in folder.iterdir():
            if channel.value not in path.name.partition(".")[0].split("+"):
                continue
            try:
                ringer.sendto(b"!", f"{prefix}/{path.name}")
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)  # its process is gone: a live socket never refuses
            except OSError:
                continue  # rung enough already, just closed, not ours to write to: a lost ring, no more


def _drain(waiting: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while waiting.recv(64):
            pass
