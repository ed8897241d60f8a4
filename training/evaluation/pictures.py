"""Tables as pictures: every figure a point with its interval, so that what may be chance looks like it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.bootstrap import Estimate
from training.evaluation.sheet import Sheet

#: one colour a series, told apart in grey and by the colour-blind (Okabe and Ito)
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def whiskers(
    axes: Axes, at: Sequence[float], estimates: Sequence[object], *, label: str | None = None, colour: str = COLOURS[0]
) -> None:
    """Points with intervals along x, one at each height; what is not known is left out."""
    known = [(y, e) for y, e in zip(at, estimates, strict=True) if isinstance(e, Estimate) and e.value == e.value]
    if known:
        axes.errorbar(
            [e.value for _, e in known],
            [y for y, _ in known],
            xerr=[[max(e.value - e.low, 0) for _, e in known], [max(e.high - e.value, 0) for _, e in known]],
            fmt="o",
            markersize=4,
            capsize=2,
            linewidth=1.2,
            color=colour,
            label=label,
        )


def ablation(sheets: Sequence[Sheet], path: Path) -> None:
    """Each arm's sensitivity at one false positive an image, and what each part changes of it."""
    arms, steps, *_ = sheets
    figure = Figure(figsize=(11, 0.6 + 0.42 * max(len(arms.rows), len(steps.rows), 3)), layout="constrained")
    left, right = figure.subplots(1, 2)
    _rows(left, [str(row[0]) for row in arms.rows])
    whiskers(left, _heights(len(arms.rows)), _column(arms, arms.columns[2]))
    left.set_xlabel("sensitivity at 1 false positive an image")
    _rows(right, [str(row[0]) for row in steps.rows])
    whiskers(right, _heights(len(steps.rows)), _column(steps, arms.columns[2]))
    right.axvline(0, color="grey", linewidth=0.8)
    right.set_xlabel("difference, paired, 95 % interval")
    figure.savefig(path, dpi=150)


def unseen(sheets: Sequence[Sheet], path: Path) -> None:
    """Recall of each target when it was seen, left out, and in the control, one panel an arm."""
    sheet = sheets[0]
    arms = list(dict.fromkeys(str(row[3]) for row in sheet.rows)) or ["no run"]
    targets = list(dict.fromkeys(str(row[0]) for row in sheet.rows))
    figure = Figure(figsize=(3.2 * len(arms) + 1, 1 + 0.55 * max(len(targets), 2)), layout="constrained")
    panels = figure.subplots(1, len(arms), sharey=True, sharex=True, squeeze=False)[0]
    for panel, arm in zip(panels, arms, strict=True):
        rows = [row for row in sheet.rows if row[3] == arm]
        _rows(panel, targets)
        for shift, role, colour in zip((0.2, -0.2, 0.0), ("seen", "left out", "control"), COLOURS, strict=False):
            column = sheet.columns.index(role)
            heights = [_heights(len(targets))[targets.index(str(row[0]))] + shift for row in rows]
            whiskers(panel, heights, [row[column] for row in rows], label=role, colour=colour)
        panel.set_title(arm, fontsize=10)
        panel.set_xlim(0, 1)
    panels[0].set_xlabel(sheet.title.split(": ")[-1])
    if sheet.rows:
        panels[-1].legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)


#: table → its picture
PICTURES: Mapping[str, Callable[[Sequence[Sheet], Path], None]] = {"ablation": ablation, "unseen": unseen}


def _heights(count: int) -> list[float]:
    """The first row on top."""
    return [float(count - 1 - row) for row in range(count)]


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(_heights(len(names)), names, fontsize=8)
    axes.set_ylim(-0.6, max(len(names), 1) - 0.4)
    axes.grid(axis="x", linewidth=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _column(sheet: Sheet, name: str) -> list[object]:
    index = sheet.columns.index(name)
    return [row[index] for row in sheet.rows]
