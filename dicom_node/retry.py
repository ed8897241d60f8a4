"""How long to wait before the next attempt: one pure function, for every queue of the node."""

import math


def wait(attempts: int, *, first: float, longest: float, jitter: float) -> float:
    """Seconds to wait after the `attempts`-th failed attempt (counted from 1).

    Doubles from `first` up to `longest` (seconds, both positive). `jitter` in 0..1 is drawn by the caller and
    picks a place in the upper half of that wait: deliveries that failed together come back apart, and
    none comes back at once. Raises ValueError for arguments out of their ranges.
    """
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}: a wait follows an attempt, so it is at least 1")
    if not (0 < first < math.inf and 0 < longest < math.inf):
        raise ValueError(f"first is {first} and longest is {longest}: both are positive seconds")
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter is {jitter}: it lies in 0..1")
    # Attempts are unlimited, floats are not: past this many doublings the wait is `longest` in any case.
    doublings = min(attempts - 1, max(0, math.ceil(math.log2(longest) - math.log2(first))))
    return min(longest, math.ldexp(first, doublings)) * (1 + jitter) / 2
