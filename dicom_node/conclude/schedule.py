"""APScheduler as an alarm clock: it says when to look, and owns no state. What is due stands in the ledger."""

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType

from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler


class Task(StrEnum):
    """What is done from time to time, whether or not a study arrives."""

    #: say in the ledger that this role lives
    HEARTBEAT = "heartbeat"
    #: delete what is delivered and old enough, and sweep orphans
    RETAIN = "retain"


_LOOK = "look"


class Schedule:
    """Calls `wake` at the times it is given; a context manager. Its jobs live in memory and are lost with it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._due: set[Task] = set()
        self._scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None})

    def look_at(self, when: float | None) -> None:
        """Wake at `when` (seconds since the epoch), instead of at the time given before; None: at no time."""
        if when is not None:
            self._scheduler.add_job(
                self._wake, "date", run_date=datetime.fromtimestamp(when, UTC), id=_LOOK, replace_existing=True
            )
        else:
            with contextlib.suppress(JobLookupError):
                self._scheduler.remove_job(_LOOK)

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
