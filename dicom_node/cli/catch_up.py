"""`chexnode catch-up`: after an outage, fetch from an archive what the node never saw."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.cli.choosing import MOMENTS, Until, opened
from dicom_node.cli.options import CONFIG, Config, DryRun, Yes

if TYPE_CHECKING:
    from dicom_node.config import PeerSection, Settings
    from dicom_node.ledger import Ledger
    from dicom_node.operate import CaughtUp, StudyBehind
    from dicom_node.query.archive import Archive, HeldInstance

Window = Annotated[
    datetime,
    typer.Option(
        formats=MOMENTS, metavar="TIME", help="Studies from then on: 2026-03-01 or '2026-03-01 14:00', local time."
    ),
]


def catch_up(
    since: Window,
    source: Annotated[str, typer.Option("--from", metavar="PEER", help="Who is asked: a peer's name.")],
    destination: Annotated[
        str, typer.Option("--to", metavar="DESTINATION", help="Where the results go, and only there.")
    ],
    until: Until = None,
    per_minute: Annotated[float, typer.Option(help="Most images fetched in a minute.", min=0.1)] = 30,
    dry_run: DryRun = False,
    yes: Yes = False,
    config: Config = CONFIG,
) -> None:
    """After an outage, ask an archive for studies that the node has not seen, and fetch their images.

    The window is of the studies' own dates. By C-FIND and C-MOVE, while the node runs and the archive knows its AE
    title; or by QIDO-RS and WADO-RS, where the peer has only a dicomweb_url, or `ask = "qido"`. What is fetched is
    analysed like anything that arrives, and its results go to the destination that is named, whatever the routes say.

    Interrupted, it goes on where it was when run again.
    """
    from dicom_node import operate
    from dicom_node.cli.behind import print_behind, print_caught_up
    from dicom_node.cli.terminal import console, counted, duration

    out = console()
    now = datetime.now(UTC)
    with opened(config) as (settings, ledger):
        peer = _source(settings, source)
        _require_destination(settings, destination)
        archive, fetch = _ways(settings, ledger, peer)
        meant = list(
            operate.behind(
                ledger, archive, settings.select, since=since.astimezone(), until=(until or now).astimezone()
            )
        )
        print_behind(out, meant)
        images = sum(len(each.missing) for each in meant)
        said = f"{counted(images, 'image')} from {source} for {destination}"
        if dry_run or not images:
            out.print(f"Would fetch {said}, in {duration(images * 60 / per_minute)} at least.")
            return
        if not yes:
            typer.confirm(f"Fetch {said}?", abort=True)
        done = _fetch(ledger, meant, destination=destination, fetch=fetch, per_minute=per_minute)
        print_caught_up(out, done)


def _fetch(
    ledger: "Ledger",
    meant: "Sequence[StudyBehind]",
    *,
    destination: str,
    fetch: "Callable[[HeldInstance], None]",
    per_minute: float,
) -> "list[CaughtUp]":
    from rich.progress import track

    from dicom_node import operate
    from dicom_node.cli.terminal import console

    err = console(stderr=True)
    pace = Pace(60 / per_minute)
    wanted = [each for each in meant if each.missing]
    return [
        operate.catch_up(ledger, each, destination=destination, fetch=fetch, pace=pace, now=time.time())
        for each in track(wanted, "fetching", console=err, transient=True, disable=not err.is_terminal)
    ]


class Pace:
    """Called before each step, lets at least `seconds` pass between two."""

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def __call__(self) -> None:
        if (left := self._next - self._clock()) > 0:
            self._sleep(left)
        self._next = max(self._next, self._clock()) + self._seconds


def _source(settings: "Settings", name: str) -> "PeerSection":
    from dicom_node.errors import NotFound

    known = {peer.name: peer for peer in settings.peers if peer.host or peer.dicomweb_url}
    if name not in known:
        raise NotFound(f"no peer that can be asked is called {name}; there are: {', '.join(known) or 'none'}")
    return known[name]


def _require_destination(settings: "Settings", name: str) -> None:
    from dicom_node.domain import Mode
    from dicom_node.errors import NotFound

    if not settings.named(name):
        known = ", ".join(peer.name for peer in settings.destinations if peer.mode is not Mode.OFF)
        raise NotFound(f"no destination that is not off is called {name}; there are: {known or 'none'}")


def _ways(
    settings: "Settings", ledger: "Ledger", peer: "PeerSection"
) -> "tuple[Archive, Callable[[HeldInstance], None]]":
    """How `peer` is asked, and how one of its images is brought in."""
    from dicom_node.peer import Ask
    from dicom_node.query.asking import dicom_archive_of
    from dicom_node.query.web import WebArchive
    from dicom_node.receive.fetched import taking_in

    section = settings.deliver
    if peer.ask is not Ask.QIDO and peer.host:
        archive = dicom_archive_of(peer, calling=settings.node.ae_title, section=section, tls=settings.tls)
        return archive, lambda image: archive.send([image], to=settings.node.ae_title)
    web = WebArchive(peer, connect_timeout=section.connect_timeout, response_timeout=section.response_timeout)
    take_in = taking_in(settings, ledger, peer)
    return web, lambda image: take_in(web.file(image))
