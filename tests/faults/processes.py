"""Finding the processes of a node, freezing and killing them: at once, or at a chosen system call by strace."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers import program
from tests.waiting import wait_for


@dataclass(frozen=True, kw_only=True)
class Point:
    """The `when`-th time that one thread of a process calls one of `calls`: it is killed instead."""

    calls: str
    when: int = 1

    def __str__(self) -> str:
        return f"{self.calls.split(',')[0]} {self.when}"


def descendants(pid: int) -> list[int]:
    """Process ids of all descendants, deepest last; none where it is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def alive(pid: int) -> bool:
    """Whether it runs; one that ended and whose parent has not looked yet does not."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def kill(*pids: int) -> None:
    """SIGKILL; what is gone already is fine."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def require_strace() -> None:
    """Skips the test where strace is absent or may not trace."""
    if subprocess.run(
        [program("strace"), "-qq", "-o", os.devnull, "true"], check=False, capture_output=True
    ).returncode:
        pytest.skip("strace may not trace here: run where ptrace is allowed (--cap-add SYS_PTRACE)")


@contextlib.contextmanager
def killed_at(pid: int, point: Point) -> Iterator[None]:
    """Inside, the process `pid` is killed as soon as it gets to `point`; afterwards it is left alone, if it did not."""
    tracer = subprocess.Popen(
        [
            program("strace"), "-f", "-o", os.devnull, "-p", str(pid),
            "-e", f"trace={point.calls}", "-e", f"inject={point.calls}:signal=SIGKILL:when={point.when}",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert tracer.stderr is not None
    attached = tracer.stderr.readline()
    assert "attached" in attached, attached
    drained = threading.Thread(target=tracer.stderr.read, daemon=True)
    drained.start()
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            tracer.wait(10)
        tracer.kill()
        tracer.wait(10)
        drained.join(10)
        tracer.stderr.close()


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Inside, the process does not run; it wakes up afterwards as if nothing had been."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for("the process to stand still", lambda: "T" in _state(pid))
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
