"""Rows of a CSV file that can say where they stand."""

import csv
import gzip
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from training.data.example import DataError


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row, by column; values without the blanks around them."""

    path: Path
    #: line of the file, the header being line 1
    line: int
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]

    def number_of(self, column: str, *, required: bool = False) -> float:
        """The number in a column; 0 where it is empty and may be. Raises DataError."""
        text = self.values[column]
        if not required and text.lower() in ("", "nan"):
            return 0.0
        try:
            number = float(text)
        except ValueError as error:
            raise self.wrong(f"{column} is {text!r}, not a number") from error
        if not math.isfinite(number):
            raise self.wrong(f"{column} is {text!r}, not a number")
        return number

    def wrong(self, what: str) -> DataError:
        """An error that names this row."""
        return DataError(f"{self.path}, line {self.line}: {what}")


def columns_of(path: Path) -> frozenset[str]:
    """The columns that a CSV file (or one compressed as .gz) has. Raises DataError where it cannot be read."""
    with _open(path) as file:
        return frozenset(name.strip() for name in next(csv.reader(file), []))


def read_rows(path: Path, needed: Collection[str]) -> Iterator[Row]:
    """The rows of a CSV file (or one compressed as .gz). Raises DataError naming a missing column or a broken row."""
    with _open(path) as file:
        reader = csv.reader(file)
        names = [name.strip() for name in next(reader, [])]
        missing = sorted(set(needed) - set(names))
        if missing:
            raise DataError(f"{path}: column {', '.join(missing)} is missing; there are {', '.join(names) or 'none'}")
        for values in reader:
            if not values:
                continue
            if len(values) != len(names):
                raise DataError(f"{path}, line {reader.line_num}: {len(values)} values for {len(names)} columns")
            stripped = (value.strip() for value in values)
            yield Row(path=path, line=reader.line_num, values=dict(zip(names, stripped, strict=True)))


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
