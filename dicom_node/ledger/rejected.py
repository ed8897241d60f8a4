"""Which source images were rejected, and what that does to their jobs."""

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, bindparam, insert, select

from dicom_node.domain import JobState, Reason, RejectionTitle
from dicom_node.ledger.move import move
from dicom_node.ledger.schema import instance, job, rejected

#: values that one query names: SQLite takes some ten thousand
_BATCH = 1000
#: what a title says of an image, for people
SAID = {
    RejectionTitle.QUALITY: "for quality reasons",
    RejectionTitle.PATIENT_SAFETY: "for patient safety reasons",
    RejectionTitle.WORKLIST: "taken under a wrong worklist entry",
    RejectionTitle.RETENTION: "its retention has expired",
}
#: a job in one of these is ended by the rejection of its image; what is declined or unreadable has ended for good
_CANCELLED = (JobState.QUEUED, JobState.RUNNING, JobState.DONE, JobState.FAILED)
#: asked at each arrival, and made once
_TITLE = (
    select(rejected.c.title)
    .join(instance, instance.c.sop_instance_uid == rejected.c.sop_instance_uid)
    .where(instance.c.id == bindparam("instance"))
)


def remember(
    tx: Connection, sop_instance_uids: Collection[str], *, title: RejectionTitle, note: str, now: float
) -> list[str]:
    """Note that these images were rejected, whether or not they ever come; those that were not known, sorted.

    Nobody else may enter a note at the same time: see locks.nobody_records.
    """
    fresh = sorted(set(sop_instance_uids) - known(tx, sop_instance_uids))
    if fresh:
        values = {"title": title.value, "note": note, "at": now}
        tx.execute(insert(rejected), [{"sop_instance_uid": uid, **values} for uid in fresh])
    return fresh


def known(tx: Connection, sop_instance_uids: Collection[str]) -> set[str]:
    """Which of these images were rejected."""
    found: set[str] = set()
    for some in batches(sop_instance_uids):
        asked = select(rejected.c.sop_instance_uid).where(rejected.c.sop_instance_uid.in_(some))
        found.update(tx.execute(asked).scalars())
    return found


def batches(values: Collection[str]) -> Iterator[list[str]]:
    """As many at a time as one query may name."""
    ordered = sorted(set(values))
    for start in range(0, len(ordered), _BATCH):
        yield ordered[start : start + _BATCH]


def decline(tx: Connection, instance_id: int, *, now: float) -> bool:
    """End the new jobs of an image that was rejected before it came. False: it was not."""
    title = tx.execute(_TITLE, {"instance": instance_id}).scalar()
    if title is None:
        return False
    cancel(tx, instance_id, title=RejectionTitle(title), now=now)
    return True


def cancel(tx: Connection, instance_id: int, *, title: RejectionTitle, now: float) -> int:
    """The jobs of a rejected image end as DECLINED, whatever is done with them, or was; how many.

    A worker that holds one loses the race; what a done one found stays in the ledger.
    """
    theirs = select(job.c.id, job.c.state, job.c.study_id).where(
        job.c.instance_id == instance_id, job.c.state.in_([state.value for state in _CANCELLED])
    )
    return sum(
        move(
            tx,
            JobState,
            key,
            JobState.DECLINED,
            expect=JobState(state),
            now=now,
            study_id=study_id,
            reason=Reason.REJECTED.value,
            reason_code=Reason.REJECTED.value,
            detail=SAID[title],
            lease_until=None,
            ended_at=now,
        )
        for key, state, study_id in tx.execute(theirs.order_by(job.c.id)).all()
    )
