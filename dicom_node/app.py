"""Wiring: one process a role; a room is imported only inside the role that runs it: receive never loads torch."""

import contextlib
import functools
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from dicom_node import signals
from dicom_node.config import Role, Settings, load_settings, require_routes
from dicom_node.errors import NodeError

#: seconds that a role may take to drain once it was asked to stop; then the process ends, whatever hangs
DRAIN_DEADLINE = 20.0


def _room(
    role: Role, renewals: Iterator[Settings], listening: Callable[[], None]
) -> Callable[[Settings, threading.Event], None]:
    if role is Role.RECEIVE:
        from dicom_node.receive import role as receive

        return functools.partial(receive.run, renewals=renewals, listening=listening)
    if role is Role.CONCLUDE:
        from dicom_node.conclude.role import run
    elif role is Role.ANALYSE:
        from dicom_node.analyse.role import run
    else:
        from dicom_node.deliver import role as deliver
        from dicom_node.receive.fetched import taking_in

        return functools.partial(deliver.run, taking_in=taking_in)
    return run


def run_role(role: Role, settings_path: Path, *, supervised: bool = False) -> None:
    """Run one role until SIGTERM or SIGINT or, where `supervised`, until the supervisor's end of stdin is closed.

    At SIGHUP the receive role reads its settings and certificates again and drops nobody; every other role drains
    and ends, so that whoever keeps it starts it with the new ones.

    Raises ConfigurationError for settings that make no sense, SchemaMismatch for another version's ledger.
    """
    from dicom_node import audit, logs

    settings = load_settings(settings_path)
    require_routes(settings)
    logs.configure(settings.node, role)
    trail = audit.configure(settings)
    stop = threading.Event()
    hangups: queue.SimpleQueue[int] = queue.SimpleQueue()
    told = signals.heard(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    # the supervisor has it wait until here: one that came earlier would have ended the process
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    # a terminal that closes means "stop", not "read the settings again"
    reads_again = role is Role.RECEIVE and not sys.stderr.isatty()
    obeyed = (told, stop, hangups if reads_again else None)
    threading.Thread(target=_obey, args=obeyed, name="signals", daemon=True).start()
    if supervised:
        threading.Thread(target=_stop_without_supervisor, args=(stop,), name="supervisor", daemon=True).start()
    threading.Thread(target=_leave_after_deadline, args=(stop,), name="drain-deadline", daemon=True).start()
    trail.application(starts=True)
    try:
        _ring_for_the_dead(settings)
        listening = _say_that_it_listens if supervised else lambda: None
        _room(role, _renewals(settings_path, hangups), listening)(settings, stop)
    finally:
        trail.application(starts=False)
        trail.close()


def _obey(told: Iterator[int], stop: threading.Event, hangups: "queue.SimpleQueue[int] | None") -> None:
    """Where there are `hangups`, a SIGHUP is put there; everything else means "stop"."""
    for number in told:
        if number == signal.SIGHUP and hangups is not None:
            hangups.put(number)
        else:
            stop.set()


def _renewals(settings_path: Path, hangups: "queue.SimpleQueue[int]") -> Iterator[Settings]:
    """The settings as they are after each SIGHUP, as long as they make sense."""
    import structlog

    while True:
        hangups.get()
        try:
            settings = load_settings(settings_path)
            require_routes(settings)
        except NodeError as error:
            structlog.get_logger().error("the new settings are not taken, the old ones stay", why=str(error))
        else:
            yield settings


def _ring_for_the_dead(settings: Settings) -> None:
    """The process before this one may have been killed between a commit and its ring. Raises what Ledger does."""
    from dicom_node.ledger import Ledger

    ledger = Ledger.for_settings(settings.node)
    try:
        ledger.bell.ring_all()
    finally:
        ledger.close()


def _say_that_it_listens() -> None:
    """The supervisor starts the other roles then; stdin is its socket, and nobody else's."""
    with contextlib.suppress(OSError):
        os.write(0, b"!")


def _stop_without_supervisor(stop: threading.Event) -> None:
    """The supervisor holds the other end: when it dies, however it dies, there is nothing more to read, and we end."""
    with contextlib.suppress(OSError):
        while os.read(0, 64):
            pass
    stop.set()


def _leave_after_deadline(stop: threading.Event) -> None:
    """A stuck peer may hold a thread that no one can end: the process leaves all the same, state is in the ledger."""
    stop.wait()
    threading.Event().wait(DRAIN_DEADLINE)
    os._exit(0)


def main(arguments: list[str]) -> int:
    """`python -m dicom_node.app ROLE CONFIG`: how the supervisor starts a role."""
    role, settings_path = arguments
    try:
        run_role(Role(role), Path(settings_path), supervised=True)
    except NodeError as error:
        print(f"chexnode {role}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    # no farewell of the interpreter: what a library left running in it must not keep a role that has drained
    os._exit(code)
