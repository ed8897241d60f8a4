"""One place that audit messages go to, behind a queue: whoever speaks never waits, a dead place holds up nothing."""

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

from dicom_node.retry import wait

_log = structlog.get_logger(__name__)

#: messages that wait for a place that is away; then the oldest go, and the log says how many
MOST_WAITING = 10_000
#: seconds before a place that failed is tried again, first and at most
_FIRST, _LONGEST = 1.0, 60.0


class Sink:
    """A thread that hands messages to `write`, in their order, each until it succeeds."""

    def __init__(self, name: str, write: Callable[[str], None], *, end: Callable[[], None] = lambda: None) -> None:
        """`write` raises OSError where the place is away; `end` is called after the last message."""
        self._name = name
        self._write = write
        self._end = end
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name=f"audit {name}", daemon=True)
        self._thread.start()

    def put(self, message: str) -> None:
        """Queue `message`; never waits for the place."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(message)
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Hand over what waits, within `seconds`; what does not get there is counted in the log."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            left = len(self._waiting) + self._lost
        if left:
            _log.error(
                "audit messages were lost: their place was away when the process ended", to=self._name, lost=left
            )

    def _run(self) -> None:
        failures = 0
        while (message := self._next()) is not None:
            try:
                self._write(message)
            except OSError as error:
                failures += 1
                if failures == 1:
                    _log.error("audit messages wait: their place is away", to=self._name, why=_why(error))
                if self._closed and failures > 1:
                    return
                self._pause(wait(failures, first=_FIRST, longest=_LONGEST, jitter=1.0))
            else:
                self._done(message, failed_before=failures > 0)
                failures = 0
        self._end()

    def _next(self) -> str | None:
        """The oldest message, which stays in the queue until it is there; None: no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting[0] if self._waiting else None

    def _done(self, message: str, *, failed_before: bool) -> None:
        with self._changed:
            if self._waiting and self._waiting[0] is message:  # or it went meanwhile, for newer ones
                self._waiting.popleft()
            lost, self._lost = self._lost, 0
        if lost:
            _log.error("audit messages were lost while their place was away", to=self._name, lost=lost)
        elif failed_before:
            _log.info("audit messages go out again", to=self._name)

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self._closed, deadline - time.monotonic())


def _why(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
