"""Tables as pictures: every figure a point with its interval, so that what may be chance looks like it."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
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


def evaluation(sheets: Mapping[str, Sheet], folder: Path) -> None:
    """froc.png with the readers in it, recall.png and reliability.png of one model."""
    _froc(sheets["froc"], sheets["readers"]).savefig(folder / "froc.png", dpi=150)
    _recall(sheets["recall"]).savefig(folder / "recall.png", dpi=150)
    _reliability(sheets["reliability"]).savefig(folder / "reliability.png", dpi=150)


def _froc(froc: Sheet, readers: Sheet) -> Figure:
    """The first film set with its interval, others without, and what readers reach against readers."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    points = [index for index, name in enumerate(froc.columns) if name[0].isdigit()]
    x = [float(Fraction(froc.columns[index])) for index in points]
    rows = [row for row in froc.rows if row is froc.rows[0] or str(row[0]).endswith((" px", "and normal", "by rsna"))]
    for row, colour in zip(rows, COLOURS, strict=False):
        cells = [cell for index in points for cell in [row[index]] if isinstance(cell, Estimate)]
        axes.plot(
            x, [cell.value for cell in cells], marker="o", markersize=3, color=colour, label=f"{row[0]} (n={row[1]})"
        )
        if row is froc.rows[0]:
            axes.fill_between(x, [c.low for c in cells], [c.high for c in cells], color=colour, alpha=0.15, linewidth=0)
    names = dict.fromkeys(str(row[0]) for row in readers.rows)
    for name, marker in zip(names, "sD^v*", strict=False):
        found, false = next((row[4], row[7]) for row in readers.rows if row[0] == name)
        if isinstance(found, Estimate) and isinstance(false, Estimate) and false.value > 0:
            axes.errorbar(
                false.value,
                found.value,
                yerr=[[found.value - found.low], [found.high - found.value]],
                fmt=marker,
                markersize=5,
                capsize=2,
                color="black",
                label=f"readers: {name}",
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(x, [froc.columns[index] for index in points])
    axes.set_ylim(0, 1)
    axes.set_xlabel("false positives an image")
    axes.set_ylabel("sensitivity, IoU ≥ 0.4")
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=7, frameon=False)
    return figure


def _recall(sheet: Sheet) -> Figure:
    names = [f"{row[1]} ({row[2]})" for row in sheet.rows]
    figure = Figure(figsize=(7, 1 + 0.28 * max(len(names), 2)), layout="constrained")
    axes = figure.subplots()
    _rows(axes, names)
    for shift, column, colour in zip((0.15, -0.15), (3, 6), COLOURS, strict=False):
        heights = [height + shift for height in _heights(len(names))]
        whiskers(axes, heights, [row[column] for row in sheet.rows], label=sheet.columns[column], colour=colour)
    axes.set_xlim(0, 1)
    axes.set_xlabel("recall, IoU ≥ 0.4 (number of findings)")
    axes.legend(fontsize=7, frameon=False)
    return figure


def _reliability(sheet: Sheet) -> Figure:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, colour in zip(("boxes", "films"), COLOURS, strict=False):
        bins = [row for row in sheet.rows if row[0] == name and isinstance(row[3], float)]
        said = [row[3] for row in bins if isinstance(row[3], float)]
        true = [row[4] for row in bins if isinstance(row[4], Estimate)]
        axes.errorbar(
            said,
            [one.value for one in true],
            yerr=[[max(e.value - e.low, 0) for e in true], [max(e.high - e.value, 0) for e in true]],
            marker="o",
            markersize=4,
            capsize=2,
            color=colour,
            label=name,
        )
    axes.set_xlabel("mean confidence")
    axes.set_ylabel("share that was true")
    axes.legend(frameon=False)
    return figure


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
