"""`chexnode abandon`: gives up what waits for a destination that will not come back."""

import time
from typing import Annotated

import typer

from dicom_node.cli.choosing import Accession, Study, opened, require_destination, show
from dicom_node.cli.options import CONFIG, Config, DryRun, Yes


def abandon(
    destination: Annotated[str, typer.Argument(help="The destination's name, as `chexnode status` shows it.")],
    study: Study = None,
    accession: Accession = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = CONFIG,
) -> None:
    """Give up everything that waits for a destination: held, pending and refused results.

    They will never be sent. Asks before it does anything.
    """
    from dicom_node import operate
    from dicom_node.cli.terminal import console, counted

    chosen = operate.Choice(study_instance_uid=study, accession_number=accession, destination=destination)
    out = console()
    with opened(config) as (settings, ledger):
        require_destination(settings, ledger, destination)
        meant = operate.abandon(ledger, chosen, now=time.time(), reason="", dry_run=True)
        show(out, meant.deliveries)
        if dry_run or not meant.deliveries:
            out.print(f"Would abandon {counted(len(meant.deliveries), 'result')} for {destination}.")
            return
        if not yes:
            typer.confirm(f"Never send {counted(len(meant.deliveries), 'result')} to {destination}?", abort=True)
        done = operate.abandon(ledger, chosen, now=time.time(), reason="abandoned by an operator")
    out.print(f"Abandoned {counted(len(done.deliveries), 'result')} for {destination}.")
    if done.sending:
        out.print(f"{counted(len(done.sending), 'result')} were being sent at that moment: run it again to be sure.")
