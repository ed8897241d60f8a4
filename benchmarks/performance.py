"""docs/performance.md: what was measured, what it was to reach, and how it compares with the last committed run."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table as Grid

from benchmarks.record import Outcome, Plot, Row, Section, Table

DOCUMENT = Path("docs") / "performance.md"
#: the figures of the document, for the next run to be compared with
FIGURES = Path("docs") / "performance.json"
IMAGES = Path("docs") / "images" / "performance"

_Shown = TypeVar("_Shown", Table, Plot)

_PREAMBLE = """# Performance

Measured by `make bench` at {commit} on {day}, in {minutes:.0f} minutes, on {machine}. Machines are noisy: a peer is
always measured in the same run, in turn with the node, and told is the median of the rounds' ratios; the figures behind
a ratio are what this machine did that day. *Before* is the row's figure of the run before, and this one's ratio to it.
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of all benchmarks."""

    commit: str
    machine: str
    #: ISO 8601
    day: str
    minutes: float
    #: benchmark → what it found
    outcomes: Mapping[str, Outcome]

    @property
    def rows(self) -> list[Row]:
        """Of all benchmarks, in their order."""
        return [row for outcome in self.outcomes.values() for row in outcome.rows]


def committed_rows() -> dict[str, float]:
    """Row key → figure of the last committed run; empty where there is none."""
    shown = subprocess.run(  # noqa: S603 - a fixed command
        ["git", "show", f"HEAD:{FIGURES.as_posix()}"],  # noqa: S607 - git as it is found
        capture_output=True,
        text=True,
        check=False,
    )
    return dict(json.loads(shown.stdout)) if shown.returncode == 0 else {}


def against(row: Row, before: Mapping[str, float]) -> str:
    """The row's figure before, and the ratio to it: above 1 is better whatever the unit."""
    if not (earlier := before.get(row.key)) or not row.reached:
        return ""
    ratio = row.reached / earlier if row.more_is_better else earlier / row.reached
    return f"{earlier:.3g} ({ratio:.2f}×)"


def show_rows(console: Console, run: Run, before: Mapping[str, float]) -> None:
    """The table that `make bench` ends with."""
    grid = Grid("", "what", "reached", "to reach", "", "before", title=f"{run.commit}, {run.machine}")
    for row in run.rows:
        colour = "green" if row.verdict == "reached" else "red"
        grid.add_row(
            row.section.value,
            row.name,
            f"{row.reached:.3g} {row.unit}",
            _target(row),
            f"[{colour}]{row.verdict}[/]",
            against(row, before),
        )
    console.print(grid)


def write(run: Run, before: Mapping[str, float]) -> None:
    """The document, its plots, and the figures for the next run."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for plot in (plot for outcome in run.outcomes.values() for plot in outcome.plots):
        draw(plot, IMAGES / f"{plot.name}.svg")
    DOCUMENT.write_text(document(run, before), encoding="utf-8")
    figures = {row.key: float(f"{row.reached:.4g}") for row in run.rows}
    FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def document(run: Run, before: Mapping[str, float]) -> str:
    """The document as markdown."""
    head = _PREAMBLE.format(commit=run.commit, day=run.day, minutes=run.minutes, machine=run.machine)
    parts = [head, *(_section(section, run, before) for section in Section)]
    missing = [line for outcome in run.outcomes.values() for line in outcome.missing]
    if missing:
        parts.append("## Not measured on this machine\n" + "\n".join(f"- {line}" for line in missing) + "\n")
    return "\n".join(part for part in parts if part)


def _section(section: Section, run: Run, before: Mapping[str, float]) -> str:
    rows = [row for row in run.rows if row.section is section]
    tables = _of(section, (table for outcome in run.outcomes.values() for table in outcome.tables))
    plots = _of(section, (plot for outcome in run.outcomes.values() for plot in outcome.plots))
    if not (rows or tables or plots):
        return ""
    lines = [f"## {section.value.capitalize()}"]
    if rows:
        head = ("what", "reached", "to reach", "", "before", "behind it", "by")
        lines += _grid(head, [_cells(row, before) for row in rows])
        lines += [f"- {row.name}: {row.note}" for row in rows if row.note]
    for table in tables:
        lines += ["", f"**{table.title}**", "", *_grid(table.head, table.rows)]
        lines += ["", table.note] if table.note else []
    for plot in plots:
        lines += ["", f"![{plot.title}](images/performance/{plot.name}.svg)"]
    return "\n".join(lines) + "\n"


def _of(section: Section, things: Iterable[_Shown]) -> list[_Shown]:
    return [thing for thing in things if thing.section is section]


def _cells(row: Row, before: Mapping[str, float]) -> Sequence[str]:
    behind = ", ".join(f"{name} {value}" for name, value in row.figures.items())
    verdict = f"**{row.verdict}**" if row.verdict.startswith("short") else row.verdict
    reached = f"{row.reached:.3g} {row.unit}"
    return row.name, reached, _target(row), verdict, against(row, before), behind, f"`{row.command}`"


def _target(row: Row) -> str:
    return "" if row.target is None else f"{'≥' if row.more_is_better else '≤'} {row.target:g} {row.unit}"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


def draw(plot: Plot, path: Path) -> None:
    """The plot as SVG, the same bytes for the same figures."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": plot.name, "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for label, points in plot.lines.items():
            axes.plot(*zip(*points, strict=True), marker="o" if len(points) < 20 else "", label=label, linewidth=1.4)
        if plot.logarithmic:
            axes.set_xscale("log")
            axes.set_yscale("log")
        axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})
