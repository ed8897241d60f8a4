"""`chexnode reanalyse`: analyses anew with the active model and today's settings, and supersedes."""

import time
from typing import Annotated

import typer

from dicom_node.cli.choosing import Accession, Since, Study, Until, named_or_timed, opened
from dicom_node.cli.options import CONFIG, Config, DryRun, Yes
from dicom_node.domain import RecallReason


def reanalyse(
    study: Study = None,
    accession: Accession = None,
    since: Since = None,
    until: Until = None,
    recall: Annotated[
        bool, typer.Option("--recall", help="Withdraw what is superseded, by rejection notes; see `chexnode recall`.")
    ] = False,
    reason: Annotated[
        RecallReason, typer.Option(help="With --recall: the rejection note's title.")
    ] = RecallReason.QUALITY,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = CONFIG,
) -> None:
    """Analyse studies anew: with another model, threshold or selection than they were analysed with.

    A new model or setting by itself sends nothing again. This lists, per study and destination, what new results will
    supersede, asks, and queues the images behind whatever arrives. As each study is done its new results go out under
    new UIDs. What a destination has got stays there beside them, unless you say --recall. --since and --until are when
    a study's last image came. Images whose bytes were deleted after delivery (retention.days) are listed: they cannot
    be analysed any more.
    """
    from dicom_node import operate
    from dicom_node.cli.anew import print_anew, queued, stays
    from dicom_node.cli.terminal import console, counted
    from dicom_node.operate import StudyAnew

    chosen = named_or_timed(study=study, accession=accession, since=since, until=until)
    out = console()
    with opened(config) as (settings, ledger):

        def run(*, dry: bool) -> tuple[StudyAnew, ...]:
            why = reason if recall else None
            return operate.reanalyse(ledger, settings, chosen, recall=why, now=time.time(), dry_run=dry)

        meant = run(dry=True)
        print_anew(out, meant, recalled=recall)
        images = queued(meant)
        if dry_run or not images:
            out.print(f"Would analyse {counted(images, 'image')} anew.")
            return
        if left := 0 if recall else stays(meant):
            out.print(f"{counted(left, 'superseded result')} will stay where they are; --recall withdraws them.")
        if not yes:
            typer.confirm(f"Analyse {counted(images, 'image')} anew?", abort=True)
        done = run(dry=False)
    out.print(f"Queued {counted(queued(done), 'image')}: `chexnode status` tells how far they are.")
