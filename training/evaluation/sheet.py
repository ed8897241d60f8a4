"""A table of figures, and how it is written: markdown for people, CSV for spreadsheets, JSON for programs."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluation.bootstrap import Estimate

Cell = str | int | float | Estimate | None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Rows under columns. Raises ValueError where a row has other columns."""

    #: what the table shows, one line
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    #: sentences that a reader of the table needs
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} cells under {len(self.columns)} columns: {row}")

    def markdown(self) -> str:
        """A GitHub table with its title above and its notes below."""
        lines = [f"**{self.title}**", "", _line(self.columns), _line(["---"] * len(self.columns))]
        lines += [_line([_text(cell) for cell in row]) for row in self.rows]
        return "\n".join([*lines, *(["", *(f"- {note}" for note in self.notes)] if self.notes else []), ""])

    def csv(self) -> str:
        """One header row; an estimate takes three columns: itself, `low` and `high` of its interval."""
        wide = [any(isinstance(row[index], Estimate) for row in self.rows) for index in range(len(self.columns))]
        header = [
            name
            for column, three in zip(self.columns, wide, strict=True)
            for name in ([column, f"{column} low", f"{column} high"] if three else [column])
        ]
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in self.rows:
            cells = [_plain(cell, three) for cell, three in zip(row, wide, strict=True)]
            writer.writerow([value for values in cells for value in values])
        return file.getvalue()

    def plain(self) -> dict[str, Any]:
        """The same for json.dumps; an estimate is {"value", "low", "high"}, what is not known is null."""
        rows = [{name: _json(cell) for name, cell in zip(self.columns, row, strict=True)} for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _text(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def _plain(cell: Cell, three: bool) -> list[object]:
    if isinstance(cell, Estimate):
        return [_number(value) for value in cell]
    value = _number(cell) if isinstance(cell, float) else cell
    return [value, None, None] if three else [value]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)


def _json(cell: Cell) -> object:
    if isinstance(cell, Estimate):
        return {name: _number(value) for name, value in cell._asdict().items()}
    return _number(cell) if isinstance(cell, float) else cell
