"""`chexnode resend`: results for a destination that came later, without running the model."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.cli.choosing import Accession, Everything, Since, Study, Until, named_or_timed, opened
from dicom_node.cli.options import CONFIG, Config, DryRun, Yes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicom_node.config import PeerSection, Settings
    from dicom_node.ledger import Ledger
    from dicom_node.operate import Resent, StudyLater


def resend(
    destination: Annotated[str, typer.Option(help="A destination's name in the configuration.")],
    study: Study = None,
    accession: Accession = None,
    since: Since = None,
    until: Until = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = CONFIG,
) -> None:
    """Send the results of earlier studies to a destination that was added later.

    What its profile wants and is not there yet is encoded from the stored masks and the received images, as it was
    first marked, without the model; then it waits for the destination like any other result. Only studies whose sender
    names the destination in its results_to. Images whose bytes were deleted after delivery (retention.days) are listed:
    of those nothing can be made. Lists and asks before it does anything; run again, it goes on where it was.
    """
    from dicom_node import operate
    from dicom_node.cli.later import print_meant, print_resent
    from dicom_node.cli.terminal import console, counted

    if everything and any(each is not None for each in (study, accession, since, until)):
        raise typer.BadParameter("say what is meant: --study, --accession, --since, --until, or --all of them")
    if everything:
        chosen = operate.Choice()
    else:
        chosen = named_or_timed(study=study, accession=accession, since=since, until=until)
    out = console()
    with opened(config) as (settings, ledger):
        peer = _peer(settings, destination)
        meant = list(operate.later(ledger, settings, peer, chosen))
        ready, encoded = sum(one.ready for one in meant), sum(one.encoded for one in meant)
        print_meant(out, meant)
        said = f"{counted(ready + encoded, 'result')} to {destination}, {encoded} of them to be encoded"
        if dry_run or not ready + encoded:
            out.print(f"Would send {said}.")
            return
        if not yes:
            typer.confirm(f"Send {said}?", abort=True)
        print_resent(out, peer, _resend(ledger, settings, peer, meant))


def _peer(settings: "Settings", name: str) -> "PeerSection":
    from dicom_node.domain import Mode
    from dicom_node.errors import NotFound

    known = {peer.name: peer for peer in settings.destinations if peer.mode is not Mode.OFF}
    if name not in known:
        raise NotFound(f"no destination that is not off is called {name}; there are: {', '.join(known) or 'none'}")
    return known[name]


def _resend(
    ledger: "Ledger", settings: "Settings", peer: "PeerSection", meant: "Sequence[StudyLater]"
) -> "list[Resent]":
    from functools import partial

    from rich.progress import track

    from dicom_node import operate
    from dicom_node.analyse.again import Again
    from dicom_node.cli.terminal import console
    from dicom_node.conclude.later import report_later
    from dicom_node.spool import Spool

    spool = Spool(settings.node.folder / "spool")
    err = console(stderr=True)
    done = []
    with Again(ledger, spool, settings) as again:
        for one in track(meant, "encoding", console=err, transient=True, disable=not err.is_terminal):
            if not one.ready + one.encoded:
                continue
            now = time.time()
            done.append(
                operate.resend(
                    ledger,
                    settings,
                    peer,
                    one,
                    encode=partial(again.encode, profile=peer.profile, now=now),
                    write_report=partial(report_later, ledger, spool, settings.results, profile=peer.profile, now=now),
                    now=now,
                )
            )
    return done
