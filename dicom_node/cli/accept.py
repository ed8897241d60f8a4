"""`chexnode accept`: a person says that a quarantined version of an image is the right one."""

import time
from typing import Annotated

import typer

from dicom_node.cli.choosing import opened
from dicom_node.cli.options import CONFIG, Config, DryRun


def accept(
    instance: Annotated[str, typer.Argument(help="SOP Instance UID, or the first 8 or more digits of the digest.")],
    dry_run: DryRun = False,
    config: Config = CONFIG,
) -> None:
    """Accept a quarantined image: another picture came under a UID that the node knows.

    Both are kept until you decide. Accepting makes the newer one count: it is analysed, and the results of the earlier
    one, which show another picture, are no longer sent. `chexnode status` lists what is in quarantine.
    """
    from dicom_node import operate
    from dicom_node.cli.terminal import console, moment, plain

    with opened(config) as (_, ledger):
        row = operate.accept(ledger, instance, now=time.time(), dry_run=dry_run)
    console().print(
        plain(
            f"{'Would accept' if dry_run else 'Accepted'} {row.sop_instance_uid} as received at "
            f"{moment(row.received_at)} from {row.calling_ae_title} (digest {row.digest[:12]})."
        )
    )
