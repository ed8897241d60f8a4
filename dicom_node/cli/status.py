"""`chexnode status`: where each study is, what it waits for, since when, for whom."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicom_node.cli.choosing import Accession, Study, opened
from dicom_node.cli.options import CONFIG, Config

if TYPE_CHECKING:
    from dicom_node.config import Settings
    from dicom_node.ledger.overview import DestinationView, Queues, StudyView
    from dicom_node.ledger.processes import ProcessRow
    from dicom_node.ledger.rows import InstanceRow


@dataclass(frozen=True, kw_only=True)
class Status:
    """All that one look at the ledger gave."""

    now: float
    settings: "Settings"
    queues: "Queues"
    processes: list["ProcessRow"]
    destinations: list["DestinationView"]
    quarantined: list["InstanceRow"]
    studies: list["StudyView"]
    #: of one study, or of one accession number
    one: bool


def status(
    study: Study = None,
    accession: Accession = None,
    limit: Annotated[int, typer.Option(help="Most studies listed, the latest first.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
    config: Config = CONFIG,
) -> None:
    """Tell where each study is: what it waits for, since when, for whom, and why something was not analysed.

    Held results, refused results, dead destinations and quarantined images are named with the command that helps.
    """
    from dicom_node.cli.status_screen import print_status

    look = _look(config, study=study, accession=accession, limit=limit)
    if as_json:
        print(json.dumps(_plain(look), indent=2))
    else:
        print_status(look)


def _look(config: Path, *, study: str | None, accession: str | None, limit: int) -> Status:
    from dicom_node.errors import NotFound
    from dicom_node.ledger import overview, processes

    one = study is not None or accession is not None
    with opened(config) as (settings, ledger), ledger.reading() as tx:
        found = overview.studies(tx, accession=accession, study_uid=study, limit=limit)
        if one and not found:
            raise NotFound(f"no study came with {f'UID {study}' if study else f'accession number {accession}'}")
        return Status(
            now=time.time(),
            settings=settings,
            queues=overview.queues(tx),
            processes=processes.seen(tx),
            destinations=overview.destinations(tx, [peer.name for peer in settings.destinations]),
            quarantined=overview.quarantined(tx),
            studies=found,
            one=one,
        )


def _plain(look: Status) -> dict[str, object]:
    from dicom_node import __version__
    from dicom_node.operate import is_dead

    dead_after = look.settings.deliver.dead_after
    modes = {peer.name: peer.mode for peer in look.settings.destinations}
    return {
        "version": __version__,
        "now": look.now,
        "ae_title": look.settings.node.ae_title,
        "queues": asdict(look.queues),
        "processes": [asdict(row) for row in look.processes],
        "destinations": [
            {
                **asdict(view),
                "mode": modes.get(view.destination),
                "dead": is_dead(view, dead_after=dead_after, now=look.now),
            }
            for view in look.destinations
        ],
        "quarantined": [asdict(row) for row in look.quarantined],
        "studies": [_without_patient(asdict(view)) for view in look.studies],
    }


def _without_patient(view: dict[str, Any]) -> dict[str, Any]:
    """Where a study is says nothing of whose it is."""
    kept = {key: value for key, value in view["study"].items() if key not in ("patient_id", "issuer_of_patient_id")}
    return {**view, "study": kept}
