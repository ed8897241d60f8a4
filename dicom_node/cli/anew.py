"""What `chexnode reanalyse` prints: what is analysed anew, what that supersedes where, and what cannot be."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from dicom_node.cli.terminal import counted, plain
from dicom_node.domain import ARRIVED, DeliveryState
from dicom_node.ledger.choice import ChosenDelivery
from dicom_node.ledger.reanalysis import Prospect
from dicom_node.operate import StudyAnew

#: why an image is not analysed anew, for people
_NOT = {
    Prospect.UP_TO_DATE: "analysed by this model with these settings",
    Prospect.UNDER_WAY: "waiting or being analysed already",
    Prospect.BEEN_THERE: "analysed so before, and superseded or recalled since: its objects cannot be made again",
    Prospect.FAILED: "failed with these settings: chexnode retry",
    Prospect.PURGED: "not possible, its bytes were deleted after delivery (retention.days)",
    Prospect.REJECTED: "rejected by its archive",
}
_UNSENT = frozenset({DeliveryState.HELD, DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.SENDING})


def print_anew(out: Console, studies: Sequence[StudyAnew], *, recalled: bool) -> None:
    """One line a study and destination; then each image that is not analysed anew, and why."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("anew", "at", "supersedes", "accession", "study"):
        table.add_column(heading, overflow="fold")
    for one in studies:
        if not (images := one.images(Prospect.QUEUE)):
            continue
        rows = list(_destinations(one, recalled=recalled)) or [("-", "nothing was sent")]
        for number, (destination, what) in enumerate(rows):
            table.add_row(
                counted(len(images), "image") if number == 0 else "",
                plain(destination),
                what,
                plain(one.accession_number or "-"),
                plain(one.study_instance_uid),
            )
    if table.row_count:
        out.print(table)
    for one in studies:
        for prospect, why in _NOT.items():
            for uid in one.images(prospect):
                out.print(plain(f"image {uid}: {why}", "yellow" if prospect is Prospect.PURGED else ""), soft_wrap=True)


def queued(studies: Sequence[StudyAnew]) -> int:
    """Images that are analysed anew."""
    return sum(len(one.images(Prospect.QUEUE)) for one in studies)


def stays(studies: Sequence[StudyAnew]) -> int:
    """Superseded results that destinations have."""
    return sum(each.state in ARRIVED for one in studies for each in one.superseded)


def _destinations(one: StudyAnew, *, recalled: bool) -> Iterator[tuple[str, str]]:
    by_name: dict[str, list[ChosenDelivery]] = {}
    for each in one.superseded:
        by_name.setdefault(each.destination, []).append(each)
    for name, group in sorted(by_name.items()):
        count = Counter(each.state for each in group)
        stored, unsent = sum(count[state] for state in ARRIVED), sum(count[state] for state in _UNSENT)
        said = []
        if stored:
            said.append(f"{stored} stored, " + ("to be withdrawn" if recalled else "which stay there"))
        if unsent:
            said.append(f"{unsent} not sent yet")
        yield name, "; ".join(said) or "nothing that was sent"
