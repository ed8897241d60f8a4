"""50 KB instances by dcmtk's storescu as it comes: what the disk's flushes allow, and how much of it is reached."""

import contextlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import receivers, recorded
from benchmarks.alone import alone
from benchmarks.measure import Tell, cpu_seconds, flush_seconds, interleaved, median_ratio, seconds
from benchmarks.modality import Files, Image, Sender, storescu, storescus
from benchmarks.receivers import Receiver
from benchmarks.record import Outcome, Row, Section, Table

MINUTES = 4
COMMAND = "python -m benchmarks.small_instances"
_ROUNDS = 5
#: instances on one association: the node's own, and the peers', whose senders wait 40 ms for most of theirs
_MANY, _FEW = 300, 40
#: associations of one instance each, and senders side by side with instances of each
_ASSOCIATIONS, _SENDERS, _OF_EACH = 30, 8, 60
#: instances that are received under strace
_COUNTED = 200
_PEER_TARGET = 3.0


def run(tell: Tell, scratch: Path) -> Outcome:
    """See the module."""
    program = shutil.which("storescu")
    if program is None:
        return Outcome(missing=["50 KB instances: dcmtk's storescu is not installed"])
    files = Files(scratch / "files", max(_MANY, _SENDERS * _OF_EACH), 160, 156)
    tell("counting flushes")
    flushes, missing = _flushes(scratch, program, files)
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(receivers.node(scratch))
        peers = []
        for name, (needed, start) in receivers.PEERS.items():
            if path := shutil.which(needed):
                peers.append(stack.enter_context(start(scratch, path)))
            else:
                missing.append(f"50 KB instances against {name}: {needed} is not installed")
        measured = _Measured(program, node, peers, files, scratch)
        rates = interleaved(measured.ways(), _ROUNDS, tell=tell)
    rows = [*_bounded(rates, flushes, measured), *_against(rates, peers)]
    tables = [measured.shares(rates, flushes), recorded.shares(tell, scratch / "recorded")]
    return Outcome(rows=rows, tables=tables, missing=missing)


