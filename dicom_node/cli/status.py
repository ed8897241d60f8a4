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
    from dicom_node.ledger import Tx
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
    #: of one study, of one accession number, or of what a hash of the log stands for
    one: bool
    #: what a hash of the log stands for
    meaning: str = ""
    #: certificates that have ended or soon will
    certificates: tuple[str, ...] = ()


def status(
    study: Study = None,
    accession: Accession = None,
    logged: Annotated[
        str | None, typer.Option("--hash", metavar="HASH", help="Of whatever the log names by this keyed hash.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most studies listed, the latest first.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
    config: Config = CONFIG,
) -> None:
    """Tell where each study is: what it waits for, since when, for whom, and why something was not analysed.

    Held results, refused results, dead destinations and quarantined images are named with the command that helps.
    """
    from dicom_node.cli.status_screen import print_status

    if logged is not None and (study is not None or accession is not None):
        raise typer.BadParameter("--hash stands for a study by itself: give no --study and no --accession")
    look = _look(config, study=study, accession=accession, logged=logged, limit=limit)
    if as_json:
        print(json.dumps(_plain(look), indent=2))
    else:
        print_status(look)


def _look(config: Path, *, study: str | None, accession: str | None, logged: str | None, limit: int) -> Status:
    from dicom_node.certificates import ends_soon
    from dicom_node.errors import NotFound
    from dicom_node.ledger import overview, processes
    from dicom_node.logs import load_key

    with opened(config) as (settings, ledger), ledger.reading() as tx:
        meaning = ""
        if logged is not None:
            meaning, study = _meant_by(tx, logged, key=load_key(settings.node.folder))
        one = study is not None or accession is not None
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
            meaning=meaning,
            certificates=tuple(ends_soon(settings.tls)),
        )


def _meant_by(tx: "Tx", logged: str, *, key: bytes) -> tuple[str, str]:
    """What a hash of the log stands for, in words, and its Study Instance UID. Raises NotFound."""
    from dicom_node.errors import NotFound
    from dicom_node.ledger import lookup
    from dicom_node.logs import hashed

    wanted = logged.strip().lower()
    for what, study_instance_uid in lookup.matching(tx, lambda identifier: hashed(identifier, key=key) == wanted):
        return f"{wanted} is the {what} of study {study_instance_uid}", study_instance_uid
    raise NotFound(f"nothing that this node has is logged as {wanted}: it was purged, or its log.key is another node's")


def _plain(look: Status) -> dict[str, object]:
    from dicom_node import __version__
    from dicom_node.operate import is_dead

    dead_after = look.settings.deliver.dead_after
    modes = {peer.name: peer.mode for peer in look.settings.destinations}
    return {
        "version": __version__,
        "now": look.now,
        "ae_title": look.settings.node.ae_title,
        "certificates": list(look.certificates),
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
