"""`chexnode release`: sends results that were held for a person's word."""

import time

from dicom_node.cli.choosing import Accession, Destination, Everything, Study, choice, opened, show
from dicom_node.cli.options import CONFIG, Config, DryRun


def release(
    study: Study = None,
    accession: Accession = None,
    destination: Destination = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    config: Config = CONFIG,
) -> None:
    """Send results that are held: of a study, for a destination, or all.

    A destination whose mode is `hold` gets nothing until then; `chexnode status` shows what waits. What is released is
    sent by the running node.
    """
    from dicom_node import operate
    from dicom_node.cli.terminal import console, counted
    from dicom_node.domain import Mode

    with opened(config) as (settings, ledger):
        chosen = choice(
            settings, ledger, study=study, accession=accession, destination=destination, everything=everything
        )
        released = operate.release(ledger, chosen, now=time.time(), dry_run=dry_run)
    out = console()
    out.print(f"{'Would release' if dry_run else 'Released'} {counted(len(released), 'result')}.")
    show(out, released)
    reached = {peer.name for peer in settings.destinations if peer.mode is not Mode.OFF}
    for name in sorted({each.destination for each in released} - reached):
        out.print(f"{name} is off or not in the configuration any more: its results wait until it is.", style="yellow")
