"""What a benchmark found, as data: rows with a target, tables, plots; kept as JSON, so that a stopped run goes on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class Section(StrEnum):
    """The part of the way that a figure is about."""

    RECEIVE = "receive"
    ANALYSE = "analyse"
    DELIVER = "deliver"
    LEDGER = "ledger"
    REST = "start and rest"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure beside what it is to reach; a ratio wherever a peer was measured in the same run."""

    section: Section
    #: what was measured, and against whom
    name: str
    #: the median of what was reached
    reached: float
    #: ×, s/GB, MiB, s …
    unit: str
    #: what it must reach; None: told for its own sake
    target: float | None = None
    #: whether more is better
    more_is_better: bool = True
    #: the command that measures this row
    command: str
    #: the figures behind it: "ours" → "212 MB/s"
    figures: Mapping[str, str] = field(default_factory=dict)
    #: what bounds it, and what explains a figure that falls short
    note: str = ""

    @property
    def key(self) -> str:
        """What the same row of another run is known by."""
        return f"{self.section.value}: {self.name}"

    @property
    def verdict(self) -> str:
        """`reached`, or by how much it falls short; empty where nothing is to be reached."""
        if self.target is None:
            return ""
        if self.reached >= self.target if self.more_is_better else self.reached <= self.target:
            return "reached"
        missing = abs(self.target - self.reached) / self.target
        return f"short by {missing:.0%}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures without a target: stages, syntaxes, processes."""

    section: Section
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Lines over an axis."""

    section: Section
    #: of its file, without suffix
    name: str
    title: str
    x: str
    y: str
    #: label → (x, y) points
    lines: Mapping[str, Sequence[tuple[float, float]]]
    logarithmic: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that one benchmark found."""

    rows: Sequence[Row] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    #: what this machine lacks, and what was not measured therefore
    missing: Sequence[str] = ()


def save(outcome: Outcome, path: Path) -> None:
    """Keep `outcome` as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(outcome), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def load(path: Path) -> Outcome:
    """What save() kept. Raises OSError; ValueError, KeyError or TypeError for what it did not."""
    told = json.loads(path.read_text(encoding="utf-8"))
    return Outcome(
        rows=[Row(**{**row, "section": Section(row["section"])}) for row in told["rows"]],
        tables=[Table(**{**table, "section": Section(table["section"])}) for table in told["tables"]],
        plots=[Plot(**{**plot, "section": Section(plot["section"])}) for plot in told["plots"]],
        missing=told["missing"],
    )
