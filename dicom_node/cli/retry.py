"""`chexnode retry`: tries again what failed."""

import time

from dicom_node.cli.choosing import Accession, Destination, Everything, Study, choice, opened, show
from dicom_node.cli.options import CONFIG, Config, DryRun


def retry(
    study: Study = None,
    accession: Accession = None,
    destination: Destination = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    config: Config = CONFIG,
) -> None:
    """Try again what failed for good, and at once what waits for its next attempt.

    Analyses whose attempts are spent, results that a destination refused, and those that a destination could not be
    reached for. With --destination, only results for it.
    """
    from dicom_node import operate
    from dicom_node.cli.terminal import console, counted, plain

    with opened(config) as (settings, ledger):
        chosen = choice(
            settings, ledger, study=study, accession=accession, destination=destination, everything=everything
        )
        retried = operate.retry(ledger, chosen, now=time.time(), dry_run=dry_run)
    out = console()
    out.print(
        f"{'Would retry' if dry_run else 'Retrying'} "
        f"{counted(len(retried.jobs), 'failed analysis', 'failed analyses')}, "
        f"{counted(len(retried.refused), 'refused result')}, and "
        f"{counted(len(retried.waiting), 'result')} ahead of time."
    )
    for job in retried.jobs:
        out.print(plain(f"image {job.sop_instance_uid}  accession {job.accession_number or '-'}: {job.last_error}"))
    show(out, (*retried.refused, *retried.waiting))
