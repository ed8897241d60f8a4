"""What `chexnode recall` prints: what a recall means where, how far it came, and what is to be deleted by hand."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from dicom_node.cli.terminal import counted, plain
from dicom_node.domain import ARRIVED, DeliveryState
from dicom_node.ledger.recall import Recallable
from dicom_node.ledger.withdrawals import Withdrawn
from dicom_node.operate import Recalled


def print_meant(out: Console, meant: Recalled) -> None:
    """One line a study and destination: what of ours is there, and what becomes of it."""
    fates = (
        ("by a rejection note", meant.there),
        ("by hand: no note can be written", meant.by_hand),
        ("never sent", meant.unsent),
        ("by a rejection note, once sent", meant.sending),
    )
    grouped: dict[tuple[str, str, str, str], list[str]] = {}
    for fate, rows in fates:
        for row in rows:
            key = (row.destination, row.accession_number, row.study_instance_uid, fate)
            grouped.setdefault(key, []).append(row.kind.value)
    if not grouped:
        return
    table = _table("at", "results", "withdrawn", "accession", "study")
    for (destination, accession, study, fate), kinds in sorted(grouped.items()):
        table.add_row(plain(destination), " ".join(kinds), fate, plain(accession or "-"), plain(study))
    out.print(table)


def print_withdrawn(out: Console, rows: Sequence[Withdrawn]) -> None:
    """How far the rejection notes came, and every object that is to be deleted by hand."""
    if not rows:
        out.print("Nothing that an archive has was recalled.")
        return
    grouped: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.destination, _standing(row))
        grouped[key] = grouped.get(key, 0) + 1
    table = _table("at", "results", "rejection note")
    for (destination, standing), count in sorted(grouped.items()):
        table.add_row(plain(destination), str(count), plain(standing))
    out.print(table)
    print_by_hand(out, [row for row in rows if row.by_hand])
    if any(row.note in ARRIVED for row in rows):
        out.print(
            "An archive that took a note but does not implement Imaging Object Change Management still shows what the "
            "note names: look there, and delete it by hand."
        )


def print_by_hand(out: Console, rows: Iterable[Recallable | Withdrawn]) -> None:
    """The UIDs of what only a person can delete."""
    left = list(rows)
    if left:
        out.print(f"To be deleted by hand, {counted(len(left), 'result')}:", style="yellow")
    for row in left:
        said = f"  {row.destination}  study {row.study_instance_uid}  {row.kind.value} {row.sop_instance_uid}"
        out.print(plain(said), soft_wrap=True)


def _standing(row: Withdrawn) -> str:
    if row.obstacle:
        return f"cannot be written: {row.obstacle}"
    if row.note is None:
        return "is to be written"
    if row.note in ARRIVED:
        return "taken"
    if row.note is DeliveryState.FAILED:
        return f"refused: {row.note_error}"
    return "given up" if row.note is DeliveryState.ABANDONED else "on its way"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