def _flushes(scratch: Path, program: str, files: Files) -> tuple[float | None, list[str]]:
    """Flushes an instance, by a count of the system calls of a receiver of its own; what was missing for it."""
    strace = shutil.which("strace")
    if strace is None:
        return None, ["flushes an instance: strace is not installed"]
    folder = scratch / "counted"
    folder.mkdir()
    counts = folder / "counts"
    with receivers.node(folder) as node:
        storescu(program, node, files.paths[:1])  # so that what the first alone costs is not counted
        files.renew()
        calls = "trace=fsync,fdatasync,msync,sync_file_range"
        command = [strace, "-f", "-c", "-e", calls, "-o", str(counts), "-p", str(node.pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - strace
        assert tracer.stderr is not None
        if "attached" not in (said := tracer.stderr.readline()):
            tracer.kill()
            return None, [f"flushes an instance: strace may not attach ({said.strip()[:80]})"]
        storescu(program, node, files.paths[:_COUNTED])
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=20)
    files.renew()
    called = re.findall(r"^\s*\S+\s+\S+\s+\S+\s+(\d+)\s+(?:\d+\s+)?(?:fsync|fdatasync|msync|sync_file_range)$",
                        counts.read_text(), re.MULTILINE)  # fmt: skip
    return sum(map(int, called)) / _COUNTED, []


class _Measured:
    """What is measured in each round, in instances a second; and the flushes and CPU seconds beside it."""

    def __init__(self, program: str, node: Receiver, peers: Sequence[Receiver], files: Files, scratch: Path) -> None:
        self._program, self._node, self._peers, self._files, self._scratch = program, node, peers, files, scratch
        self.flush: list[float] = []
        self.cpu: list[float] = []

    def ways(self) -> Mapping[str, Callable[[], float]]:
        """One association, an association an instance, senders side by side."""
        ways: dict[str, Callable[[], float]] = {"chexnode: one association": self._own}
        for peer in self._peers:
            ways[f"{peer.name}: one association"] = self._one_association(peer, _FEW)
        for receiver in (self._node, *self._peers):
            if receiver.name != "storescp":
                ways[f"{receiver.name}: an association each"] = self._an_association_each(receiver)
                ways[f"{receiver.name}: an association each, no Nagle"] = self._without_nagle(receiver)
        ways["chexnode: one sender"] = self._side_by_side(1)
        ways[f"chexnode: {_SENDERS} senders"] = self._side_by_side(_SENDERS)
        return ways

    def _own(self) -> float:
        self.flush.append(flush_seconds(self._scratch))
        before = cpu_seconds(self._node.pid)
        rate = self._one_association(self._node, _MANY)()
        self.cpu.append((cpu_seconds(self._node.pid) - before) / _MANY)
        return rate

    def _one_association(self, to: Receiver, count: int) -> Callable[[], float]:
        def measure() -> float:
            self._files.renew()
            taken = seconds(lambda: storescu(self._program, to, self._files.paths[:count]))
            to.tidy()
            return count / taken

        return measure

    def _an_association_each(self, to: Receiver) -> Callable[[], float]:
        def measure() -> float:
            self._files.renew()
            paths = self._files.paths[:_ASSOCIATIONS]

            def one_by_one() -> None:
                for path in paths:
                    storescu(self._program, to, [path])

            return len(paths) / seconds(one_by_one)

        return measure

    def _without_nagle(self, to: Receiver) -> Callable[[], float]:
        image = Image.of(160, 156)

        def one_by_one() -> None:
            for _ in range(_ASSOCIATIONS):
                with Sender(to, image.sop_class_uid) as sender:
                    sender.store(sender.message(*image.fresh()))

        return lambda: _ASSOCIATIONS / seconds(one_by_one)

    def _side_by_side(self, senders: int) -> Callable[[], float]:
        def measure() -> float:
            self._files.renew()
            paths = self._files.paths[: senders * _OF_EACH]
            shares = [paths[first::senders] for first in range(senders)]
            return len(paths) / seconds(lambda: storescus(self._program, self._node, shares))

        return measure

    def shares(self, rates: Mapping[str, list[float]], flushes: float | None) -> Table:
        """Where the milliseconds of an instance go, on one association."""
        whole = 1000 / statistics.median(rates["chexnode: one association"])
        cpu = 1000 * statistics.median(self.cpu[1:])
        flush = 1000 * statistics.median(self.flush[1:])
        disk = flush * (flushes or 0)
        steps = [
            ("flushes, as many as were counted, each as measured in the same run", disk),
            ("CPU of the receiver", cpu),
            ("the sender, the network, and what the flushes of 50 KB take more than those of 4 KB", whole - disk - cpu),
            ("all of it, as measured", whole),
        ]
        return Table(
            section=Section.RECEIVE,
            title="Where the milliseconds of a 50 KB instance go, one association",
            head=("step", "ms", "share"),
            rows=[(step, f"{taken:.2f}", f"{taken / whole:.0%}") for step, taken in steps],
        )


def _bounded(rates: Mapping[str, list[float]], flushes: float | None, measured: _Measured) -> list[Row]:
    own = rates["chexnode: one association"]
    rows = []
    if flushes is not None:
        shares = [rate * flushes * flush for rate, flush in zip(own, measured.flush[1:], strict=True)]
        rows.append(
            Row(
                section=Section.RECEIVE,
                name="50 KB instances, one association: share of what the counted flushes allow",
                reached=statistics.median(shares),
                unit="×",
                target=0.8,
                command=COMMAND,
                figures={
                    "flushes an instance": f"{flushes:.2f}",
                    "one flush": f"{1000 * statistics.median(measured.flush[1:]):.2f} ms",
                    "rate": f"{statistics.median(own):.0f}/s",
                    "receiver's CPU": f"{1000 * statistics.median(measured.cpu[1:]):.2f} ms an instance",
                },
                note=(
                    "Allowed is 1 / (flushes an instance × one flush): nothing else may take any time, not the sender, "
                    "not the CPU. Flushes are counted by strace over a separate run; one flush is an fdatasync of 4 "
                    "KiB that were appended to a file, measured before each round on the same disk."
                ),
            )
        )
    one, many = rates["chexnode: one sender"], rates[f"chexnode: {_SENDERS} senders"]
    rows.append(
        Row(
            section=Section.RECEIVE,
            name=f"{_SENDERS} parallel senders of 50 KB against one",
            reached=median_ratio(many, one),
            unit="×",
            target=4.0,
            command=COMMAND,
            figures={
                "one": f"{statistics.median(one):.0f}/s",
                f"{_SENDERS}": f"{statistics.median(many):.0f}/s",
            },
            note="Senders and receiver share the machine's cores: CPU bounds it where flushes no longer do.",
        )
    )
    return rows


def _against(rates: Mapping[str, list[float]], peers: Sequence[Receiver]) -> list[Row]:
    def row(name: str, peer: str, way: str, target: float | None, note: str) -> Row:
        ours, theirs = rates[f"chexnode: {way}"], rates[f"{peer}: {way}"]
        return Row(
            section=Section.RECEIVE,
            name=f"{name}, against {peer}",
            reached=median_ratio(ours, theirs),
            unit="×",
            target=target,
            command=COMMAND,
            figures={"chexnode": f"{statistics.median(ours):.0f}/s", peer: f"{statistics.median(theirs):.0f}/s"},
            note=note,
        )

    rows = []
    for peer in (each.name for each in peers):
        why = f"storescu as it comes (Nagle); {peer} flushes nothing. {_ROUNDS} rounds."
        rows.append(row("50 KB instances, one association", peer, "one association", _PEER_TARGET, why))
        if peer == "Orthanc":
            name = "50 KB, one association an instance"
            rows.append(row(name, peer, "an association each", 1.0, "storescu as it comes, a process an instance."))
            why = "A sender without Nagle, that costs hardly anything: what the two receivers themselves take."
            rows.append(row(f"{name}, no Nagle", peer, "an association each, no Nagle", None, why))
    return rows


if __name__ == "__main__":
    sys.exit(alone(run))
