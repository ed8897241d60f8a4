"""What the workers of one destination know of it together: whether it takes anything, and who asks first if not."""

import random
import threading
import time
from collections.abc import Callable

from dicom_node.retry import wait
from dicom_node.sections import DeliverSection

#: seconds between two attempts to reach a destination at most, whatever each of its deliveries waits for: one
#: that is back has its new results within this time
PAUSE_LONGEST = 30.0
#: seconds after which a worker looks again while another one asks whether the destination is back
_LOOK_AGAIN = 5.0


class Circuit:
    """Shared by the associations to one destination; safe for their threads.

    A destination that took nothing is left alone by all of them at once, not by each in turn. After that pause one of
    them goes first, and the others follow once it took something.
    """

    def __init__(self, section: DeliverSection, jitter: Callable[[], float] = random.random) -> None:
        self._section = section
        self._jitter = jitter
        self._lock = threading.Lock()
        #: held while one of them claims: two would share a study out among them
        self.claiming = threading.Lock()
        #: turns in a row in which it took nothing
        self._vain = 0
        #: monotonic seconds: when that was last found, until when it is left alone, and when it last took something
        self._since = self._until = self._took_at = float("-inf")
        #: the thread that goes first after a pause
        self._first: int | None = None

    def wait(self) -> float:
        """Seconds that this thread leaves the destination alone; 0: it may go, and says how it went."""
        with self._lock:
            if not self._vain:
                return 0.0
            left = self._until - time.monotonic()
            if left > 0:
                return left
            if self._first not in (None, threading.get_ident()):
                return _LOOK_AGAIN
            self._first = threading.get_ident()
            return 0.0

    def took(self) -> bool:
        """It took something; whether it was in trouble before, so that others wait."""
        with self._lock:
            self._took_at = time.monotonic()
            return self._mend()

    def idle(self, began: float) -> None:
        """There was nothing to send in a turn that began then (monotonic seconds)."""
        with self._lock:
            if began >= self._since:
                self._mend()

    def vain(self, began: float) -> float:
        """It took nothing in a turn that began then (monotonic seconds); seconds to leave it alone.

        Turns that were under way together fail together: that is one trouble, not one for each of them.
        """
        with self._lock:
            now = time.monotonic()
            self._first = None
            if began >= self._since:
                self._vain += 1
                self._since, self._until = now, now + pause_after(self._vain, self._section, self._jitter())
            return max(0.0, self._until - now)

    def leave(self) -> None:
        """This thread has not asked after all: another may."""
        with self._lock:
            if self._first == threading.get_ident():
                self._first = None

    def takes_of_others(self, began: float) -> bool:
        """Whether it took something, of whomever, since a turn began."""
        return self._took_at >= began

    def _mend(self) -> bool:
        was_in_trouble = self._vain > 0
        self._vain, self._first = 0, None
        self._until = float("-inf")
        return was_in_trouble


def pause_after(turns: int, section: DeliverSection, jitter: float) -> float:
    """Seconds to pause after so many turns in vain; `jitter` in 0..1."""
    longest = min(section.retry_longest, PAUSE_LONGEST)
    return wait(turns, first=section.retry_first, longest=longest, jitter=jitter)
