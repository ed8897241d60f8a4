"""`chexnode abandon`: gives up what waits for a destination that will not come back."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.cli.choosing import Accession, Study, opened, require_destination, show
from dicom_node.cli.options import CONFIG, Config, DryRun, Yes

if TYPE_CHECKING:
    from dicom_node.operate.outbox import Abandoned


def abandon(
    destination: Annotated[str, typer.Argument(help="The destination's name, as `chexnode status` shows it.")],
    study: Study = None,
    accession: Accession = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = CONFIG,
) -> None:
    """Give up everything that waits for a destination: held, pending and refused results.

    They will never be sent. What it stored and has not committed to keeping counts as stored from then on. Asks before
    it does anything.
    """
    from dicom_node import operate
    from dicom_node.cli.terminal import console, counted

    chosen = operate.Choice(study_instance_uid=study, accession_number=accession, destination=destination)
    out = console()
    with opened(config) as (settings, ledger):
        require_destination(settings, ledger, destination)
        meant = operate.abandon(ledger, chosen, now=time.time(), reason="", dry_run=True)
        show(out, (*meant.deliveries, *meant.uncommitted))
        if dry_run or not (meant.deliveries or meant.uncommitted):
            out.print(f"Would abandon {counted(len(meant.deliveries), 'result')} for {destination}.")
            if meant.uncommitted:
                out.print(f"Would wait for no commitment to {counted(len(meant.uncommitted), 'result')} any more.")
            return
        if not yes:
            typer.confirm(_question(meant, destination), abort=True)
        done = operate.abandon(ledger, chosen, now=time.time(), reason="abandoned by an operator")
    out.print(f"Abandoned {counted(len(done.deliveries), 'result')} for {destination}.")
    if done.uncommitted:
        out.print(f"No commitment to {counted(len(done.uncommitted), 'result')} is waited for any more.")
    if done.sending:
        out.print(f"{counted(len(done.sending), 'result')} were being sent at that moment: run it again to be sure.")


def _question(meant: "Abandoned", destination: str) -> str:
    from dicom_node.cli.terminal import counted

    if not meant.deliveries:
        return f"Wait no more for {destination} to commit to {counted(len(meant.uncommitted), 'result')}?"
    return f"Never send {counted(len(meant.deliveries), 'result')} to {destination}?"
