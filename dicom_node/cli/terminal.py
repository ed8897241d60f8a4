"""What every screen of the command line shares: consoles, harmless text, times and counts for people."""

import os
import time

from rich.console import Console
from rich.text import Text

#: columns of a table that goes into a pipe or a file, unless COLUMNS says otherwise: no line is to be broken there
PIPE_WIDTH = 160


def console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal, and wide enough for whole lines where there is none."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPE_WIDTH
    return made


def plain(value: object, style: str = "") -> Text:
    """Text of a peer's making without markup or control characters: a terminal obeys what it is fed."""
    return Text("".join(c if c.isprintable() else "?" for c in str(value)), style=style)


def ago(then: float, now: float) -> str:
    """How long `then` lies back, or ahead: '12 s ago', 'in 3 min'. Seconds since the epoch."""
    seconds = now - then
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def duration(seconds: float) -> str:
    """A span of time in its largest fitting unit: '12 s', '3 min', '5 h', '4 d'."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def moment(then: float) -> str:
    """A time in the local zone: '2026-03-01 14:05:09'."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(then))


def counted(count: int, noun: str, plural: str = "") -> str:
    """'1 result', '3 results'."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
