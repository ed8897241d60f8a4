"""Paragraphs and tables of a Markdown document."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

_WIDTH = 118


def paragraph(text: str) -> Iterator[str]:
    """The lines of a paragraph, however it is broken here, and an empty one after it."""
    yield from textwrap.wrap(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)
    yield ""


def bullets(*texts: str) -> Iterator[str]:
    """The lines of a list, and an empty one after it."""
    for text in texts:
        yield from textwrap.wrap(
            " ".join(text.split()),
            _WIDTH,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    yield ""


def heading(level: int, text: str) -> Iterator[str]:
    """A heading, and an empty line after it."""
    yield f"{'#' * level} {text}"
    yield ""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of a table, and an empty one after it."""
    yield _row(heads)
    yield _row("---" for _ in heads)
    for row in rows:
        yield _row(row)
    yield ""


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "&#124;").replace("\n", " ") for cell in cells) + " |"
