"""Studies: open while images arrive, complete once quiet, concluded with a report, open again for news."""

import json
from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from dicom_node.domain import JOB_ENDED, Head, JobState, ResultState, StudyState
from dicom_node.ledger.bell import Channel, request
from dicom_node.ledger.deliveries import NewDelivery as NewDelivery
from dicom_node.ledger.deliveries import queue_deliveries
from dicom_node.ledger.identity import first_known, identity_of
from dicom_node.ledger.move import move
from dicom_node.ledger.rows import StudyRow, insert_new, study_row
from dicom_node.ledger.schema import in_state, instance, job, report, report_job, result, study

# what each arrival asks: made once, for a statement costs more to build than to run
_BY_UID = select(study).where(study.c.study_instance_uid == bindparam("uid")).with_for_update(key_share=True)
_ARRIVED = (
    update(study)
    .where(study.c.id == bindparam("study"))
    .values(last_arrival=bindparam("latest"), priority=bindparam("highest"))
)


def get(tx: Connection, study_id: int) -> StudyRow:
    """One study. Raises KeyError."""
    row = tx.execute(select(study).where(study.c.id == study_id)).mappings().first()
    if row is None:
        raise KeyError(f"there is no study {study_id}")
    return study_row(row)


def open_for(tx: Connection, head: Head, *, priority: int, now: float) -> tuple[StudyRow, str]:
    """The study of an arriving instance, made if need be, locked until `tx` ends; and its identity key."""
    found = _by_uid(tx, head.study_instance_uid)
    if found is None:
        values = {
            "study_instance_uid": head.study_instance_uid,
            "state": StudyState.OPEN.value,
            "priority": priority,
            "first_arrival": now,
            "last_arrival": now,
        }
        insert_new(tx, study, values, unless=("study_instance_uid",))
        request(tx, Channel.STUDIES)
        found = _by_uid(tx, head.study_instance_uid)
        assert found is not None  # ours, or of another association that was quicker
    return study_row(found), found["identity_key"] or first_known(tx, found["id"], identity_of(head))


def _by_uid(tx: Connection, study_instance_uid: str) -> RowMapping | None:
    return tx.execute(_BY_UID, {"uid": study_instance_uid}).mappings().first()


def lock(tx: Connection, study_id: int, *, sop_instance_uid: str | None = None) -> StudyRow:
    """The study, locked until `tx` ends, so that a late job and a conclusion cannot miss each other.

    `sop_instance_uid`: and every other study that holds a version of this image, for results may move.
    """
    wanted = {study_id}
    if sop_instance_uid is not None:
        # a statement of its own: with an OR over both PostgreSQL looks at every study there is
        holders = select(instance.c.study_id).where(instance.c.sop_instance_uid == sop_instance_uid)
        wanted.update(tx.execute(holders).scalars())
    # in the order of their ids, lest two transactions wait for each other; NO KEY UPDATE, so that rows that
    # only refer to the study (events, jobs) may still be inserted by others
    query = select(study).where(study.c.id.in_(sorted(wanted))).order_by(study.c.id).with_for_update(key_share=True)
    rows = tx.execute(query).mappings()
    return next(study_row(row) for row in rows.all() if row["id"] == study_id)


def arrived(tx: Connection, row: StudyRow, *, priority: int, now: float) -> None:
    """Something new came for a study that was not concluded: it waits for quiet again, and has this priority now."""
    if row.state is StudyState.COMPLETE:
        _move(tx, row, StudyState.OPEN, now=now, reason="an instance arrived", completed_at=None)
    tx.execute(_ARRIVED, {"study": row.study_id, "latest": max(row.last_arrival, now), "highest": priority})
    request(tx, Channel.STUDIES)


def reopen(tx: Connection, row: StudyRow, *, now: float, reason: str) -> bool:
    """A concluded study has news: open it with the next revision. Any other study needs no reopening."""
    if row.state is not StudyState.CONCLUDED:
        return False
    return _move(
        tx,
        row,
        StudyState.OPEN,
        now=now,
        reason=reason,
        revision=row.revision + 1,
        completed_at=None,
        concluded_at=None,
    )


def quiet(tx: Connection, *, now: float, quiet_period: float) -> list[StudyRow]:
    """Open studies for which nothing has arrived for `quiet_period` seconds, the longest quiet first."""
    rows = tx.execute(
        select(study)
        .where(in_state(study.c.state, StudyState.OPEN), study.c.last_arrival <= now - quiet_period)
        .order_by(study.c.last_arrival)
    )
    return [study_row(row) for row in rows.mappings()]


def complete(tx: Connection, row: StudyRow, *, now: float) -> bool:
    """OPEN → COMPLETE, unless something arrived since `row` was read."""
    return _move(
        tx,
        row,
        StudyState.COMPLETE,
        now=now,
        reason="quiet",
        where=(study.c.last_arrival == row.last_arrival,),
        completed_at=now,
    )


