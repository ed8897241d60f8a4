"""Waiting for a condition, with a deadline: what tests do instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T], *, seconds: float = 20.0, every: float = 0.02) -> T:
    """The first truthy answer of `condition`; AssertionError naming `what` once the deadline has passed."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(every)
    return answer
