"""Measuring on a noisy machine: in turn, medians, ratios; CPU seconds and memory of processes from /proc."""

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

#: tells what is being measured right now
Tell = Callable[[str], None]


def interleaved(
    ways: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 1, tell: Tell | None = None
) -> dict[str, list[float]]:
    """What each way measured in each round; all are called once a round, so that a busy machine slows them alike."""
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + warm_up):
        for name, way in ways.items():
            if tell is not None:
                tell(
                    f"{name}, round {number + 1 - warm_up} of {rounds}" if number >= warm_up else f"{name}, warming up"
                )
            value = way()
            if number >= warm_up:
                measured[name].append(value)
    return measured


def median_ratio(ours: list[float], theirs: list[float]) -> float:
    """Median over the rounds of ours / theirs of the same round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes by the clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of `values` do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def descendants(pid: int) -> list[int]:
    """`pid` and all processes below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += descendants(child)
    return found


def cpu_seconds(pid: int) -> float:
    """User and system CPU seconds of one process so far, its ended and awaited children included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Bytes of memory that are its own and in RAM: resident less shared file pages."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * _PAGE


def role_of(pid: int) -> str:
    """The role that a process of `chexnode serve` runs, by its command line."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return " ".join(word for word in words[1:] if word and not word.startswith("/"))[:60]


def flush_seconds(folder: Path, rounds: int = 50) -> float:
    """Median seconds of one fdatasync of 4 KiB that were just appended, on the disk of `folder`."""
    path = folder / "flush"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        taken = []
        for _ in range(rounds):
            os.write(handle, b"\0" * 4096)
            taken.append(seconds(lambda: os.fdatasync(handle)))
        return statistics.median(taken)
    finally:
        os.close(handle)
        path.unlink()


def machine() -> str:
    """What was measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    model = platform.processor()
    if cpuinfo.exists():
        model = next(
            (line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line), model
        )
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"
