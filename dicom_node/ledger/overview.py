"""What `status` prints: what, since when, for whom, what it waits for (law 9)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, RowMapping, func, literal_column, select

from dicom_node.domain import ARRIVED, DeliveryState, InstanceState, JobState, Kind, Profile, StudyState
from dicom_node.ledger import instances, jobs, pledges, withdrawals
from dicom_node.ledger.rows import InstanceRow, JobRow, StudyRow, instance_row, job_row, study_row
from dicom_node.ledger.schema import delivery, finding, in_state, instance, job, result, study
from dicom_node.ledger.withdrawals import Withdrawn

#: what is counted no further: a million that wait would make looking at them slow, and say no more than this does
MOST_COUNTED = 10_000
#: pending deliveries, the last due first, among which a failed attempt is looked for
_LATEST = 1000


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A job and how much it found."""

    job: JobRow
    #: every finding down to the model's floor
    findings: int


@dataclass(frozen=True, kw_only=True)
class InstanceView:
    """One version of an image, current or not, and what was done with it."""

    instance: InstanceRow
    jobs: tuple[JobView, ...]


@dataclass(frozen=True, kw_only=True)
class DeliveryView:
    """One result on its way to one destination."""

    delivery_id: int
    destination: str
    kind: Kind
    profile: Profile
    sop_instance_uid: str
    state: DeliveryState
    #: when the delivery was decided on
    created_at: float
    #: when it ended, in whichever way
    ended_at: float | None
    attempts: int
    #: when it is tried next, while pending; when its commitment is asked for next, while uncommitted
    not_before: float
    last_error: str
    #: times that its commitment was asked for in vain
    commitment_attempts: int
    #: False: a newer result has taken its place, or it was recalled
    is_current: bool
    #: it was recalled
    recalled: bool
    #: what became of that at this destination; None: it was not there to be withdrawn
    withdrawn: Withdrawn | None


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """A study and all that belongs to it."""

    study: StudyRow
    instances: tuple[InstanceView, ...]
    deliveries: tuple[DeliveryView, ...]


@dataclass(frozen=True, kw_only=True)
class DestinationView:
    """What waits for one destination, and how it has been of late; more than MOST_COUNTED is MOST_COUNTED + 1."""

    destination: str
    #: pending, or being sent at this moment
    pending: int
    held: int
    failed: int
    #: stored there, and not committed to, though it is asked for that
    uncommitted: int
    #: when the first of those was stored; None: there are none
    uncommitted_since: float | None
    #: when the delivery that has waited longest was decided on; None: nothing is pending
    oldest: float | None
    #: when it last took a result; None: never
    last_success: float | None
    #: of the pending delivery that was tried last; empty: nothing failed
    last_error: str


@dataclass(frozen=True, kw_only=True)
class Queues:
    """How much is under way; what is more than MOST_COUNTED is MOST_COUNTED + 1."""

    open_studies: int
    complete_studies: int
    queued_jobs: int
    #: of these, those with a priority above routine
    urgent_jobs: int
    running_jobs: int
    #: those of quarantined instances left out
    failed_jobs: int
    quarantined_instances: int
    #: kept, since a peer was told so, until an archive has committed to them
    pledged_instances: int
    #: peers that wait to be told whether the node keeps what they asked about
    owed_reports: int
    #: when the first of them asked; None: none is owed
    owed_since: float | None


def studies(
    tx: Connection, *, accession: str | None = None, study_uid: str | None = None, limit: int = 20
) -> list[StudyView]:
    """The studies that arrived last, at most `limit`, by accession number or Study Instance UID if given."""
    query = select(study).order_by(study.c.last_arrival.desc(), study.c.id.desc()).limit(limit)
    if accession:
        # the second condition is the partial index's
        query = query.where(study.c.accession_number == accession, study.c.accession_number != literal_column("''"))
    if study_uid:
        query = query.where(study.c.study_instance_uid == study_uid)
    found = [study_row(row) for row in tx.execute(query).mappings()]
    ids = [row.study_id for row in found]
    of_instance = _instances(tx, ids)
    of_study = _deliveries(tx, ids)
    return [
        StudyView(
            study=row,
            instances=tuple(of_instance[row.study_id]),
            deliveries=tuple(of_study[row.study_id]),
        )
        for row in found
    ]


def destinations(tx: Connection, names: Iterable[str] = ()) -> list[DestinationView]:
    """Every destination of the configuration (`names`) and every other that something still waits for."""
    unfinished = (DeliveryState.PENDING, DeliveryState.HELD, DeliveryState.UNCOMMITTED, DeliveryState.FAILED)
    known = set(names)
    for state in unfinished:
        known.update(_distinct(tx, in_state(delivery.c.state, state)))
    return [_destination(tx, name) for name in sorted(known)]


def quarantined(tx: Connection) -> list[InstanceRow]:
    """Instances that a person must decide about, the oldest first."""
    rows = tx.execute(
        instances.SELECT.where(in_state(instance.c.state, InstanceState.QUARANTINED)).order_by(instance.c.id)
    )
    return [instance_row(row) for row in rows.mappings()]


