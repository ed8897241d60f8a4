"""What retention may delete: studies for which everything has ended, whole, down to their tombstones."""

from sqlalchemy import ColumnElement, Connection, and_, exists, func, literal_column, not_, select, true, tuple_

from dicom_node.domain import InstanceState, JobState, ResultState, StudyState
from dicom_node.ledger import deliveries, headers, identity, instances, results, studies, withdrawals
from dicom_node.ledger.schema import delivery, in_state, instance, job, result, study, withdrawal


def due(tx: Connection, *, ended_before: float, limit: int, after: int | None = None) -> list[int]:
    """Ids of studies that have been over since `ended_before` (seconds since the epoch), the first concluded first.

    `after`: goes on behind that study, so that what is not over is looked at once, however much is. Over: concluded,
    each delivery stored (and committed, where that was asked) or abandoned (a refused one still waits
    for a person), no job to come, no instance in quarantine or pledged to a peer, no rejection note to be written.
    Purged already: left out.
    """
    query = select(study.c.id).where(_over(ended_before)).order_by(study.c.concluded_at, study.c.id).limit(limit)
    if after is not None:
        concluded_at = tx.execute(select(study.c.concluded_at).where(study.c.id == after)).scalar_one()
        query = query.where(tuple_(study.c.concluded_at, study.c.id) > tuple_(concluded_at, after))
    return list(tx.execute(query).scalars())


def purge(tx: Connection, study_id: int, *, ended_before: float, now: float) -> list[str] | None:
    """Purge a study's instances, headers and results and forget whose it was; the spool keys of what may be removed.

    The caller removes those objects once this is committed: after a crash in between they are orphans, and swept.
    None, with nothing changed, where the study is no longer `due`.
    """
    studies.lock(tx, study_id)
    if tx.execute(select(study.c.id).where(study.c.id == study_id, _over(ended_before))).first() is None:
        return None
    here = select(instance.c.id).where(instance.c.study_id == study_id, instance.c.state != InstanceState.PURGED.value)
    made = select(result.c.id).where(result.c.study_id == study_id, in_state(result.c.state, ResultState.KEPT))
    keys = [instances.purge(tx, key, now=now) for key in tx.execute(here).scalars().all()]
    keys += [results.purge(tx, key, now=now) for key in tx.execute(made).scalars().all()]
    keys += headers.purge(tx, study_id)
    identity.forget(tx, study_id)
    return [key for key in keys if key is not None]


def _over(ended_before: float) -> ColumnElement[bool]:
    return and_(
        study.c.identity_key != literal_column("''"),
        in_state(study.c.state, StudyState.CONCLUDED),
        study.c.concluded_at <= ended_before,
        _ended_at() <= ended_before,
        not_(exists().where(delivery.c.study_id == study.c.id, in_state(delivery.c.state, *deliveries.UNDER_WAY))),
        not_(exists().where(withdrawal.c.study_id == study.c.id, withdrawals.UNNOTED)),
        not_(exists().where(job.c.study_id == study.c.id, in_state(job.c.state, JobState.QUEUED, JobState.RUNNING))),
        not_(exists().where(instance.c.study_id == study.c.id, in_state(instance.c.state, InstanceState.QUARANTINED))),
        not_(exists().where(instance.c.study_id == study.c.id, instance.c.pledged == true())),
    )


def _ended_at() -> ColumnElement[float]:
    """When the last delivery of the study ended; of one without deliveries, when it was concluded."""
    last = select(func.max(delivery.c.ended_at)).where(delivery.c.study_id == study.c.id).scalar_subquery()
    return func.coalesce(last, study.c.concluded_at)
