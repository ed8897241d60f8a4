"""Tables written to files, and into the model card between its markers."""

import json
from collections.abc import Sequence
from pathlib import Path

from training.evaluation.sheet import Sheet


def write(name: str, sheets: Sequence[Sheet], folder: Path) -> None:
    """`folder`/NAME.md, .json and one CSV a sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(markdown(sheets))
    (folder / f"{name}.json").write_text(json.dumps([sheet.plain() for sheet in sheets], indent=1) + "\n")
    for number, sheet in enumerate(sheets, 1):
        (folder / f"{name}-{number}.csv").write_text(sheet.csv())


def markdown(sheets: Sequence[Sheet]) -> str:
    """All sheets, one below the other."""
    return "\n".join(sheet.markdown() for sheet in sheets)


def insert(name: str, text: str, card: Path) -> None:
    """Replace what stands between the markers of a table. Raises ValueError when the card has no such markers."""
    start, end = f"<!-- table: {name} -->", f"<!-- end of table: {name} -->"
    content = card.read_text()
    if content.count(start) != 1 or content.count(end) != 1 or content.index(start) > content.index(end):
        raise ValueError(f"{card} has no place for this table: put a line {start} and below it a line {end}")
    before, rest = content.split(start)
    _, after = rest.split(end)
    card.write_text(f"{before}{start}\n{text.strip()}\n{end}{after}")
