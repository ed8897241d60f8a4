"""What little work costs a process that slept: a sign of life in the ledger, and one look at memory of its own.

Explains the CPU of an idle node. On a machine of its own both cost after a sleep hardly more than before. A virtual
machine's host may take back memory that was not touched for seconds; the first look at each page then waits for it,
and the guest, who sees no page fault, counts the wait as CPU time.
"""

import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import Tell
from benchmarks.record import Section, Table
from dicom_node.alive import say_alive
from dicom_node.config import Role
from dicom_node.ledger import Ledger

#: seconds of sleep before each look
_SLEEPS = (0, 1, 5, 15)
_MEMORY, _PAGE = 64 << 20, 4096


def after_sleep(tell: Tell, scratch: Path) -> Table:
    """CPU milliseconds and page faults of both after each of `_SLEEPS`."""
    url = f"sqlite:///{scratch / 'cold.sqlite'}"
    Ledger.migrate(url)
    ledger = Ledger.open(url)
    pages = np.ones(_MEMORY, np.uint8)[::_PAGE]
    work: list[Callable[[], object]] = [lambda: say_alive(ledger, Role.RECEIVE), pages.sum]
    rows = []
    try:
        for seconds in _SLEEPS:
            for each in work:
                each()
            tell(f"asleep for {seconds} s, then a sign of life")
            time.sleep(seconds)
            told = [_cpu_and_faults(each) for each in work]
            rows.append([f"{seconds}", *(cell for cpu, faults in told for cell in (f"{1e3 * cpu:.1f}", f"{faults}"))])
    finally:
        ledger.close()
    return Table(
        section=Section.REST,
        title="What sleep costs on this machine: CPU of the first work after it, ms",
        head=[
            *("seconds asleep", "a sign of life in the ledger", "its page faults"),
            *(f"one byte of each page of {_MEMORY >> 20} MiB", "its page faults"),
        ],
        rows=rows,
        note="The same work each time, done once just before the sleep. Where the time of the pages rises and their "
        "faults do not, the memory is gone from under this machine, not from its own kernel's.",
    )


def _cpu_and_faults(work: Callable[[], object]) -> tuple[float, int]:
    """Seconds, and page faults of both kinds."""
    faults, before = _faults(), time.thread_time()
    work()
    return time.thread_time() - before, _faults() - faults


def _faults() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt
