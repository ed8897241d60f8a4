"""Recalling results: they leave the current set, what was not sent never is, and what was is to be withdrawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select, update

from dicom_node.domain import ARRIVED, DeliveryState, Kind, Profile, RejectionTitle, ResultState
from dicom_node.ledger import holding, withdrawals
from dicom_node.ledger.schema import delivery, in_state, instance, job, report_job, result, study

#: results that one query names: SQLite takes some thousands of values in one
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Recallable:
    """A result of ours, and what is known of it at one destination; without a delivery it went nowhere."""

    result_id: int
    study_id: int
    study_instance_uid: str
    accession_number: str
    kind: Kind
    profile: Profile
    sop_instance_uid: str
    #: the spool holds it, or another result of its study: a rejection note reads there whose they are
    told: bool
    destination: str
    state: DeliveryState | None
    #: of the delivery
    attempts: int
    #: it was recalled before
    recalled: bool


def find(
    tx: Connection,
    *,
    study_ids: Sequence[int] | None = None,
    model_digest: str | None = None,
    profile: Profile | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[Recallable]:
    """Results that meet all that is given, rejection notes left out, one row a destination; the oldest first.

    `model_digest`: made with a model whose digest begins so, as an image's result or in a study's report.
    `since`, `until`: when the result was made, seconds since the epoch.
    """
    other = result.alias("other")
    kept = select(other.c.id).where(other.c.study_id == result.c.study_id, in_state(other.c.state, ResultState.KEPT))
    query = (
        select(
            result.c.id,
            result.c.study_id,
            result.c.kind,
            result.c.profile,
            result.c.sop_instance_uid,
            kept.exists().label("told"),
            result.c.recall_title,
            study.c.study_instance_uid,
            study.c.accession_number,
            delivery.c.destination,
            delivery.c.state,
            delivery.c.attempts,
        )
        .join(study, study.c.id == result.c.study_id)
        .outerjoin(delivery, delivery.c.result_id == result.c.id)
        .where(result.c.kind != Kind.KOS.value)
        .order_by(result.c.id, delivery.c.id)
    )
    if study_ids is not None:
        query = query.where(result.c.study_id.in_(study_ids))
    if model_digest is not None:
        query = query.where(_made_with(model_digest))
    if profile is not None:
        query = query.where(result.c.profile == profile.value)
    if since is not None:
        query = query.where(result.c.created_at >= since)
    if until is not None:
        query = query.where(result.c.created_at < until)
    return [
        Recallable(
            result_id=row["id"],
            kind=Kind(row["kind"]),
            profile=Profile(row["profile"]),
            told=bool(row["told"]),
            destination=row["destination"] or "",
            state=None if row["state"] is None else DeliveryState(row["state"]),
            attempts=row["attempts"] or 0,
            recalled=bool(row["recall_title"]),
            **{name: row[name] for name in ("study_id", "study_instance_uid", "accession_number", "sop_instance_uid")},
        )
        for row in tx.execute(query).mappings()
    ]


def of_images(tx: Connection, sop_instance_uids: Sequence[str]) -> list[int]:
    """Ids of the results that say something of these images, whichever version of them, and are not recalled yet.

    Their own, and the reports of their study that tell of one of them.
    """
    of_job = (
        select(result.c.id)
        .join(job, job.c.id == result.c.job_id)
        .join(instance, instance.c.id == job.c.instance_id)
        .where(instance.c.sop_instance_uid.in_(sop_instance_uids), result.c.recall_title == "")
    )
    of_report = (
        select(result.c.id)
        .join(report_job, report_job.c.report_id == result.c.report_id)
        .join(job, job.c.id == report_job.c.job_id)
        .join(instance, instance.c.id == job.c.instance_id)
        .where(instance.c.sop_instance_uid.in_(sop_instance_uids), result.c.recall_title == "")
    )
    return sorted(set(tx.execute(of_job).scalars()) | set(tx.execute(of_report).scalars()))


def mark(tx: Connection, result_ids: Iterable[int], *, title: RejectionTitle, now: float) -> int:
    """Recall these results; how many were not recalled before.

    What waits to be sent is abandoned. What a destination stored, or may have stored when it did not answer, gets a
    withdrawal, for which the conclude role writes a rejection note; so does what is being sent, once it has arrived.
    """
    ids = list(result_ids)
    return sum(_mark(tx, ids[start : start + _BATCH], title, now) for start in range(0, len(ids), _BATCH))


def _mark(tx: Connection, ids: Sequence[int], title: RejectionTitle, now: float) -> int:
    fresh = update(result).where(result.c.id.in_(ids), result.c.recall_title == "")
    marked = tx.execute(fresh.values(is_current=False, recall_title=title.value, recalled_at=now)).rowcount
    perhaps = and_(in_state(delivery.c.state, DeliveryState.PENDING), delivery.c.attempts > 0)
    there = select(delivery.c.id, delivery.c.study_id).where(
        delivery.c.result_id.in_(ids), or_(in_state(delivery.c.state, *ARRIVED), perhaps)
    )
    for key, study_id in tx.execute(there.order_by(delivery.c.id)).all():
        withdrawals.enter(tx, key, study_id=study_id, title=title, now=now)
    waiting = select(delivery.c.id).where(
        delivery.c.result_id.in_(ids), delivery.c.state.in_([state.value for state in holding.ABANDONABLE])
    )
    holding.abandon(tx, ids=list(tx.execute(waiting).scalars()), now=now, reason="recalled")
    return marked


def _made_with(model_digest: str) -> ColumnElement[bool]:
    of_job = exists().where(job.c.id == result.c.job_id, job.c.model.startswith(model_digest, autoescape=True))
    of_report = exists().where(
        report_job.c.report_id == result.c.report_id,
        job.c.id == report_job.c.job_id,
        job.c.model.startswith(model_digest, autoescape=True),
    )
    return or_(of_job, of_report)
