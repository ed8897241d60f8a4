"""What an operator may do about results on their way: release, retry, abandon."""

from dataclasses import dataclass

from dicom_node.domain import DeliveryState
from dicom_node.ledger import Ledger, choice, commitments, holding, jobs
from dicom_node.ledger.choice import ChosenDelivery, ChosenJob
from dicom_node.operate.choosing import Choice, at_work, studies_of


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
    #: stored there; their commitment is not waited for any more
    uncommitted: tuple[ChosenDelivery, ...]


def release(ledger: Ledger, chosen: Choice, *, now: float, dry_run: bool = False) -> tuple[ChosenDelivery, ...]:
    """Send what is held for a person's word. Raises NotFound for a study that the node does not have."""
    with at_work(ledger, dry_run=dry_run) as tx:
        ids = studies_of(tx, chosen)
        held = choice.deliveries(tx, DeliveryState.HELD, study_ids=ids, destination=chosen.destination)
        if not dry_run:
            for study_id in _each(ids):
                holding.release(tx, now=now, destination=chosen.destination, study=study_id)
    return tuple(held)


def retry(ledger: Ledger, chosen: Choice, *, now: float, dry_run: bool = False) -> Retried:
    """Try again what failed for good, and at once what waits for its next attempt.

    Where a destination is chosen, analyses are left alone. Raises NotFound for a study that the node does not have.
    """
    with at_work(ledger, dry_run=dry_run) as tx:
        ids = studies_of(tx, chosen)
        failed = [] if chosen.destination else choice.failed_jobs(tx, study_ids=ids)
        refused = choice.deliveries(tx, DeliveryState.FAILED, study_ids=ids, destination=chosen.destination)
        pending = choice.deliveries(tx, DeliveryState.PENDING, study_ids=ids, destination=chosen.destination)
        if not dry_run:
            for job in failed:
                jobs.requeue(tx, job.job_id, now)
            for study_id in _each(ids):
                holding.requeue(tx, now=now, destination=chosen.destination, study=study_id)
            choice.hasten(tx, now=now, study_ids=ids, destination=chosen.destination)
    waiting = (delivery for delivery in pending if delivery.not_before > now)
    return Retried(jobs=tuple(failed), refused=tuple(refused), waiting=tuple(waiting))


def abandon(ledger: Ledger, chosen: Choice, *, now: float, reason: str, dry_run: bool = False) -> Abandoned:
    """Give up what is held, pending or refused, and commitments that do not come.

    Raises NotFound for a study that the node does not have.
    """
    with at_work(ledger, dry_run=dry_run) as tx:
        ids = studies_of(tx, chosen)
        given_up = choice.deliveries(tx, *holding.ABANDONABLE, study_ids=ids, destination=chosen.destination)
        sending = choice.deliveries(tx, DeliveryState.SENDING, study_ids=ids, destination=chosen.destination)
        uncommitted = choice.deliveries(tx, DeliveryState.UNCOMMITTED, study_ids=ids, destination=chosen.destination)
        if not dry_run:
            for study_id in _each(ids):
                holding.abandon(tx, now=now, reason=reason, destination=chosen.destination, study=study_id)
                commitments.forgo(tx, now=now, reason=reason, destination=chosen.destination, study=study_id)
    return Abandoned(deliveries=tuple(given_up), sending=tuple(sending), uncommitted=tuple(uncommitted))


def _each(ids: list[int] | None) -> list[int] | list[None]:
    return [None] if ids is None else ids
