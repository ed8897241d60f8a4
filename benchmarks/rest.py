"""From exec to the first C-ECHO answered and to the first film read; what an idle node takes: CPU, wake-ups, memory."""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.alone import alone
from benchmarks.cold import after_sleep
from benchmarks.films import studies
from benchmarks.measure import Tell, descendants, role_of
from benchmarks.record import Outcome, Row, Section, Table
from dicom_node.config import load_settings
from dicom_node.dimse.association import echo
from dicom_node.dimse.sending import send_files
from dicom_node.domain import JobState
from dicom_node.errors import NodeError
from dicom_node.ledger import Ledger, schema
from tests.peers import free_port
from tests.site import configure

MINUTES = 2
COMMAND = "python -m benchmarks.rest"
#: starts of a node whose ledger is there
_STARTS = 5
#: seconds that the idle node is watched
_WATCHED = 30.0
#: seconds that are left to it to come to rest
_SETTLES = 5.0
_PATIENCE = 90.0
#: % of one core, all processes together: three minutes a day, what the model takes for a few hundred films
_IDLE = 0.2
_SECTION = Section.REST


def run(tell: Tell, scratch: Path) -> Outcome:
    """See the module."""
    folder = scratch / "node"
    folder.mkdir()
    tell("the first start of all")
    with _Node(folder).running() as node:
        first = node.answered_after
        tell("a film, as soon as the node takes it")
        analysed = node.analysed_after(scratch)
    starts = []
    for number in range(_STARTS):
        tell(f"start {number + 1} of {_STARTS}")
        with _Node(folder).running() as node:
            starts.append(node.answered_after)
            if number < _STARTS - 1:
                continue
            ready = node.model_ready_after()
            tell(f"at rest, {_WATCHED:g} s")
            time.sleep(_SETTLES)
            watched = _watch(node.pid)
    return Outcome(
        rows=[*_start_rows(first, starts, ready, analysed), *_rest_rows(watched)],
        tables=[_processes(watched), after_sleep(tell, scratch)],
    )


class _Node:
    """`chexnode serve` in a folder, with one peer that sends and is sent to."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._configuration = configure(folder, port=self._port, archive_port=free_port())
        self._log = folder / "node.log"
        self._log.unlink(missing_ok=True)
        self.pid = 0
        #: seconds from its exec to the first C-ECHO that it answered
        self.answered_after = 0.0
        self._began = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator["_Node"]:
        """It answers C-ECHO inside."""
        with self._log.open("wb") as log:
            self._began = time.monotonic()
            process = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-m", "dicom_node", "serve", "--config", str(self._configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = process.pid
        try:
            self.answered_after = self._after(self._answers, every=0.005)
            yield self
        finally:
            process.terminate()
            process.wait(60)

    def model_ready_after(self) -> float:
        """Seconds from its exec to the moment at which the model can read."""
        return self._after(lambda: any(line.get("event") == "model ready" for line in self._lines()))

    def analysed_after(self, scratch: Path) -> float:
        """Send it a film of 15 MB now; seconds from its exec to the end of the film's job."""
        marked, dataset = next(studies())
        path = scratch / "film.dcm"
        dataset.save_as(path, enforce_file_format=True)
        sent = send_files([path], "127.0.0.1", self._port, called="CHEXNODE", calling="ARCHIVE")
        if not (marked and all(one.stored for one in sent)):
            raise RuntimeError("the node does not take the film")
        ledger = Ledger.for_settings(load_settings(self._configuration).node)
        query = select(func.count()).select_from(schema.job).where(schema.job.c.state == JobState.DONE.value)

        def done() -> bool:
            with ledger.reading() as tx:
                return bool(tx.execute(query).scalar_one())

        try:
            return self._after(done)
        finally:
            ledger.close()

    def _answers(self) -> bool:
        with contextlib.suppress(NodeError):
            echo("127.0.0.1", self._port, called="CHEXNODE", calling="ARCHIVE")
            return True
        return False

    def _lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def _after(self, there: Callable[[], bool], *, every: float = 0.02) -> float:
        while not there():
            if time.monotonic() > self._began + _PATIENCE:
                raise RuntimeError(f"the node did not come that far: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(every)
        return time.monotonic() - self._began


@dataclass(kw_only=True)
class _Process:
    """One process at rest."""

    role: str
    #: seconds on a CPU while it was watched
    cpu: float = 0.0
    #: times that one of its threads went to sleep, and how often each did that does
    sleeps: int = 0
    threads: list[int] = field(default_factory=list)
    #: bytes: its own, and those with its share of what it has in common with others
    unique: int = 0
    proportional: int = 0


def _watch(supervisor: int) -> list[_Process]:
    """Every process of a node, while nothing happens."""
    pids = descendants(supervisor)
    before = {pid: _threads(pid) for pid in pids}
    time.sleep(_WATCHED)
    watched = []
    for pid in pids:
        one = _Process(role=role_of(pid))
        for thread, (cpu, sleeps) in _threads(pid).items():
            cpu_before, sleeps_before = before[pid].get(thread, (0.0, 0))
            one.cpu += cpu - cpu_before
            one.sleeps += sleeps - sleeps_before
            if sleeps > sleeps_before:
                one.threads.append(sleeps - sleeps_before)
        one.unique, one.proportional = _memory(pid)
        watched.append(one)
    return watched


def _threads(pid: int) -> dict[int, tuple[float, int]]:
    """Of each thread its CPU seconds, and how often it slept of its own accord."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it ended
            status = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines() if ":" in line)
            on_cpu = int((task / "schedstat").read_text().split()[0]) / 1e9
            found[int(task.name)] = (on_cpu, int(status["voluntary_ctxt_switches"]))
    return found


def _memory(pid: int) -> tuple[int, int]:
    """Bytes: unique (USS), and proportional (PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines)}
    return 1024 * (kib["Private_Clean"] + kib["Private_Dirty"]), 1024 * kib["Pss"]


