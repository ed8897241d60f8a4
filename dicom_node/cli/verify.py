"""`chexnode verify`: do ledger and spool say the same?"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.cli.choosing import opened
from dicom_node.cli.options import CONFIG, Config

if TYPE_CHECKING:
    from dicom_node.operate.verifying import Discrepancy


def verify(
    mending: Annotated[bool, typer.Option("--mend", help="Do what can be done about each.")] = False,
    backup: Annotated[
        Path | None, typer.Option("--from", metavar="FOLDER", help="With --mend: take lost bytes from this backup.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="See that each file is there; do not read it.")] = False,
    config: Config = CONFIG,
) -> None:
    """Compare the ledger with the spool, object by object, and name whatever they do not agree about.

    With --mend, bytes that are lost or damaged come from a backup where one is named; damaged files are set aside in
    spool/damaged; an image without bytes takes them when it is sent again; a result without bytes is given up, and what
    waited for it abandoned; files that nobody has named for a day are removed. The node may be at work.

    Exit code 0: all is well, or was mended; 1: something is left.
    """
    from dicom_node.cli.terminal import console, counted, plain
    from dicom_node.operate.verifying import Wrong, mend
    from dicom_node.operate.verifying import verify as look
    from dicom_node.retention import ORPHAN_AGE, sweep
    from dicom_node.spool import Spool

    if backup is not None and not mending:
        raise typer.BadParameter("--from is for --mend: nothing is changed without it")
    left = found = 0
    with opened(config) as (settings, ledger):
        spool = Spool(settings.node.folder / "spool")
        for one in look(ledger, spool, quick=quick):
            found += 1
            mended = mend(ledger, spool, one, backup=backup, now=time.time()) if mending else one
            left += mended.mended is None and not (mending and one.wrong is Wrong.ORPHAN)
            console().print(plain(_line(mended)), soft_wrap=True)
        if mending:
            removed = sweep(ledger, spool, older_than=ORPHAN_AGE, now=time.time())
            if removed:
                console().print(f"Removed {counted(len(removed), 'file')} that nobody names.")
    if not found:
        console().print("Ledger and spool agree.")
    elif left:
        advice = "" if mending else "; `chexnode verify --mend` does what can be done"
        console().print(f"\n{counted(left, 'discrepancy', 'discrepancies')} left{advice}.")
    raise typer.Exit(1 if left else 0)


def _line(one: "Discrepancy") -> str:
    row = one.named
    if row is None:
        said = f"{one.wrong.value:<8} {one.said}"
    else:
        of = f"{row.sop_instance_uid} of study" if row.sop_instance_uid else "of an image of study"
        said = f"{one.wrong.value:<8} {row.noun.value} {of} {row.study_instance_uid}: {one.said}"
    return said if one.mended is None else f"{said}; {one.mended.value}"
