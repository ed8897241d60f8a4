"""Signals as something to read, one after the other.

A handler in Python runs between two lines of the main thread: it may come while that thread holds the very lock that
the handler wants; and where the signal comes in the moment before the thread begins to wait in C, it is run only when
that wait is over. What is read from a pipe has neither fault.
"""

import os
import signal
from collections.abc import Iterator


def heard(*numbers: int) -> Iterator[int]:
    """Each of these signals as it comes, without end; from this call on they do nothing else to the process.

    Call it once, in the main thread (ValueError in another); any thread may read. Its pipe stays open as long as the
    process does: a signal may come until the last moment.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in numbers:
        # without a handler its number would not be written
        signal.signal(number, lambda *_: None)
    return _read(reading, frozenset(numbers))


def _read(descriptor: int, numbers: frozenset[int]) -> Iterator[int]:
    while True:
        yield from (number for number in os.read(descriptor, 64) if number in numbers)