def ready(tx: Connection, *, now: float, conclude_after: float) -> list[StudyRow]:
    """Complete studies whose jobs have all ended, or that have been complete for `conclude_after` seconds."""
    rows = tx.execute(
        select(study)
        .where(
            in_state(study.c.state, StudyState.COMPLETE),
            or_(study.c.completed_at <= now - conclude_after, ~_waits(study.c.id)),
        )
        .order_by(study.c.completed_at)
    )
    return [study_row(row) for row in rows.mappings()]


def next_due(tx: Connection, *, quiet_period: float, conclude_after: float) -> float | None:
    """When quiet() or ready() may next have something that no bell rings for; None: nothing is under way."""
    quiet_at = tx.execute(
        select(func.min(study.c.last_arrival)).where(in_state(study.c.state, StudyState.OPEN))
    ).scalar()
    conclude_at = tx.execute(
        select(func.min(study.c.completed_at)).where(in_state(study.c.state, StudyState.COMPLETE))
    ).scalar()
    due = [
        start + wait for start, wait in ((quiet_at, quiet_period), (conclude_at, conclude_after)) if start is not None
    ]
    return min(due, default=None)


def unfinished(tx: Connection, study_id: int) -> list[str]:
    """SOP Instance UIDs of the study's images without an ended job, sorted: what a conclusion would lack."""
    undecided = and_(job.c.instance_id == instance.c.id, in_state(job.c.state, JobState.QUEUED, JobState.RUNNING))
    rows = tx.execute(
        select(instance.c.sop_instance_uid)
        .distinct()
        .where(
            instance.c.study_id == study_id,
            or_(
                exists().where(undecided, job.c.study_id == study_id),
                instance.c.without_job == true(),
            ),
        )
    )
    return sorted(rows.scalars())


def calling_ae_titles(tx: Connection, study_id: int) -> list[str]:
    """Who sent the study's current instances, sorted; its results are routed by them."""
    rows = tx.execute(
        select(instance.c.calling_ae_title)
        .distinct()
        .where(instance.c.study_id == study_id, instance.c.is_current == true())
    )
    return sorted(rows.scalars())


def conclude(
    tx: Connection,
    row: StudyRow,
    *,
    revision: int,
    now: float,
    deliveries: Sequence[NewDelivery],
    missing: Sequence[str],
) -> bool:
    """COMPLETE → CONCLUDED with its report row and all its deliveries, if nothing has changed meanwhile.

    False, with nothing written, when the study has left COMPLETE, has another revision than `revision`, lacks
    other images than `missing` (unfinished()) says, or a result was superseded meanwhile: then look again.
    A result that a destination has or awaits already is not sent to it again (law 11).
    """
    locked = lock(tx, row.study_id)
    if sorted(set(missing)) != unfinished(tx, row.study_id) or not _all_current(tx, deliveries):
        return False
    if not _move(
        tx,
        locked,
        StudyState.CONCLUDED,
        now=now,
        reason="partial" if missing else "",
        expect=StudyState.COMPLETE,
        where=(study.c.revision == revision,),
        concluded_at=now,
    ):
        return False
    values = {"study_id": row.study_id, "revision": revision, "concluded_at": now}
    report_id = tx.execute(
        insert(report).values(**values, missing=json.dumps(sorted(set(missing)))).returning(report.c.id)
    ).scalar_one()
    ended = (
        select(job.c.id)
        .join(instance, instance.c.id == job.c.instance_id)
        .where(
            job.c.study_id == row.study_id,
            instance.c.is_current == true(),
            job.c.state.in_([state.value for state in JOB_ENDED]),
        )
    )
    for job_id in tx.execute(ended.order_by(job.c.id)).scalars().all():
        tx.execute(insert(report_job).values(report_id=report_id, job_id=job_id))
    queue_deliveries(tx, deliveries, study_id=row.study_id, now=now)
    return True


def _all_current(tx: Connection, wanted: Sequence[NewDelivery]) -> bool:
    ids = {new.result_id for new in wanted}
    standing = tx.execute(
        select(func.count()).where(
            result.c.id.in_(ids),
            result.c.is_current == true(),
            in_state(result.c.state, ResultState.KEPT),
        )
    ).scalar_one()
    return standing == len(ids)


def _waits(study_id: ColumnElement[int]) -> ColumnElement[bool]:
    """A job of the study has not ended, or one of its images has no job at all yet."""
    return or_(
        exists().where(job.c.study_id == study_id, in_state(job.c.state, JobState.QUEUED, JobState.RUNNING)),
        exists().where(instance.c.study_id == study_id, instance.c.without_job == true()),
    )


def _move(
    tx: Connection,
    row: StudyRow,
    to: StudyState,
    *,
    now: float,
    reason: str,
    expect: StudyState | None = None,
    where: Sequence[ColumnElement[bool]] = (),
    **columns: object,
) -> bool:
    return move(
        tx,
        StudyState,
        row.study_id,
        to,
        expect=expect or row.state,
        now=now,
        study_id=row.study_id,
        reason=reason,
        where=where,
        **columns,
    )
