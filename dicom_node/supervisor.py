"""`chexnode serve`: brings the ledger forward, then keeps one exec'd process a role alive until told to stop."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import structlog

from dicom_node import signals
from dicom_node.app import DRAIN_DEADLINE
from dicom_node.config import NodeSection, Role, Settings, load_settings, require_routes
from dicom_node.errors import ConfigurationError

log = structlog.get_logger()

#: seconds before a role that died is started again: first, and at most (doubled each time that it dies young)
RESTART_FIRST = 0.5
RESTART_LONGEST = 30.0
#: seconds after which a role counts as started well
GROWN_UP = 60.0
#: seconds that the other roles wait for receive to listen: to load them all at once would make senders wait for torch
RECEIVE_FIRST = 5.0
#: seconds that the supervisor waits for a role beyond the role's own deadline, before it kills it
GRACE = 3.0


class RoleKeeper(threading.Thread):
    """Keeps one role's process alive; the process's stdin is a socket whose other end only the supervisor holds."""

    def __init__(self, role: Role, settings_path: Path, stop: threading.Event) -> None:
        super().__init__(name=f"keeper-{role.value}")
        self.role = role
        self._command = [sys.executable, "-m", "dicom_node.app", role.value, str(settings_path)]
        self._stopping = stop
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        #: the process said that peers may call, or ended without
        self.listens = threading.Event()
        self._starting = threading.Lock()
        self._renewing = threading.Event()

    def run(self) -> None:
        # what it starts inherits this: a SIGHUP waits until the role can hear it (app.run_role)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        wait = RESTART_FIRST
        while (process := self._start()) is not None:
            started = time.monotonic()
            code = process.wait()
            if self._stopping.is_set():
                return
            if code == 0 and self._renewing.is_set():
                self._renewing.clear()
                log.info("role starts again with the new settings", child=self.role.value)
                continue
            wait = RESTART_FIRST if time.monotonic() - started > GROWN_UP else min(wait * 2, RESTART_LONGEST)
            log.error("role died", child=self.role.value, code=code, restart_in_seconds=wait)
            self._stopping.wait(wait)

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._starting:
            if self._stopping.is_set():
                return None
            if self._lifeline is not None:
                self._lifeline.close()
            self._lifeline, theirs = socket.socketpair()
            with theirs:
                # a session of its own: a Ctrl-C on the terminal reaches the supervisor alone, which drains the roles
                self._process = subprocess.Popen(self._command, stdin=theirs.fileno(), start_new_session=True)  # noqa: S603 - our own module
            if not self.listens.is_set():
                threading.Thread(target=self._hear, args=(self._lifeline,), daemon=True).start()
        log.info("role started", child=self.role.value, pid=self._process.pid)
        return self._process

    def _hear(self, lifeline: socket.socket) -> None:
        with contextlib.suppress(OSError):
            lifeline.recv(1)
        self.listens.set()

    def renew(self) -> None:
        """Have the process take new settings: see app.run_role."""
        with self._starting:
            if self._process is not None and self._process.poll() is None:
                self._renewing.set()
                self._process.send_signal(signal.SIGHUP)

    def drain(self) -> None:
        """Ask the process to finish what it holds; call once the stop event is set."""
        with self._starting:
            if self._lifeline is not None:
                with contextlib.suppress(OSError):
                    self._lifeline.shutdown(socket.SHUT_WR)

    def end(self, deadline: float) -> None:
        """Wait for the process until `deadline` (monotonic seconds), then kill it."""
        self.join(max(0.0, deadline - time.monotonic()))
        if self.is_alive() and self._process is not None:
            log.warning("role did not drain in time and is killed", child=self.role.value)
            self._process.kill()
            self.join()


def serve(settings_path: Path) -> None:
    """Run the node until SIGTERM or SIGINT; SIGHUP has the roles take the settings as they are then.

    Raises ConfigurationError and SchemaMismatch before any role starts.
    """
    from dicom_node import logs
    from dicom_node.ledger import Ledger, url_for

    settings = load_settings(settings_path)
    require_routes(settings)
    logs.configure(settings.node, "serve")
    lock = _only_one(settings.node)
    Ledger.migrate(url_for(settings.node))
    stop = threading.Event()
    told = signals.heard(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    roles = (Role.RECEIVE, *(role for role in Role if role is not Role.RECEIVE))
    keepers = [RoleKeeper(role, settings_path.resolve(), stop) for role in roles]
    receive, *others = keepers
    receive.start()
    receive.listens.wait(RECEIVE_FIRST)
    for keeper in others:
        keeper.start()
    # a terminal that closes means "stop", not "read the settings again"
    while next(told) == signal.SIGHUP and not sys.stderr.isatty():
        settings = _renew(settings_path, settings, keepers)
    stop.set()
    log.info("stopping", deadline_seconds=DRAIN_DEADLINE)
    for keeper in keepers:
        keeper.drain()
    deadline = time.monotonic() + DRAIN_DEADLINE + GRACE
    for keeper in keepers:
        keeper.end(deadline)
    os.close(lock)


def _renew(path: Path, running: Settings, keepers: list[RoleKeeper]) -> Settings:
    """Hand new settings to the roles: certificates and peers to receive, which drops nobody; the others only if needed.

    Certificates and secrets of what is sent are read at each connection, so nothing has to start again for those.
    """
    try:
        settings = load_settings(path)
        require_routes(settings)
    except ConfigurationError as error:
        log.warning("the new settings are not taken, the old ones stay", why=str(error))
        return running
    changed = settings != running
    for keeper in keepers:
        if changed or keeper.role is Role.RECEIVE:
            keeper.renew()
    log.info("the settings were read again", changed=changed)
    return settings


def _only_one(node: NodeSection) -> int:
    """Lock the node's folder; the lock ends with the process. Raises ConfigurationError when another holds it."""
    node.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(node.folder / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"another `chexnode serve` runs on {node.folder} (node.folder): stop it, or give this one its own folder"
        ) from error
    return descriptor
