"""What `chexnode resend` prints: what each study has for a destination, and what became of it."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from dicom_node.cli.terminal import counted, plain
from dicom_node.domain import Mode
from dicom_node.operate import Resent, StudyLater
from dicom_node.peer import PeerSection


def print_meant(out: Console, studies: Sequence[StudyLater]) -> None:
    """One line a study; then each image that nothing can be made of, and why."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("there", "encode", "sent or waiting", "accession", "study"):
        table.add_column(heading, overflow="fold")
    for one in studies:
        if one.ready + one.encoded:
            counts = (str(count or "-") for count in (one.ready, one.encoded, one.had))
            table.add_row(*counts, plain(one.study.accession_number or "-"), plain(one.study.study_instance_uid))
    if table.row_count:
        out.print(table)
    if others := sum(one.others for one in studies):
        out.print(
            f"{counted(others, 'result')} of another profile {'is' if others == 1 else 'are'} there and stay; "
            "`chexnode recall --profile` withdraws them."
        )
    for one in studies:
        if one.waits:
            out.print(plain(f"study {one.study.study_instance_uid}: {one.waits}"), soft_wrap=True)
        for image in one.images:
            if image.obstacle is not None:
                said = f"image {image.outcome.instance.sop_instance_uid}: not possible, {image.obstacle}"
                out.print(plain(said, "yellow"), soft_wrap=True)


def print_resent(out: Console, peer: PeerSection, done: Sequence[Resent]) -> None:
    """What is on its way now, and what could not be encoded."""
    encoded = sum(one.encoded for one in done)
    queued = counted(sum(one.queued for one in done), "result")
    then = (
        "the running node sends them" if peer.mode is Mode.SEND else f"held: chexnode release --destination {peer.name}"
    )
    out.print(f"Queued {queued} for {peer.name}, {encoded} of them newly encoded; {then}.", soft_wrap=True)
    for one in done:
        for uid, why in one.failed:
            out.print(plain(f"image {uid}: not encoded, {why}", "yellow"), soft_wrap=True)
