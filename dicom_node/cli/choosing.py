"""How the commands that act are told what they mean, and how they say what they did."""

import contextlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from dicom_node.config import Settings
    from dicom_node.ledger import Ledger
    from dicom_node.ledger.choice import ChosenDelivery
    from dicom_node.operate import Choice

#: how a time may be given
MOMENTS = ["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]

Study = Annotated[str | None, typer.Option("--study", help="Study Instance UID.")]
Accession = Annotated[str | None, typer.Option("--accession", help="Accession number.")]
Destination = Annotated[str | None, typer.Option("--destination", help="A destination's name in the configuration.")]
Since = Annotated[
    datetime | None,
    typer.Option(formats=MOMENTS, metavar="TIME", help="From then on: 2026-03-01 or '2026-03-01 14:00', local time."),
]
Until = Annotated[
    datetime | None, typer.Option(formats=MOMENTS, metavar="TIME", help="Before then: a day is its first moment.")
]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]


@contextlib.contextmanager
def opened(config: Path) -> Iterator[tuple["Settings", "Ledger"]]:
    """The settings and their ledger, closed on leaving. Raises ConfigurationError, SchemaMismatch."""
    from dicom_node.config import load_settings
    from dicom_node.ledger import Ledger

    settings = load_settings(config)
    ledger = Ledger.for_settings(settings.node)
    try:
        yield settings, ledger
    finally:
        ledger.close()


def choice(
    settings: "Settings",
    ledger: "Ledger",
    *,
    study: str | None,
    accession: str | None,
    destination: str | None,
    everything: bool,
) -> "Choice":
    """What the options mean. Raises NotFound for a destination that nobody knows, typer's usage error for nothing."""
    from dicom_node.operate import Choice

    given = study is not None or accession is not None or destination is not None
    if given == everything:
        raise typer.BadParameter("say what is meant: --study, --accession, --destination, or --all of them")
    if destination is not None:
        require_destination(settings, ledger, destination)
    return Choice(study_instance_uid=study, accession_number=accession, destination=destination)


def named_or_timed(
    *,
    study: str | None,
    accession: str | None,
    since: datetime | None,
    until: datetime | None,
    beside: tuple[object, ...] = (),
) -> "Choice":
    """What the options mean. Raises typer's usage error where none of them is given, nor of those `beside` them."""
    from dicom_node.operate import Choice

    if all(given is None for given in (study, accession, since, until, *beside)):
        raise typer.BadParameter("say what is meant: --study, --accession, --since, --until")
    return Choice(
        study_instance_uid=study,
        accession_number=accession,
        since=None if since is None else since.timestamp(),
        until=None if until is None else until.timestamp(),
    )


def require_destination(settings: "Settings", ledger: "Ledger", name: str) -> None:
    """Raises NotFound unless the configuration has this destination, or something in the ledger still waits for it."""
    from dicom_node.errors import NotFound
    from dicom_node.ledger import overview

    with ledger.reading() as tx:
        known = [view.destination for view in overview.destinations(tx, [d.name for d in settings.destinations])]
    if name not in known:
        raise NotFound(f"no destination is called {name}; there are: {', '.join(known) or 'none'}")


def show(console: "Console", deliveries: Iterable["ChosenDelivery"]) -> None:
    """One line a study and destination: where to, what, which study."""
    from rich.table import Table

    from dicom_node.cli.terminal import plain

    grouped: dict[tuple[str, str, str], list[str]] = {}
    for each in deliveries:
        key = (each.destination, each.accession_number, each.study_instance_uid)
        grouped.setdefault(key, []).append(each.kind.value)
    if not grouped:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("to", "results", "accession", "study"):
        table.add_column(heading, overflow="fold")
    for (destination, accession, study), kinds in grouped.items():
        table.add_row(plain(destination), " ".join(kinds), plain(accession or "-"), plain(study))
    console.print(table)
