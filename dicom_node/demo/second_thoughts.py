"""What an archive does to a study some time after its last image came: a correction, a merge."""

import threading
from collections.abc import Callable


class SecondThoughts:
    """Calls `correct` with each Study Instance UID once, when the study has been quiet for `pause` seconds."""

    def __init__(self, pause: float, correct: Callable[[str], None]) -> None:
        self._pause = pause
        self._correct = correct
        self._lock = threading.Lock()
        self._timers: dict[str, threading.Timer] = {}
        self._done: set[str] = set()
        self._stopping = False

    def arrived(self, study_instance_uid: str) -> None:
        """An image of that study came: its time begins anew, unless it was corrected already."""
        with self._lock:
            if self._stopping or study_instance_uid in self._done:
                return
            if (running := self._timers.pop(study_instance_uid, None)) is not None:
                running.cancel()
            timer = threading.Timer(self._pause, self._run, args=(study_instance_uid,))
            timer.daemon = True
            self._timers[study_instance_uid] = timer
            timer.start()

    def stop(self) -> None:
        """Correct nothing more."""
        with self._lock:
            self._stopping = True
            for timer in self._timers.values():
                timer.cancel()

    def _run(self, study_instance_uid: str) -> None:
        with self._lock:
            if self._stopping or self._timers.pop(study_instance_uid, None) is None:
                return
            self._done.add(study_instance_uid)
        self._correct(study_instance_uid)
