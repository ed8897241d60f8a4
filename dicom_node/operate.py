"""What an operator may do, for the command line and for whatever else lets people act; each returns what it did.

With `dry_run` nothing is written, and what is returned is what would be done.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_node.domain import DeliveryState
from dicom_node.errors import NotFound
from dicom_node.ledger import Ledger, Tx, choice, deliveries, instances, jobs, overview
from dicom_node.ledger.choice import ChosenDelivery, ChosenJob
from dicom_node.ledger.overview import DestinationView
from dicom_node.ledger.processes import ProcessRow
from dicom_node.ledger.rows import InstanceRow

#: digits of a digest that name a version; a UID could begin another's digest with fewer
LEAST_OF_A_DIGEST = 8
#: seconds after which a role that says nothing is called silent; each says something every 30
SILENT_AFTER = 90.0


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which studies and destinations are meant: all that meet whatever is given."""

    study_instance_uid: str | None = None
    accession_number: str | None = None
    #: a peer's name
    destination: str | None = None


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What is tried again."""

    #: failed analyses, which are queued anew
    jobs: tuple[ChosenJob, ...]
    #: deliveries that their destination had refused
    refused: tuple[ChosenDelivery, ...]
    #: deliveries that waited for their next attempt, which is now
    waiting: tuple[ChosenDelivery, ...]


@dataclass(frozen=True, kw_only=True)
class Abandoned:
    """What is given up."""

    deliveries: tuple[ChosenDelivery, ...]
    #: being sent at that very moment: their attempt decides about them
    sending: tuple[ChosenDelivery, ...]


def is_alive(process: ProcessRow, *, now: float) -> bool:
    """Whether a process said something lately."""
    return now - process.seen_at <= SILENT_AFTER


def is_dead(view: DestinationView, *, dead_after: float, now: float) -> bool:
    """Whether a destination has taken nothing for `dead_after` seconds although something waits for it."""
    since = max(view.oldest or now, view.last_success or 0.0)
    return view.pending > 0 and now - since > dead_after


def release(ledger: Ledger, chosen: Choice, *, now: float, dry_run: bool = False) -> tuple[ChosenDelivery, ...]:
    """Send what is held for a person's word. Raises NotFound for a study that the node does not have."""
    with _at_work(ledger, dry_run=dry_run) as tx:
        ids = _studies(tx, chosen)
        held = choice.deliveries(tx, DeliveryState.HELD, study_ids=ids, destination=chosen.destination)
        if not dry_run:
            for study_id in _each(ids):
                deliveries.release(tx, now=now, destination=chosen.destination, study=study_id)
    return tuple(held)


def retry(ledger: Ledger, chosen: Choice, *, now: float, dry_run: bool = False) -> Retried:
    """Try again what failed for good, and at once what waits for its next attempt.

    Where a destination is chosen, analyses are left alone. Raises NotFound for a study that the node does not have.
    """
    with _at_work(ledger, dry_run=dry_run) as tx:
        ids = _studies(tx, chosen)
        failed = [] if chosen.destination else choice.failed_jobs(tx, study_ids=ids)
        refused = choice.deliveries(tx, DeliveryState.FAILED, study_ids=ids, destination=chosen.destination)
        pending = choice.deliveries(tx, DeliveryState.PENDING, study_ids=ids, destination=chosen.destination)
        if not dry_run:
            for job in failed:
                jobs.requeue(tx, job.job_id, now)
            for study_id in _each(ids):
                deliveries.requeue(tx, now=now, destination=chosen.destination, study=study_id)
            choice.hasten(tx, now=now, study_ids=ids, destination=chosen.destination)
    waiting = (delivery for delivery in pending if delivery.not_before > now)
    return Retried(jobs=tuple(failed), refused=tuple(refused), waiting=tuple(waiting))


def abandon(ledger: Ledger, chosen: Choice, *, now: float, reason: str, dry_run: bool = False) -> Abandoned:
    """Give up what is held, pending or refused. Raises NotFound for a study that the node does not have."""
    with _at_work(ledger, dry_run=dry_run) as tx:
        ids = _studies(tx, chosen)
        given_up = choice.deliveries(tx, *deliveries.ABANDONABLE, study_ids=ids, destination=chosen.destination)
        sending = choice.deliveries(tx, DeliveryState.SENDING, study_ids=ids, destination=chosen.destination)
        if not dry_run:
            for study_id in _each(ids):
                deliveries.abandon(tx, now=now, reason=reason, destination=chosen.destination, study=study_id)
    return Abandoned(deliveries=tuple(given_up), sending=tuple(sending))


def accept(ledger: Ledger, named: str, *, now: float, dry_run: bool = False) -> InstanceRow:
    """Say that a quarantined version is the right one; `named`: its SOP Instance UID or the beginning of its digest.

    It becomes current and is analysed. Raises NotFound where nothing of that name, or more than one, is in quarantine.
    """
    with _at_work(ledger, dry_run=dry_run) as tx:
        waiting = overview.quarantined(tx)
        meant = [row for row in waiting if named == row.sop_instance_uid or _begins(row.digest, named)]
        if not meant:
            raise NotFound(f"no quarantined instance is called {named}: `chexnode status` lists them")
        if len(meant) > 1:
            digests = ", ".join(row.digest[:12] for row in meant)
            raise NotFound(f"{named} has {len(meant)} versions in quarantine: name one by its digest ({digests})")
        if not dry_run:
            instances.accept(tx, meant[0].instance_id, now)
    return meant[0]


@contextlib.contextmanager
def _at_work(ledger: Ledger, *, dry_run: bool) -> Iterator[Tx]:
    with ledger.reading() if dry_run else ledger.transaction() as tx:
        yield tx


def _studies(tx: Tx, chosen: Choice) -> list[int] | None:
    """Ids of the chosen studies; None: all."""
    uid, accession = chosen.study_instance_uid, chosen.accession_number
    if uid is None and accession is None:
        return None
    found = choice.studies(tx, study_uid=uid, accession=accession)
    if not found:
        called = " and ".join(
            name for name in (uid and f"UID {uid}", accession and f"accession number {accession}") if name
        )
        raise NotFound(f"there is no study with {called}: `chexnode status` lists the latest")
    return found


def _begins(digest: str, named: str) -> bool:
    return len(named) >= LEAST_OF_A_DIGEST and digest.startswith(named.lower())


def _each(ids: list[int] | None) -> list[int] | list[None]:
    return [None] if ids is None else ids
