"""What the ledger's everyday work costs after a thousand images, a hundred thousand and a million.

`python -m benchmarks.ledger`. Ledgers of each size are filled by the database itself, on SQLite and PostgreSQL, and the
same work is done in each in turn. Flushes are left out of it (both lie in memory, PostgreSQL with fsync off): they cost
the same at every size, and would hide what grows.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.alone import alone
from benchmarks.ledger_rows import WAITING, fill
from benchmarks.ledger_work import WORK, Place, round_of
from benchmarks.measure import Tell
from benchmarks.record import Outcome, Plot, Row, Section, Table
from dicom_node.ledger import Ledger
from tests.memory import MEMORY
from tests.postgres import create_database, running

MINUTES = 3
_COMMAND = "python -m benchmarks.ledger"
#: images whose life is over
SIZES = (1_000, 100_000, 1_000_000)
#: images that wait, a back-fill's; each with its delivery that waits
QUEUES = (1_000, 30_000)
_ROUNDS, _WARM_UP = 12, 2
#: what "the same" allows for: a tree is twice as high at a million as at a thousand, and its pages are less at hand
_SAME = 1.5

#: work → size → seconds of each round
Measured = Mapping[str, Mapping[int, Sequence[float]]]


def run(tell: Tell, scratch: Path) -> Outcome:
    """Both databases, each at all sizes."""
    del scratch  # on a disk, whose flushes are not what is measured
    history: dict[str, Measured] = {}
    queued: dict[str, Measured] = {}
    missing: list[str] = []
    for backend, urls in (("SQLite", _sqlite), ("PostgreSQL", _postgresql)):
        try:
            with urls(len(SIZES) + len(QUEUES)) as made:
                over = [(size, WAITING) for size in SIZES]
                waits = [(SIZES[0], size) for size in QUEUES]
                history[backend] = _measure(made[: len(SIZES)], over, SIZES, backend, tell)
                queued[backend] = _measure(made[len(SIZES) :], waits, QUEUES, backend, tell)
        except pytest.skip.Exception as error:
            missing.append(f"the ledger on {backend}: {error}")
    return Outcome(
        rows=_rows(history),
        tables=[
            _table(history, SIZES, "What everyday work costs after so many images", _NOTE),
            _table(queued, QUEUES, "What it costs while so many images wait, and as many deliveries", _QUEUED_NOTE),
        ],
        plots=_plots(history),
        missing=missing,
    )


_NOTE = (
    f"Milliseconds, medians of {_ROUNDS} rounds, all sizes in turn. Ratio: the largest to the smallest. Each image has "
    f"a job, a result, a delivery and an event, each second one a study; {WAITING} wait on top of them."
)
_QUEUED_NOTE = (
    "The same, where a back-fill waits. What lists or counts what waits stops at 10,000; what is to be concluded looks "
    "at every study that has gone quiet, since the look itself is what ends their waiting."
)


@contextmanager
def _sqlite(count: int) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory(prefix="chexnode-bench-", dir=MEMORY) as folder:
        yield [f"sqlite:///{folder}/{number}.sqlite" for number in range(count)]


@contextmanager
def _postgresql(count: int) -> Iterator[list[str]]:
    with running() as server:
        yield [create_database(server) for _ in range(count)]


def _measure(
    urls: Sequence[str], filled: Sequence[tuple[int, int]], sizes: Sequence[int], backend: str, tell: Tell
) -> Measured:
    """Fill a ledger of each (history, waiting), and do all the work in each in turn."""
    measured: dict[str, dict[int, list[float]]] = {name: {size: [] for size in sizes} for name in WORK}
    with ExitStack() as stack:
        places = {}
        for url, (history, waiting), size in zip(urls, filled, sizes, strict=True):
            tell(f"{backend}: filling a ledger, {history:,} images over and {waiting:,} waiting")
            now = fill(url, history=history, waiting=waiting)
            ledger = Ledger.open(url)
            stack.callback(ledger.close)
            places[size] = Place(ledger, now=now, images=history + waiting, seed=size)
        for number in range(_WARM_UP + _ROUNDS):
            tell(f"{backend}: round {number + 1} of {_WARM_UP + _ROUNDS}")
            round_of(places, measured)
    return {name: {size: taken[_WARM_UP:] for size, taken in each.items()} for name, each in measured.items()}


def _medians(measured: Measured) -> dict[str, dict[int, float]]:
    return {name: {size: statistics.median(taken) for size, taken in sizes.items()} for name, sizes in measured.items()}


def _growth(of_sizes: Mapping[int, float]) -> float:
    return of_sizes[max(of_sizes)] / of_sizes[min(of_sizes)]


def _rows(history: Mapping[str, Measured]) -> list[Row]:
    """One for each work and database."""
    rows = []
    for backend, measured in history.items():
        for name, of_sizes in _medians(measured).items():
            rows.append(
                Row(
                    section=Section.LEDGER,
                    name=f"{name}, {backend}: cost at {max(SIZES):,} images ÷ at {min(SIZES):,}",
                    reached=_growth(of_sizes),
                    unit="×",
                    target=_SAME,
                    more_is_better=False,
                    command=_COMMAND,
                    figures={f"{size:,}": f"{taken * 1e3:.2f} ms" for size, taken in of_sizes.items()},
                )
            )
    return rows


def _table(measured: Mapping[str, Measured], sizes: Sequence[int], title: str, note: str) -> Table:
    rows = []
    for name in WORK:
        row = [name]
        for each in measured.values():
            of_sizes = _medians(each)[name]
            row += [*(f"{of_sizes[size] * 1e3:.2f}" for size in sizes), f"{_growth(of_sizes):.2f}"]
        rows.append(row)
    head = ["", *(column for backend in measured for column in (*(f"{backend} {size:,}" for size in sizes), "ratio"))]
    return Table(section=Section.LEDGER, title=title, head=head, rows=rows, note=note)


def _plots(history: Mapping[str, Measured]) -> list[Plot]:
    return [
        Plot(
            section=Section.LEDGER,
            name=f"ledger_{backend.lower()}",
            title=f"What the ledger's work costs by what it remembers, {backend}",
            x="images",
            y="ms",
            lines={
                name: [(float(size), taken * 1e3) for size, taken in of_sizes.items()]
                for name, of_sizes in _medians(measured).items()
            },
            logarithmic=True,
        )
        for backend, measured in history.items()
    ]


if __name__ == "__main__":
    sys.exit(alone(run))
