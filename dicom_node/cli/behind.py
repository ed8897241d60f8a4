"""What `chexnode catch-up` prints: which studies the node lacks something of, and what became of fetching it."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from dicom_node.cli.terminal import counted, plain
from dicom_node.operate import CaughtUp, StudyBehind


def print_behind(out: Console, studies: Sequence[StudyBehind]) -> None:
    """One line a study that lacks something; then how many studies were looked at."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("missing", "of images", "day", "accession", "study"):
        table.add_column(heading, overflow="fold")
    behind = [each for each in studies if each.missing]
    for each in behind:
        study = each.study
        counts = (str(len(each.missing)), str(each.images))
        told = (study.study_date or "-", study.accession_number or "-", study.study_instance_uid)
        table.add_row(*counts, *(plain(value) for value in told))
    if behind:
        out.print(table)
    unseen = sum(len(each.missing) == each.images for each in behind)
    with_images = sum(bool(each.images) for each in studies)
    found = counted(with_images, "study", "studies")
    out.print(
        f"{found} with images to be read: {with_images - len(behind)} seen whole, "
        f"{len(behind) - unseen} in part, {unseen} not at all.",
        soft_wrap=True,
    )


def print_caught_up(out: Console, done: Sequence[CaughtUp]) -> None:
    """How many images are in the ledger now, and why others are not."""
    came = counted(sum(each.came for each in done), "image")
    out.print(f"{came} came in; `chexnode status` tells what becomes of them.")
    for each in done:
        for uid, why in each.failed:
            out.print(plain(f"image {uid}: {why}", "yellow"), soft_wrap=True)
