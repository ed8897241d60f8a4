"""A night's back-fill: films in one go, into the node, and into the Orthanc plugin that one would build instead.

`python -m benchmarks.backfill`. Synthetic chests of 2,500 × 3,000, 15 MB uncompressed, two of three with findings, are
sent by two of dcmtk's storescu side by side. The node's results go over C-STORE into an Orthanc; the plugin
(`benchmarks/plugin/chest_plugin.py`) runs inside the Orthanc that receives and hands its results to it in the same
process, which is one hop less than the node's have. Both keep each film once, both run the same network with the same
threads, both make the same two objects, uncompressed; the node flushes all that it answers for, Orthanc nothing. The
clock runs from the first byte sent until the archive counts the last result. The node's quiet period is 0: of ten
years of films it would be a tail of ten seconds, of these few it would be most of the time.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.archive import Archive, plugin_missing
from benchmarks.films import abnormal, clean, write
from benchmarks.measure import Tell, cpu_seconds, descendants, interleaved, median_ratio, resident_bytes, role_of
from benchmarks.network_alone import network_alone
from benchmarks.record import Outcome, Row, Section, Table
from benchmarks.serving import ARCHIVE, CALLED, CALLING, Serving
from dicom_node.analyse.role import threads
from dicom_node.demo.chest import Radiograph

MINUTES = 3
COMMAND = "python -m benchmarks.backfill"
#: films of a round, every third clean; rounds that count; storescu side by side
FILMS, ROUNDS, SENDERS = 12, 3, 2
#: seconds that a round may take at most
_PATIENCE = 240.0
_OURS, _PLUGIN = "the node", "the plugin"


@dataclass(kw_only=True)
class Way:
    """One of the two ways, and what it cost."""

    name: str
    port: int
    ae_title: str
    #: where the results come to lie
    archive: Archive
    #: whether the films come to lie there too
    keeps_films: bool
    #: what it consists of
    pids: Callable[[], dict[int, str]]
    #: process → CPU seconds, and MiB of its own at the end of the last round
    spent: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    films: int = 0

    def images_a_second(self, paths: Sequence[Path]) -> float:
        """Send all of `paths`, wait for the last result. Raises RuntimeError where it does not come."""
        results = _results(len(paths))
        expected = self.archive.count() + results + (len(paths) if self.keeps_films else 0)
        processes = self.pids()
        before = {pid: cpu_seconds(pid) for pid in processes}
        started = time.perf_counter()
        _send(self, paths)
        while self.archive.count() < expected:
            if time.perf_counter() - started > _PATIENCE:
                raise RuntimeError(f"{self.name}: {expected - self.archive.count()} objects have not come")
            time.sleep(0.05)
        taken = time.perf_counter() - started
        self.memory = dict.fromkeys(self.spent, 0.0)
        for pid, process in processes.items():
            # a child that was replaced meanwhile counts in its parent's awaited ones
            with contextlib.suppress(FileNotFoundError):
                self.spent[process] = self.spent.get(process, 0.0) + cpu_seconds(pid) - before[pid]
                self.memory[process] = self.memory.get(process, 0.0) + resident_bytes(pid) / (1 << 20)
        self.films += len(paths)
        return len(paths) / taken


def run(tell: Tell, scratch: Path) -> Outcome:
    """See the module."""
    if why := plugin_missing():
        return Outcome(missing=[f"a back-fill beside the obvious alternative: {why}"])
    tell("drawing films")
    shown = (abnormal(), clean())
    network = network_alone(tell, shown)
    with ExitStack() as stack:
        tell("an archive, a node and an Orthanc with the plugin start")
        archive = stack.enter_context(Archive(scratch / "archive"))
        serving = Serving(
            scratch / "node",
            archive_port=archive.port,
            quiet_period=0.0,
            profile="strict",
            more="compress = false\n",
        )
        stack.enter_context(serving)
        plugged = stack.enter_context(Archive(scratch / "plugged", threads=threads()))
        ours = Way(
            name=_OURS,
            port=serving.port,
            ae_title=CALLED,
            archive=archive,
            keeps_films=False,
            pids=lambda: {
                **{pid: _process(pid) for pid in descendants(serving.pid)},
                archive.pid: "Orthanc, the archive",
            },
        )
        theirs = Way(
            name=_PLUGIN,
            port=plugged.port,
            ae_title=ARCHIVE,
            archive=plugged,
            keeps_films=True,
            pids=lambda: {plugged.pid: "Orthanc with the plugin"},
        )
        files = _Files(scratch / "films", *shown)
        measured = interleaved(
            {
                way.name: lambda way=way: way.images_a_second(files.fresh())  # type: ignore[misc]
                for way in (ours, theirs)
            },
            ROUNDS,
            tell=tell,
        )
        stages = _stages(serving, plugged)
    again = network_alone(tell, shown)
    network = network.faster(again)
    return Outcome(
        rows=_rows(measured, network.images_a_second, network.cpu_ms, ours, theirs),
        tables=[_costs(ours, theirs), stages],
    )


class _Files:
    """Films that nobody has seen: those of a round replace the ones of the round before."""

    def __init__(self, folder: Path, marked: Radiograph, unmarked: Radiograph) -> None:
        folder.mkdir()
        self._folder = folder
        self._films = (marked, marked, unmarked)
        self._number = 0

    def fresh(self) -> list[Path]:
        """The files of a round, written back to the disk before its clock starts."""
        for path in self._folder.iterdir():
            path.unlink()
        paths = []
        for number in range(FILMS):
            self._number += 1
            paths.append(write(self._folder, self._films[number % 3], self._number))
        os.sync()
        return paths


def _process(pid: int) -> str:
    """What a process of the node is, however many there are of it."""
    return role_of(pid).partition(" --config")[0].removeprefix("-m ").rstrip(" 0123456789")


def _results(films: int) -> int:
    """A SEG and an SC of each film with findings, an SC of the others."""
    return 2 * films - films // 3


def _send(way: Way, paths: Sequence[Path]) -> None:
    command = ["storescu", "-R", "-aet", CALLING, "-aec", way.ae_title, "127.0.0.1", str(way.port)]
    # for dcmtk: as it comes it waits 40 ms an instance for a delayed ACK of Orthanc's
    environment = {**os.environ, "TCP_NODELAY": "1"}
    shares = [paths[start::SENDERS] for start in range(SENDERS)]
    running = [
        subprocess.Popen([*command, *map(str, share)], env=environment)  # noqa: S603 - dcmtk
        for share in shares
    ]
    if sum(process.wait() != 0 for process in running):
        raise RuntimeError(f"storescu to {way.name} failed")


def _rows(measured: dict[str, list[float]], network: float, network_cpu_ms: float, ours: Way, theirs: Way) -> list[Row]:
    rates = {name: statistics.median(values) for name, values in measured.items()}
    cores = len(os.sched_getaffinity(0))
    spent = {way.name: 1000 * sum(way.spent.values()) / way.films for way in (ours, theirs)}
    return [
        Row(
            section=Section.ANALYSE,
            name="a back-fill against an Orthanc plugin that runs the same network",
            reached=median_ratio(measured[_OURS], measured[_PLUGIN]),
            unit="×",
            target=3.0,
            command=COMMAND,
            figures={name: f"{rate:.2f} images/s" for name, rate in rates.items()},
            note=f"{FILMS} films of 15 MB a round, median of {ROUNDS} rounds. A film costs {spent[_OURS]:.0f} ms of "
            f"CPU in the node and its archive, {spent[_PLUGIN]:.0f} ms in the plugin; {network_cpu_ms:.0f} ms of each "
            f"are the network. By itself on all {cores} cores, all else for nothing, it reads "
            f"{network / rates[_PLUGIN]:.1f} × the plugin's images/s: no node with this network can do better",
        ),
        Row(
            section=Section.ANALYSE,
            name="a back-fill's images a second against the network alone",
            reached=rates[_OURS] / network,
            unit="×",
            target=0.8,
            command=COMMAND,
            figures={_OURS: f"{rates[_OURS]:.2f} images/s", "the network alone": f"{network:.2f} images/s"},
            note=f"the network alone has all {cores} cores; here the senders, the receiver, the decoders, the encoders "
            "and the archive share them",
        ),
    ]


def _costs(ours: Way, theirs: Way) -> Table:
    rows = []
    for way in (ours, theirs):
        for process, spent in sorted(way.spent.items(), key=lambda one: -one[1]):
            rows.append([way.name, process, f"{1000 * spent / way.films:.0f}", f"{way.memory[process]:.0f}"])
        total = 1000 * sum(way.spent.values()) / way.films
        rows.append([way.name, "in all", f"{total:.0f}", f"{sum(way.memory.values()):.0f}"])
    return Table(
        section=Section.ANALYSE,
        title="What one film of a back-fill costs",
        head=("way", "process", "CPU ms a film", "MiB"),
        rows=rows,
        note="processes of one role together; memory is their own at the end of the last round; the senders, which "
        "both ways have alike, are not in it",
    )


def _stages(serving: Serving, plugged: Archive) -> Table:
    rows = []
    for name, said in (
        (_OURS, [line.get("ms", {}) for line in serving.lines("analysed")]),
        (_PLUGIN, plugged.analysed()),
    ):
        stages = {stage: None for one in said for stage in one}
        for stage in stages:
            values = [float(one[stage]) for one in said if stage in one]
            rows.append([name, stage, f"{statistics.median(values):.0f}"])
    return Table(
        section=Section.ANALYSE,
        title="Where the time of one film of a back-fill goes",
        head=("way", "stage", "ms, median"),
        rows=rows,
        note="by the clock, while other films are under way on the same cores; the node's as in its log line "
        "'analysed', where waiting is a stage, the plugin's one after another inside its callback",
    )


if __name__ == "__main__":
    sys.exit(alone(run))
