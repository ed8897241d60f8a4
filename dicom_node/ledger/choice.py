"""What an operator's words stand for: studies by UID or accession number, and what of theirs is in some state."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, literal_column, select, update

from dicom_node.domain import DeliveryState, JobState, Kind
from dicom_node.ledger import instances
from dicom_node.ledger.bell import Channel, request
from dicom_node.ledger.schema import delivery, in_state, instance, job, result, study


@dataclass(frozen=True, kw_only=True)
class ChosenDelivery:
    """One delivery, and enough around it for a person to recognise it."""

    delivery_id: int
    study_id: int
    study_instance_uid: str
    accession_number: str
    destination: str
    kind: Kind
    sop_instance_uid: str
    state: DeliveryState
    created_at: float
    attempts: int
    #: when it is tried next, while pending
    not_before: float
    last_error: str


@dataclass(frozen=True, kw_only=True)
class ChosenJob:
    """One failed job, and enough around it for a person to recognise it."""

    job_id: int
    study_id: int
    study_instance_uid: str
    accession_number: str
    sop_instance_uid: str
    last_error: str


def studies(
    tx: Connection,
    *,
    study_uid: str | None = None,
    accession: str | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[int]:
    """Ids of the studies that meet all that is given; an accession number may have several.

    The last image of a study came at `since` or later, before `until` (seconds since the epoch).
    """
    query = select(study.c.id).order_by(study.c.id)
    if study_uid is not None:
        query = query.where(study.c.study_instance_uid == study_uid)
    if accession is not None:
        query = query.where(study.c.accession_number == accession, study.c.accession_number != literal_column("''"))
    if since is not None:
        query = query.where(study.c.last_arrival >= since)
    if until is not None:
        query = query.where(study.c.last_arrival < until)
    return list(tx.execute(query).scalars())


def deliveries(
    tx: Connection,
    *states: DeliveryState,
    study_ids: Collection[int] | None = None,
    destination: str | None = None,
) -> list[ChosenDelivery]:
    """Deliveries in one of `states` that meet all that is given, the oldest first."""
    chosen = []
    for state in states:  # one query a state: each has its own partial index
        query = _DELIVERIES.where(in_state(delivery.c.state, state))
        if study_ids is not None:
            query = query.where(delivery.c.study_id.in_(study_ids))
        if destination is not None:
            query = query.where(delivery.c.destination == destination)
        chosen += [_delivery(row) for row in tx.execute(query).mappings()]
    return sorted(chosen, key=lambda one: one.delivery_id)


def of_results(tx: Connection, result_ids: Collection[int]) -> list[ChosenDelivery]:
    """Every delivery of these results, whatever its state, the oldest first."""
    query = _DELIVERIES.where(delivery.c.result_id.in_(result_ids))
    return [_delivery(row) for row in tx.execute(query).mappings()]


def failed_jobs(tx: Connection, *, study_ids: Collection[int] | None = None) -> list[ChosenJob]:
    """Jobs whose attempts are spent, the oldest first; those of quarantined instances wait for `accept` instead."""
    query = (
        select(job, study.c.study_instance_uid, study.c.accession_number, instance.c.sop_instance_uid)
        .join(study, study.c.id == job.c.study_id)
        .join(instance, instance.c.id == job.c.instance_id)
        .where(in_state(job.c.state, JobState.FAILED), instances.retryable())
        .order_by(job.c.id)
    )
    if study_ids is not None:
        query = query.where(job.c.study_id.in_(study_ids))
    return [ChosenJob(job_id=row["id"], **{name: row[name] for name in _JOB}) for row in tx.execute(query).mappings()]


def hasten(
    tx: Connection, *, now: float, study_ids: Collection[int] | None = None, destination: str | None = None
) -> int:
    """Pending deliveries that wait for their next attempt become due now; how many."""
    query = update(delivery).where(in_state(delivery.c.state, DeliveryState.PENDING), delivery.c.not_before > now)
    if study_ids is not None:
        query = query.where(delivery.c.study_id.in_(study_ids))
    if destination is not None:
        query = query.where(delivery.c.destination == destination)
    request(tx, Channel.DELIVERIES)
    return tx.execute(query.values(not_before=now)).rowcount


_DELIVERIES = (
    select(
        delivery,
        study.c.study_instance_uid,
        study.c.accession_number,
        result.c.kind,
        result.c.sop_instance_uid,
    )
    .join(study, study.c.id == delivery.c.study_id)
    .join(result, result.c.id == delivery.c.result_id)
    .order_by(delivery.c.id)
)


def _delivery(row: RowMapping) -> ChosenDelivery:
    return ChosenDelivery(
        delivery_id=row["id"],
        kind=Kind(row["kind"]),
        state=DeliveryState(row["state"]),
        **{name: row[name] for name in _DELIVERY},
    )


_DELIVERY = (
    "study_id",
    "study_instance_uid",
    "accession_number",
    "destination",
    "sop_instance_uid",
    "created_at",
    "attempts",
    "not_before",
    "last_error",
)
_JOB = ("study_id", "study_instance_uid", "accession_number", "sop_instance_uid", "last_error")
