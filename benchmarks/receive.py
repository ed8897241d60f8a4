"""15 MB X-rays into the node's receive role and into what a user might pick instead, by one sender, in turn."""

import contextlib
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import receivers
from benchmarks.alone import alone
from benchmarks.measure import Tell, cpu_seconds, interleaved, median_ratio, resident_bytes, seconds
from benchmarks.modality import Image, Sender, pour
from benchmarks.receivers import Receiver
from benchmarks.record import Outcome, Row, Section, Table

MINUTES = 4
COMMAND = "python -m benchmarks.receive"
_ROUNDS = 7
#: instances that one round sends to each receiver
_INSTANCES = 8
_SIDE_BY_SIDE = 8
#: peer → what the node must reach of its rate
_TARGETS = {"Orthanc": 3.5, "pynetdicom": 5.0, "storescp": 0.9, "loopback to file": 0.5}
_MIB = 1 << 20


def run(tell: Tell, scratch: Path) -> Outcome:
    """See the module."""
    image = Image.of(2500, 3000)
    with contextlib.ExitStack() as stack:
        tell("starting the receivers")
        node = stack.enter_context(receivers.node(scratch))
        peers = [stack.enter_context(receivers.stock(scratch)), stack.enter_context(receivers.sink(scratch))]
        missing = []
        for name, (program, start) in receivers.PEERS.items():
            if path := shutil.which(program):
                peers.append(stack.enter_context(start(scratch, path)))
            else:
                missing.append(f"15 MB X-rays against {name}: {program} is not installed")
        rounds = _Rounds(image)
        rates = interleaved(
            {each.name: rounds.way(each) for each in (node, *peers)}, _ROUNDS, tell=lambda what: tell(f"15 MB: {what}")
        )
        rows = [_against(each.name, rates, node) for each in peers]
        rows.append(_cpu_row(node.name, rounds))
        tell("senders side by side")
        rows.append(_side_by_side(node, image))
    tell("memory of associations")
    rows += _memory(scratch, image)
    return Outcome(rows=rows, tables=[_shares(node.name, rounds, image)], missing=missing)


class _Rounds:
    """What was sent, and what it cost the receivers, over all rounds."""

    def __init__(self, image: Image) -> None:
        self._image = image
        #: receiver → CPU seconds, GB
        self.spent: dict[str, list[tuple[float, float]]] = {}

    def way(self, to: Receiver) -> Callable[[], float]:
        """A round to one receiver; its MB/s."""

        def measure() -> float:
            images = [self._image.fresh() for _ in range(_INSTANCES)]
            size = sum(len(data) for _, data in images)
            os.sync()  # what the one before left for the disk to do is not this one's burden
            cpu = cpu_seconds(to.pid)
            taken = _send(to, self._image.sop_class_uid, images)
            self.spent.setdefault(to.name, []).append((cpu_seconds(to.pid) - cpu, size / 1e9))
            to.tidy()
            return size / 1e6 / taken

        return measure

    def cpu_per_gb(self, name: str) -> float:
        """CPU seconds per GB of all rounds but the first, which warms up."""
        spent = self.spent[name][1:]
        return sum(cpu for cpu, _ in spent) / sum(size for _, size in spent)


def _send(to: Receiver, sop_class_uid: str, images: Sequence[tuple[str, bytearray]]) -> float:
    """Seconds from the first byte of the first image to the last answer; the association is open before."""
    if not to.ae_title:
        return seconds(lambda: pour(to, [bytes(data) for _, data in images]))
    with Sender(to, sop_class_uid) as sender:
        messages = [sender.message(uid, data) for uid, data in images]
        started = time.perf_counter()
        for message in messages:
            sender.store(message)
        return time.perf_counter() - started


def _against(name: str, rates: Mapping[str, list[float]], node: Receiver) -> Row:
    limit = median_ratio(rates["loopback to file"], rates[name])
    notes = {
        "storescp": "PDUs of 16 KiB, as storescp offers them; it hashes, flushes and records nothing.",
        "Orthanc": "Orthanc parses and indexes, and flushes nothing.",
        "pynetdicom": "`event.dataset.save_as`, as its documentation shows; nothing is flushed. The limit, loopback to "
        f"file, is {limit:.1f} × pynetdicom on this machine, with nothing hashed.",
        "loopback to file": "The same bytes with no DICOM around them, written and flushed by fdatasync: the limit.",
    }
    return Row(
        section=Section.RECEIVE,
        name=f"15 MB DX, hash, flush and commit on, against {name}",
        reached=median_ratio(rates[node.name], rates[name]),
        unit="×",
        target=_TARGETS[name],
        command=COMMAND,
        figures={each: f"{statistics.median(rates[each]):.0f} MB/s" for each in (node.name, name)},
        note=f"{notes[name]} {_ROUNDS} rounds of {_INSTANCES} instances on one association.",
    )


def _cpu_row(name: str, rounds: _Rounds) -> Row:
    others = {each: f"{rounds.cpu_per_gb(each):.2f} s/GB" for each in rounds.spent if each != name}
    return Row(
        section=Section.RECEIVE,
        name="receiver CPU per GB, the same, hash included",
        reached=rounds.cpu_per_gb(name),
        unit="s/GB",
        target=2.0,
        more_is_better=False,
        command=COMMAND,
        figures=others,
        note="The peers hash nothing. What it is made of: the table of shares.",
    )


