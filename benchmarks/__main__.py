"""Every benchmark that this machine can run, one after another; the table, and docs/performance.md with its plots.

`make bench`, or `python -m benchmarks receive ledger` for some of them alone (nothing is written then). A run that
was stopped goes on where it was when it is started again at the same commit; `--fresh` begins anew.
"""

import argparse
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.alone import show
from benchmarks.measure import machine
from benchmarks.performance import Run, committed_rows, show_rows, write
from benchmarks.record import Outcome, load, save

#: in the order in which a study meets what they measure
NAMES = (
    "receive",
    "small_instances",
    "decode",
    "inference",
    "gpu",
    "stages",
    "latency",
    "backfill",
    "deliver",
    "ledger",
    "day",
    "rest",
)
FOLDER = Path("build") / "bench"
#: a benchmark that takes this many times what it promises is ended
_PATIENCE = 3


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--fresh", action="store_true", help="measure again what a stopped run has measured")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: choose from {', '.join(NAMES)}")
    console = Console()
    kept = _kept(fresh=arguments.fresh)
    started = time.monotonic()
    outcomes = dict(_measured(arguments.names or NAMES, kept, console))
    run = Run(
        commit=_commit(),
        machine=machine(),
        day=time.strftime("%Y-%m-%d"),
        minutes=(time.monotonic() - started) / 60,
        outcomes=outcomes,
    )
    before = committed_rows()
    for outcome in outcomes.values():
        show(console, replace(outcome, rows=()))
    show_rows(console, run, before)
    if not arguments.names:
        write(run, before)
        _forget(kept)
        console.print("written: docs/performance.md")
    return 0


def _measured(names: Sequence[str], kept: Path, console: Console) -> Iterator[tuple[str, Outcome]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(names))
        for name in names:
            path = kept / f"{name}.json"
            if not path.exists():
                for what in _measure(name, path):
                    progress.update(task, description=f"{name}: {what}"[:70])
            progress.advance(task)
            yield name, load(path)


def _measure(name: str, path: Path) -> Iterator[str]:
    """Run one benchmark in a process of its own, so that none inherits another's memory; what it tells."""
    minutes = importlib.import_module(f"benchmarks.{name}").MINUTES
    with tempfile.TemporaryDirectory(prefix=f"chexnode-{name}-", dir=FOLDER) as scratch:
        command = [sys.executable, "-m", "benchmarks.one", name, str(Path(scratch).absolute()), str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)  # noqa: S603 - our own module
        end = threading.Timer(60 * minutes * _PATIENCE, lambda: os.killpg(process.pid, signal.SIGKILL))
        end.start()
        try:
            yield from (line.strip() for line in process.stdout or ())
            process.wait()
        finally:
            end.cancel()
            with contextlib.suppress(ProcessLookupError):  # peers that it may have left behind
                os.killpg(process.pid, signal.SIGKILL)
    if not path.exists():
        why = "took too long" if process.returncode == -signal.SIGKILL else f"ended with {process.returncode}"
        save(Outcome(missing=[f"{name}: it {why}; try `python -m benchmarks.{name}`"]), path)


def _kept(*, fresh: bool) -> Path:
    """Where this run's outcomes are kept: those of a stopped run of the same commit, unless `fresh`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    stamp = FOLDER / "run.json"
    commit = _commit()
    if fresh or not stamp.exists() or json.loads(stamp.read_text()).get("commit") != commit:
        _forget(FOLDER)
        stamp.write_text(json.dumps({"commit": commit}))
    return FOLDER


def _forget(folder: Path) -> None:
    for name in (*NAMES, "run"):
        (folder / f"{name}.json").unlink(missing_ok=True)


def _commit() -> str:
    """What was measured: the commit, with a + where the tree differs from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],  # noqa: S607 - git as it is found
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
