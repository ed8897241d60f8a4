"""Sending: the node's requestor and its deliver role against dcmtk's storescu, to the same receivers, in turn."""

import contextlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import receivers
from benchmarks.alone import alone
from benchmarks.measure import Tell, flush_seconds, interleaved, median_ratio, seconds
from benchmarks.modality import Files, Image, storescu
from benchmarks.outgoing import Outgoing, segmentation
from benchmarks.receivers import CALLING, Receiver
from benchmarks.record import Outcome, Row, Section, Table
from dicom_node.dimse.sending import send_files

MINUTES = 2
COMMAND = "python -m benchmarks.deliver"
_ROUNDS = 5
_TARGET = 0.9
#: size → rows and columns of 16-bit pixels, objects a round
_SIZES: Mapping[str, tuple[int, int, int]] = {
    "15 MB": (2500, 3000, 4),
    "1 MB": (750, 700, 24),
    "50 KB": (160, 160, 48),
}
_ASSOCIATIONS = 4


def run(tell: Tell, scratch: Path) -> Outcome:
    """See the module."""
    program = shutil.which("storescu")
    if program is None:
        return Outcome(missing=["sending against storescu: dcmtk is not installed"])
    missing = []
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        tell("starting the receivers")
        peers = [stack.enter_context(receivers.node(scratch))]
        for name, (wanted, start) in receivers.PEERS.items():
            if path := shutil.which(wanted):
                peers.append(stack.enter_context(start(scratch, path)))
            else:
                missing.append(f"sending to {name}: {wanted} is not installed")
        senders = _Senders(program)
        files = {
            size: Files(scratch / f"files{number}", count, height, width)
            for number, (size, (height, width, count)) in enumerate(_SIZES.items())
        }
        for to in (peer for peer in peers if peer.name != "Orthanc"):
            for size, these in files.items():
                tell(f"{size} to {to.name}")
                rows.append(senders.compare(size, these, to))
        by_name = {peer.name: peer for peer in peers}
        if "storescp" in by_name:
            rows += _delivered(tell, scratch, senders, files, by_name)
    flush = flush_seconds(scratch)
    return Outcome(rows=rows, tables=[senders.table(flush)], missing=missing)


class _Senders:
    """storescu and the node's requestor, and what of their time is the node's CPU."""

    def __init__(self, program: str) -> None:
        self._program = program
        # loading its dictionary is not sending
        self._start = statistics.median(
            seconds(lambda: subprocess.run([program, "--version"], check=True, capture_output=True))  # noqa: S603 - dcmtk
            for _ in range(5)
        )
        #: (size, receiver) → sender's CPU seconds per GB of each round, ours
        self._cpu: dict[tuple[str, str], list[float]] = {}
        self._rates: dict[tuple[str, str], Mapping[str, list[float]]] = {}

    def compare(self, size: str, files: Files, to: Receiver) -> Row:
        """One association of each sender a round; ours / theirs in objects a second."""
        count = len(files.paths)
        bytes_ = sum(path.stat().st_size for path in files.paths)

        def ours() -> float:
            files.renew()
            before = time.process_time()
            taken = seconds(lambda: self.send(files.paths, to))
            self._cpu.setdefault((size, to.name), []).append((time.process_time() - before) / bytes_ * 1e9)
            to.tidy()
            return count / taken

        rates = interleaved({"chexnode": ours, "storescu": self.theirs(files, to)}, _ROUNDS)
        self._rates[size, to.name] = rates
        return _row(f"{size} objects to {to.name}, against storescu", rates, bytes_ / count, note=_SENDER_NOTE[to.name])

    def theirs(self, files: Files, to: Receiver) -> Callable[[], float]:
        """A round of storescu's, its start taken off; objects a second."""

        def measure() -> float:
            files.renew()
            taken = seconds(lambda: storescu(self._program, to, files.paths)) - self._start
            to.tidy()
            return len(files.paths) / taken

        return measure

    def send(self, paths: Sequence[Path], to: Receiver) -> None:
        """What `chexnode send` does. Raises RuntimeError where the receiver does not take all of it."""
        sent = send_files(paths, "127.0.0.1", to.port, called=to.ae_title, calling=CALLING)
        if not all(one.stored for one in sent):
            raise RuntimeError(f"{to.name} does not take what it is sent")

    def table(self, flush: float) -> Table:
        """What the sender itself takes."""
        return Table(
            section=Section.DELIVER,
            title="What the node's sender takes itself",
            head=["objects", "to", "CPU s/GB", "chexnode, objects/s", "storescu, objects/s"],
            rows=[
                [
                    size,
                    to,
                    f"{statistics.median(self._cpu[size, to]):.2f}",
                    *(f"{statistics.median(rates[name]):.3g}" for name in ("chexnode", "storescu")),
                ]
                for (size, to), rates in self._rates.items()
            ],
            note=f"The rest is the receiver. One flush of 4 KiB takes {1e3 * flush:.2f} ms on this disk.",
        )


_SENDER_NOTE = {
    "chexnode": "To the receive role, which hashes, flushes and commits each: both senders wait for its disk.",
    "storescp": "storescp as it comes, PDUs of 16 KiB; it flushes nothing.",
}


def _row(name: str, rates: Mapping[str, list[float]], size: float, *, note: str, target: float | None = _TARGET) -> Row:
    ours, theirs = rates
    return Row(
        section=Section.DELIVER,
        name=name,
        reached=median_ratio(rates[ours], rates[theirs]),
        unit="×",
        target=target,
        command=COMMAND,
        figures={
            who: f"{statistics.median(values):.3g}/s, {statistics.median(values) * size / 1e6:.3g} MB/s"
            for who, values in rates.items()
        },
        note=f"{note} Medians of {_ROUNDS} rounds.",
    )


def _delivered(
    tell: Tell, scratch: Path, senders: _Senders, files: Mapping[str, Files], peers: Mapping[str, Receiver]
) -> list[Row]:
    """The whole deliver role: claimed from the ledger, read from the spool, sent, and each outcome committed."""
    storescp = peers["storescp"]
    destinations = {"storescp": (storescp, 1)}
    if "Orthanc" in peers:
        destinations |= {"one": (peers["Orthanc"], 1), "several": (peers["Orthanc"], _ASSOCIATIONS)}
    outgoing = Outgoing(scratch / "outgoing", destinations)
    rows = []
    with outgoing.running():
        for size in ("1 MB", "50 KB"):
            height, width, count = _SIZES[size]
            image = segmentation(height, width)

            def ours(destination: str = "storescp", image: Image = image, count: int = count) -> float:
                taken = outgoing.deliver(destination, image, count)
                storescp.tidy()
                return count / taken

            tell(f"{size} from the ledger")
            rates = interleaved({"deliver role": ours, "storescu": senders.theirs(files[size], storescp)}, _ROUNDS)
            note = "From the results' commit to that of the last outcome: claimed, read, sent, recorded durably."
            rows.append(
                _row(
                    f"{size} results by the deliver role to storescp, against storescu",
                    rates,
                    len(image.data_set),
                    note=note,
                )
            )
            if "Orthanc" in peers and size == "1 MB":
                tell(f"{_ASSOCIATIONS} associations")
                several = f"{_ASSOCIATIONS} associations"
                ways = {several: lambda: ours("several"), "one": lambda: ours("one")}
                note = "Orthanc's own work bounds both."
                name = f"{size} results by the deliver role to Orthanc: {several} against one"
                rows.append(_row(name, interleaved(ways, _ROUNDS), len(image.data_set), note=note, target=None))
    return rows


if __name__ == "__main__":
    sys.exit(alone(run))
