"""A simulated day: what waits how long, by priority, with and without ageing; the node's own queue, a clock of its own.

`python -m benchmarks.day`. One worker that takes two minutes for a batch of four lives from one midnight to the next: a
back-fill of a thousand priors, a morning list, urgent images all day long, and a ward that marks all that it
sends as HIGH for a whole afternoon. Arrivals, claims and ends are those of the real ledger; only the clock is not.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.measure import Tell, percentile
from benchmarks.record import Outcome, Plot, Row, Section, Table
from benchmarks.simulated import BATCH, BATCH_SECONDS, HOUR, Came, Lived, live, spread
from dicom_node.precedence import PrioritySection
from tests.memory import MEMORY

MINUTES = 1
_COMMAND = "python -m benchmarks.day"
_AGEING = PrioritySection().level
#: seconds that a step of priority is worth → how it is called
_ORDERS = {
    "in the order of arrival": 0.0,
    "by priority alone": 1e9,
    "by priority and age": _AGEING,
}
_NAMES = {2: "urgent", 1: "HIGH", 0: "routine", -6: "back-fill"}


def the_day() -> list[Came]:
    """Who comes when: seconds of the day, and priority."""
    return sorted(
        [
            *spread(0.5, 1.0, images=1000, priority=-6),
            *spread(7.0, 11.0, images=300, priority=0),
            *spread(11.0, 18.0, images=220, priority=0),
            *spread(12.0, 20.0, images=950, priority=1),
            *spread(0.2, 23.0, images=40, priority=2),
        ]
    )


def run(tell: Tell, scratch: Path) -> Outcome:
    """The same day in each order."""
    del scratch  # on a disk, whose flushes are not what is simulated
    day = the_day()
    lived: dict[str, Lived] = {}
    with tempfile.TemporaryDirectory(prefix="chexnode-bench-", dir=MEMORY) as folder:
        for number, (name, level) in enumerate(_ORDERS.items()):
            tell(f"a day of {len(day)} images {name}")
            lived[name] = live(day, level=level, folder=Path(folder) / str(number))
    aged, strict = lived["by priority and age"], lived["by priority alone"]
    return Outcome(rows=_rows(aged, strict, day), tables=[_table(lived)], plots=_plots(lived))


def _rows(aged: Lived, strict: Lived, day: Sequence[Came]) -> list[Row]:
    urgent, batch = max(aged.waits[2]), BATCH_SECONDS
    routine, starved = max(aged.waits[0]), max(strict.waits[0])
    first = [came for came in day if came.priority == 2]
    return [
        Row(
            section=Section.LEDGER,
            name="simulated day: the longest that an urgent image waits, in running batches",
            reached=urgent / batch,
            unit="×",
            target=1.0,
            more_is_better=False,
            command=_COMMAND,
            figures={"longest": _span(urgent), "one batch": _span(batch), "urgent images": str(len(first))},
            note="It waits for the batch that runs when it comes, and for nothing else.",
        ),
        Row(
            section=Section.LEDGER,
            name="simulated day: the longest that a routine image waits, in steps of priority",
            reached=routine / _AGEING,
            unit="×",
            target=1.5,
            more_is_better=False,
            command=_COMMAND,
            figures={"with ageing": _span(routine), "by priority alone": _span(starved), "a step": _span(_AGEING)},
            note="A ward marks 8 hours of images as HIGH, faster than the node reads: a routine image is overtaken by "
            "those that come within a step after it, and waits for its turn among them.",
        ),
    ]


def _table(lived: Mapping[str, Lived]) -> Table:
    rows = []
    for order, one in lived.items():
        for priority, waits in sorted(one.waits.items(), reverse=True):
            figures = (percentile(waits, 0.5), percentile(waits, 0.95), max(waits))
            rows.append((order, f"{_NAMES[priority]} ({priority})", str(len(waits)), *map(_span, figures)))
    return Table(
        section=Section.LEDGER,
        title="A simulated day: how long images wait to be claimed",
        head=("taken", "priority", "images", "median", "p95", "longest"),
        rows=rows,
        note=f"One worker, {BATCH} images in {BATCH_SECONDS:.0f} s; a step of priority is worth {_span(_AGEING)}. "
        "What is left at midnight is read in the night.",
    )


def _plots(lived: Mapping[str, Lived]) -> list[Plot]:
    aged = lived["by priority and age"]
    return [
        Plot(
            section=Section.LEDGER,
            name="day_queue",
            title="Images that wait over a simulated day, by priority and age",
            x="hour of the day",
            y="images that wait",
            lines={
                _NAMES[priority]: [(at / HOUR, float(count)) for at, count in points]
                for priority, points in sorted(aged.queue.items(), reverse=True)
            },
        ),
        Plot(
            section=Section.LEDGER,
            name="day_routine",
            title="How long a routine image waits, by when it came",
            x="hour of the day",
            y="hours",
            lines={
                order: [(came / HOUR, wait / HOUR) for came, wait in one.routine_waits] for order, one in lived.items()
            },
        ),
    ]


def _span(seconds: float) -> str:
    return f"{seconds / HOUR:.1f} h" if seconds >= 2 * HOUR else f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    sys.exit(alone(run))
