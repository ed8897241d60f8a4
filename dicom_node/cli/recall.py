"""`chexnode recall`: withdraws results, by rejection notes where an archive has them."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.cli.choosing import Accession, Since, Study, Until, named_or_timed, opened
from dicom_node.cli.options import CONFIG, Config, DryRun, Yes
from dicom_node.domain import Profile, RecallReason

if TYPE_CHECKING:
    from dicom_node.operate import Recalled

#: digits of a model's digest that name it
LEAST_OF_A_DIGEST = 8


def recall(
    study: Study = None,
    accession: Accession = None,
    model: Annotated[
        str | None, typer.Option(help="Made with this model: the first 8 or more digits of its digest.")
    ] = None,
    profile: Annotated[
        Profile | None, typer.Option(help="Made for this profile: what a destination had before its profile changed.")
    ] = None,
    since: Since = None,
    until: Until = None,
    reason: Annotated[
        RecallReason, typer.Option(help="The rejection note's title: what it asks of an archive differs.")
    ] = RecallReason.QUALITY,
    listing: Annotated[
        bool, typer.Option("--list", help="Do nothing: tell what was recalled, and what an archive did not retract.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = CONFIG,
) -> None:
    """Withdraw results: those of a study, those made with a model, for a profile, or within a time.

    What was not sent never is. To each destination that has some of them the node sends a rejection note (IHE Imaging
    Object Change Management): an archive that implements it hides or deletes what the note names. One that does not
    keeps the note as one more object; --list names what is to be deleted by hand. Asks before it does anything. What is
    recalled is not made again by the same model with the same settings.
    """
    from dicom_node import operate
    from dicom_node.cli.recalled import print_by_hand, print_meant, print_withdrawn
    from dicom_node.cli.terminal import console, counted

    out = console()
    if listing:
        with opened(config) as (_, ledger):
            chosen = operate.Choice(study_instance_uid=study, accession_number=accession)
            print_withdrawn(out, operate.withdrawn(ledger, chosen))
        return
    chosen = named_or_timed(study=study, accession=accession, since=since, until=until, beside=(model, profile))
    if model is not None and len(model) < LEAST_OF_A_DIGEST:
        raise typer.BadParameter(f"a model is named by the first {LEAST_OF_A_DIGEST} digits of its digest, or more")
    with opened(config) as (_, ledger):

        def run(*, dry: bool) -> "Recalled":
            return operate.recall(
                ledger, chosen, reason=reason, model_digest=model, profile=profile, now=time.time(), dry_run=dry
            )

        meant = run(dry=True)
        print_meant(out, meant)
        if dry_run or not meant.results:
            out.print(f"Would recall {counted(meant.results, 'result')}.")
            return
        if not yes:
            typer.confirm(f"Recall {counted(meant.results, 'result')}? There is no way back.", abort=True)
        done = run(dry=False)
    out.print(f"Recalled {counted(done.results, 'result')}; the running node writes and sends the rejection notes.")
    out.print(
        "Whether an archive hides what a note names is its own matter: `chexnode recall --list` tells who took it."
    )
    if done.by_hand:
        print_by_hand(out, done.by_hand)