def _side_by_side(node: Receiver, image: Image) -> Row:
    def many(senders: int) -> Callable[[], float]:
        def measure() -> float:
            images = [image.fresh() for _ in range(2 * _SIDE_BY_SIDE)]
            shares = [images[first::senders] for first in range(senders)]
            os.sync()
            with contextlib.ExitStack() as stack, ThreadPoolExecutor(senders) as pool:
                opened = [stack.enter_context(Sender(node, image.sop_class_uid)) for _ in shares]
                messages = [[one.message(*each) for each in share] for one, share in zip(opened, shares, strict=True)]
                taken = seconds(lambda: list(pool.map(_store_all, opened, messages)))
            return sum(len(data) for _, data in images) / 1e6 / taken

        return measure

    rates = interleaved({"one": many(1), "many": many(_SIDE_BY_SIDE)}, 5)
    return Row(
        section=Section.RECEIVE,
        name=f"{_SIDE_BY_SIDE} parallel senders of 15 MB, in total, against one",
        reached=median_ratio(rates["many"], rates["one"]),
        unit="×",
        target=1.0,
        command=COMMAND,
        figures={
            "one": f"{statistics.median(rates['one']):.0f} MB/s",
            f"{_SIDE_BY_SIDE} in total": f"{statistics.median(rates['many']):.0f} MB/s",
        },
        note="The senders share the machine's cores with the receiver. 5 rounds.",
    )


def _store_all(sender: Sender, messages: Sequence[bytes]) -> None:
    for message in messages:
        sender.store(message)


def _memory(scratch: Path, image: Image) -> Iterator[Row]:
    large = Image.of(5000, 6000)
    grown = {
        (count, one): _growth(scratch, one, count) for count, one in ((1, image), (8, image), (16, image), (8, large))
    }
    small, big = grown[8, image], grown[8, large]
    told = {f"{count} × {len(one.data_set) / 1e6:.0f} MB": f"{each:.2f} MiB" for (count, one), each in grown.items()}
    yield Row(
        section=Section.RECEIVE,
        name="memory an association, above the receiver at rest",
        reached=max(grown.values()),
        unit="MiB",
        target=2.0,
        more_is_better=False,
        command=COMMAND,
        figures=told,
        note=(
            "Most resident memory (file pages aside) while associations bring an instance each, sampled each 5 ms, "
            "less what a fresh receiver has after its first one."
        ),
    )
    yield Row(
        section=Section.RECEIVE,
        name="the same, what an instance of 60 MB takes more than one of 15 MB",
        reached=big - small,
        unit="MiB",
        target=0.25,
        more_is_better=False,
        command=COMMAND,
        figures={"15 MB": f"{small:.2f} MiB", "60 MB": f"{big:.2f} MiB"},
        note="Flat in instance size.",
    )


def _growth(scratch: Path, image: Image, count: int) -> float:
    """MiB an association that a fresh receiver grows by when `count` come after its first one."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder, receivers.node(Path(folder)) as node:
        _peak(node, image, 1)
        rest = resident_bytes(node.pid)
        return (_peak(node, image, count) - rest) / count / _MIB


def _peak(node: Receiver, image: Image, count: int) -> int:
    """Most bytes that the receiver has in memory while `count` associations each bring the same instance."""
    largest, over = 0, threading.Event()

    def sample() -> None:
        nonlocal largest
        while not over.wait(0.005):
            largest = max(largest, resident_bytes(node.pid))

    sampling = threading.Thread(target=sample)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        opened = [stack.enter_context(Sender(node, image.sop_class_uid)) for _ in range(count)]
        message = opened[0].message(*image.fresh())
        sampling.start()
        try:
            list(pool.map(lambda sender: sender.store(message), opened))
        finally:
            over.set()
            sampling.join()
    return largest


def _shares(name: str, rounds: _Rounds, image: Image) -> Table:
    data = image.data_set
    started = time.process_time()
    for _ in range(20):
        hashlib.sha256(data).digest()
    hashing = (time.process_time() - started) / (20 * len(data) / 1e9)
    whole, bare = rounds.cpu_per_gb(name), rounds.cpu_per_gb("loopback to file")
    return Table(
        section=Section.RECEIVE,
        title="Where the receiver's CPU seconds of a GB go",
        head=("step", "s/GB", "share"),
        rows=[
            ("SHA-256 alone, on this machine", f"{hashing:.2f}", f"{hashing / whole:.0%}"),
            ("socket to file and flush alone (loopback to file)", f"{bare:.2f}", f"{bare / whole:.0%}"),
            (
                "the rest: PDUs, head, record, answer",
                f"{whole - hashing - bare:.2f}",
                f"{(whole - hashing - bare) / whole:.0%}",
            ),
            ("all of it, as measured", f"{whole:.2f}", "100%"),
        ],
        note="Each step is measured by itself in the same run, so that the rest holds what the caches make of them.",
    )


if __name__ == "__main__":
    sys.exit(alone(run))
