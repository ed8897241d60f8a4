"""One benchmark by itself: what it finds, on the terminal."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from benchmarks.measure import Tell, machine
from benchmarks.record import Outcome, Row


def alone(run: Callable[[Tell, Path], Outcome]) -> int:
    """Measure, with progress, and print; exit code 0 whatever was reached."""
    console = Console()
    Path("build").mkdir(exist_ok=True)
    folder = tempfile.TemporaryDirectory(prefix="chexnode-bench-", dir="build")
    with console.status("measuring …") as status, folder as scratch:
        outcome = run(status.update, Path(scratch).absolute())
    console.print(machine())
    show(console, outcome)
    return 0


def show(console: Console, outcome: Outcome) -> None:
    """Rows and tables of an outcome, and what was missing."""
    if outcome.rows:
        console.print(rows_grid(outcome.rows))
    for table in outcome.tables:
        grid = Grid(*table.head, title=table.title, caption=table.note or None, title_justify="left")
        for row in table.rows:
            grid.add_row(*row)
        console.print(grid)
    for line in outcome.missing:
        console.print(f"[yellow]not measured:[/] {line}")


def rows_grid(rows: Sequence[Row]) -> Grid:
    """Rows beside what they are to reach."""
    grid = Grid("what", "reached", "to reach", "", "behind it")
    for row in rows:
        target = "" if row.target is None else f"{'≥' if row.more_is_better else '≤'} {row.target:g} {row.unit}"
        colour = "green" if row.verdict == "reached" else "red"
        behind = ", ".join(f"{name} {value}" for name, value in row.figures.items())
        grid.add_row(row.name, f"{row.reached:.3g} {row.unit}", target, f"[{colour}]{row.verdict}[/]", behind)
    return grid