def queues(tx: Connection) -> Queues:
    """Counts of what is under way; what has ended costs nothing here."""
    owed = pledges.owed(tx)
    return Queues(
        open_studies=_count(tx, study.c.id, in_state(study.c.state, StudyState.OPEN)),
        complete_studies=_count(tx, study.c.id, in_state(study.c.state, StudyState.COMPLETE)),
        queued_jobs=_count(tx, job.c.id, _QUEUED),
        urgent_jobs=_count(tx, job.c.id, _QUEUED, job.c.priority > literal_column("0")),
        running_jobs=_count(tx, job.c.id, in_state(job.c.state, JobState.RUNNING)),
        failed_jobs=len(jobs.failed(tx, limit=MOST_COUNTED + 1)),
        quarantined_instances=_count(tx, instance.c.id, in_state(instance.c.state, InstanceState.QUARANTINED)),
        pledged_instances=pledges.count(tx, most=MOST_COUNTED + 1),
        owed_reports=len(owed),
        owed_since=min((each.created_at for each in owed), default=None),
    )


_QUEUED = in_state(job.c.state, JobState.QUEUED)


def _count(tx: Connection, key: Column[int], *which: ColumnElement[bool]) -> int:
    some = select(key).where(*which).limit(MOST_COUNTED + 1).subquery()
    return tx.execute(select(func.count()).select_from(some)).scalar_one()


def _distinct(tx: Connection, which: ColumnElement[bool]) -> Iterator[str]:
    """The destinations of these, one look at the index each: neither database skips from value to value by itself."""
    smallest = select(func.min(delivery.c.destination)).where(which)
    found: str | None = tx.execute(smallest).scalar()
    while found is not None:
        yield found
        found = tx.execute(smallest.where(delivery.c.destination > found)).scalar()


def _instances(tx: Connection, study_ids: Sequence[int]) -> dict[int, list[InstanceView]]:
    made: dict[int, list[JobView]] = defaultdict(list)
    found = select(func.count()).where(finding.c.job_id == job.c.id).scalar_subquery().label("findings")
    for row in tx.execute(select(job, found).where(job.c.study_id.in_(study_ids)).order_by(job.c.id)).mappings():
        made[row["instance_id"]].append(JobView(job=job_row(row), findings=row["findings"]))
    views: dict[int, list[InstanceView]] = defaultdict(list)
    for row in tx.execute(
        instances.SELECT.where(instance.c.study_id.in_(study_ids)).order_by(instance.c.id)
    ).mappings():
        shown = instance_row(row)
        views[shown.study_id].append(InstanceView(instance=shown, jobs=tuple(made[shown.instance_id])))
    return views


def _deliveries(tx: Connection, study_ids: Sequence[int]) -> dict[int, list[DeliveryView]]:
    views: dict[int, list[DeliveryView]] = defaultdict(list)
    rows = tx.execute(
        select(
            delivery,
            result.c.kind,
            result.c.profile,
            result.c.sop_instance_uid,
            result.c.is_current,
            result.c.recall_title,
        )
        .join(result, result.c.id == delivery.c.result_id)
        .where(delivery.c.study_id.in_(study_ids))
        .order_by(delivery.c.id)
    )
    withdrawn = {(one.sop_instance_uid, one.destination): one for one in withdrawals.find(tx, study_ids=study_ids)}
    for row in rows.mappings():
        views[row["study_id"]].append(_delivery(row, withdrawn.get((row["sop_instance_uid"], row["destination"]))))
    return views


def _delivery(row: RowMapping, withdrawn: Withdrawn | None) -> DeliveryView:
    return DeliveryView(
        delivery_id=row["id"],
        destination=row["destination"],
        kind=Kind(row["kind"]),
        profile=Profile(row["profile"]),
        sop_instance_uid=row["sop_instance_uid"],
        state=DeliveryState(row["state"]),
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        attempts=row["attempts"],
        not_before=row["not_before"],
        last_error=row["last_error"],
        commitment_attempts=row["commitment_attempts"],
        is_current=row["is_current"],
        recalled=bool(row["recall_title"]),
        withdrawn=withdrawn,
    )


def _destination(tx: Connection, name: str) -> DestinationView:
    here = delivery.c.destination == name
    pending = in_state(delivery.c.state, DeliveryState.PENDING)
    oldest = tx.execute(select(func.min(delivery.c.created_at)).where(pending, here)).scalar()
    # one query a state: each has its own partial index
    successes = [
        tx.execute(select(func.max(delivery.c.ended_at)).where(in_state(delivery.c.state, state), here)).scalar()
        for state in ARRIVED
    ]
    uncommitted = in_state(delivery.c.state, DeliveryState.UNCOMMITTED)
    waiting = select(delivery.c.ended_at).where(uncommitted, here).limit(MOST_COUNTED).subquery()
    latest = (
        select(delivery.c.last_error)
        .where(pending, here)
        .order_by(delivery.c.not_before.desc(), delivery.c.id.desc())
        .limit(_LATEST)
    )
    last_error = next(filter(None, tx.execute(latest).scalars()), "")
    return DestinationView(
        destination=name,
        pending=_count(tx, delivery.c.id, pending, here)
        + _count(tx, delivery.c.id, in_state(delivery.c.state, DeliveryState.SENDING), here),
        held=_count(tx, delivery.c.id, in_state(delivery.c.state, DeliveryState.HELD), here),
        failed=_count(tx, delivery.c.id, in_state(delivery.c.state, DeliveryState.FAILED), here),
        uncommitted=_count(tx, delivery.c.id, uncommitted, here),
        uncommitted_since=tx.execute(select(func.min(waiting.c.ended_at))).scalar(),
        oldest=oldest,
        last_success=max((when for when in successes if when is not None), default=None),
        last_error=last_error,
    )
