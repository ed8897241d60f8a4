"""APScheduler as an alarm clock: it says when to look, and owns no state. What is due stands in the ledger."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType

from apscheduler.schedulers.background import BackgroundScheduler


class Task(StrEnum):
    """What is done from time to time, whether or not a study arrives."""

    #: say in the ledger that this role lives
    HEARTBEAT = "heartbeat"
    #: delete what is delivered and old enough, and sweep orphans
    RETAIN = "retain"


#: weeks until the alarm would ring by itself: at no time
_AGES = 5000


class Schedule:
    """Calls `wake` at the times it is given; a context manager. Its jobs live in memory and are lost with it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._due: set[Task] = set()
        self._scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None})
        # set anew at each look, never removed: a date job removes itself, and trips over a shutdown meanwhile
        self._look = self._scheduler.add_job(wake, "interval", weeks=_AGES, next_run_time=None)

    def look_at(self, when: float | None) -> None:
        """Wake at `when` (seconds since the epoch), instead of at the time given before; None: at no time."""
        self._look.modify(next_run_time=None if when is None else datetime.fromtimestamp(when, UTC))

    def every(self, seconds: float, task: Task) -> None:
        """Wake with `task` due now, and again every `seconds`."""
        self._scheduler.add_job(
            self._ring_for,
            "interval",
            seconds=seconds,
            args=(task,),
            id=task.value,
            next_run_time=datetime.now(UTC),
        )

    def due(self) -> set[Task]:
        """The tasks that came due since this was last asked."""
        with self._lock:
            due, self._due = self._due, set()
        return due

    def _ring_for(self, task: Task) -> None:
        with self._lock:
            self._due.add(task)
        self._wake()

    def __enter__(self) -> "Schedule":
        self._scheduler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)