def _start_rows(first: float, starts: list[float], ready: float, analysed: float) -> list[Row]:
    return [
        Row(
            section=_SECTION,
            name="from exec to the first C-ECHO answered",
            reached=statistics.median(starts),
            unit="s",
            target=2.0,
            more_is_better=False,
            command=COMMAND,
            figures={"slowest": f"{max(starts):.2f} s", "the model is ready after": f"{ready:.1f} s"},
            note=f"`chexnode serve`, median of {_STARTS}; the other roles start once it listens.",
        ),
        Row(
            section=_SECTION,
            name="the same on the first start of all, which makes the ledger and the spool",
            reached=first,
            unit="s",
            target=2.0,
            more_is_better=False,
            command=COMMAND,
        ),
        Row(
            section=_SECTION,
            name="from exec to the first film read: 15 MB, sent as soon as the node takes it",
            reached=analysed,
            unit="s",
            more_is_better=False,
            command=COMMAND,
            note="The model loads meanwhile. On the first start of all.",
        ),
    ]


def _rest_rows(watched: list[_Process]) -> list[Row]:
    return [
        Row(
            section=_SECTION,
            name="CPU of the whole idle node",
            reached=100 * sum(one.cpu for one in watched) / _WATCHED,
            unit="% of a core",
            target=_IDLE,
            more_is_better=False,
            command=COMMAND,
            figures={"wake-ups": f"{sum(one.sleeps for one in watched) / _WATCHED:.1f}/s"},
            note="Signs of life every 10 to 30 s; whoever listens to the bell looks by itself every 30 s, since a ring "
            f"may be lost. Watched for {_WATCHED:g} s. What a wake-up costs on this machine stands in the table below.",
        ),
        Row(
            section=_SECTION,
            name="memory of the whole idle node, the model loaded",
            reached=sum(one.proportional for one in watched) / (1 << 20),
            unit="MiB",
            more_is_better=False,
            command=COMMAND,
            note="PSS: what processes share counts once.",
        ),
    ]


def _processes(watched: list[_Process]) -> Table:
    rows = [
        [
            one.role,
            f"{one.unique / (1 << 20):.0f}",
            f"{one.proportional / (1 << 20):.0f}",
            f"{1e3 * one.cpu / _WATCHED:.2f}",
            f"{one.sleeps / _WATCHED:.2f}",
            " + ".join(f"{count / _WATCHED:.2f}" for count in sorted(one.threads, reverse=True)),
        ]
        for one in watched
    ]
    return Table(
        section=_SECTION,
        title="Each process at rest",
        head=["process", "USS, MiB", "PSS, MiB", "CPU, ms/s", "wake-ups/s", "by threads"],
        rows=rows,
        note="USS: its own; PSS: with its share of what several have in common. Told 5 s after the model was ready.",
    )


if __name__ == "__main__":
    sys.exit(alone(run))
