"""How many films and findings a datalist holds, as tables."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.table import Table

from training.data.example import Example

SPLITS = ("train", "val", "test")


def tables(examples: Sequence[Example]) -> list[Table]:
    """Films by status, films by what was looked for, findings by label and by agreement; a column a split."""
    return [
        _table("films", "status", examples, ((e.split, e.status.value) for e in examples)),
        _table("films", "looked for", examples, ((e.split, _looked_for(e)) for e in examples)),
        _table(
            "patients", "", examples, ((split, "patients") for split, _ in {(e.split, e.patient) for e in examples})
        ),
        _table(
            "findings; one of several labels counts under each",
            "label",
            examples,
            ((e.split, label) for e in examples for finding in e.findings for label in finding.labels),
        ),
        _table(
            "findings",
            "share of the readers who drew it",
            examples,
            ((e.split, f"{finding.agreement:.2f}") for e in examples for finding in e.findings),
        ),
        _table(
            "regions that are neither finding nor background",
            "label",
            examples,
            ((e.split, region.label) for e in examples for region in e.regions if region.box in set(e.too_small)),
        ),
    ]


def _looked_for(example: Example) -> str:
    if example.looked_for is None:
        return "everything"
    return ", ".join(sorted(example.looked_for)) or "nothing on all of the film"


def _table(title: str, first: str, examples: Sequence[Example], counted: Iterable[tuple[str, str]]) -> Table:
    counts = Counter(counted)
    splits = [split for split in SPLITS if any(example.split == split for example in examples)]
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in (*splits, "all"):
        table.add_column(name, justify="right")
    totals = Counter(row for (_, row), count in counts.items() for _ in range(count))
    for row, total in totals.most_common():
        table.add_row(row, *(f"{counts[split, row]:,}" for split in splits), f"{total:,}")
    return table
