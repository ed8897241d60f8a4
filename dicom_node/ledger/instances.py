"""Versions of received SOP instances; at any time one of them is what a SOP Instance UID stands for."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, bindparam, insert, select, true, update

from dicom_node.domain import Arrival, InstanceState, JobState, Reason, StudyState
from dicom_node.ledger import models, results, studies
from dicom_node.ledger.identity import identity_of, keyed
from dicom_node.ledger.locks import one_at_a_time
from dicom_node.ledger.move import move
from dicom_node.ledger.rank import KEY_OBJECT_SELECTION, LEVEL, raise_study, rank_of
from dicom_node.ledger.rows import InstanceRow, instance_row
from dicom_node.ledger.schema import in_state, instance, job, study

# what each arrival asks: made once, for a statement costs more to build than to run
_KNOWN = (
    select(instance.c.id, instance.c.study_id, instance.c.digest, instance.c.spool_key, instance.c.state)
    .where(instance.c.sop_instance_uid == bindparam("uid"))
    .order_by(instance.c.id)
)
_INSERT = insert(instance).returning(instance.c.id)


class Outcome(StrEnum):
    """What an arrival was."""

    NEW = "new"
    DUPLICATE = "duplicate"
    NEW_VERSION = "new_version"


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What became of an arrival."""

    outcome: Outcome
    #: of a DUPLICATE: those of the row that was there
    instance_id: int
    study_id: int
    #: of a DUPLICATE: the key that its bytes should lie under; empty for any other, and once it is purged
    spool_key: str = ""


def record(tx: Connection, arrival: Arrival, *, parameters: str, now: float, level: float = LEVEL) -> Recorded:
    """Enter an arrival whose bytes are durable, with one queued job for each active model.

    A study that is under way has the highest priority of its images, and so has each of their jobs: an image that is
    more urgent than those before it raises them, one that is less urgent is raised. `level`: see rank_of().

    NEW: its SOP Instance UID was unknown. The study is opened or made; a concluded one gets its next revision, unless
    what came is a Key Object Selection: that may be a rejection note, and is looked at before all else.
    An image that a rejection note named before it came is not analysed: its job is DECLINED.
    DUPLICATE: these very bytes are known, be it as the current version, as an earlier one, as a quarantined or
    a purged one. Nothing else changes, and the caller removes its copy from the spool.
    NEW_VERSION: other bytes under a known UID. The row is not current, and its job waits for analyse to judge
    it (`versions`). An open or complete study waits for that; a concluded one stays so until then, for a
    repeat with the same picture and identity is no news. Where the study's UID changed too, the row belongs to
    the *new* study from the start, which is opened like any other; see versions.judge for what happens then.
    """
    one_at_a_time(tx, arrival.head.sop_instance_uid)
    known = tx.execute(_KNOWN, {"uid": arrival.head.sop_instance_uid}).all()
    for key, study_id, digest, spool_key, state in known:
        if digest == arrival.digest:
            kept = spool_key if state != InstanceState.PURGED.value else ""
            return Recorded(outcome=Outcome.DUPLICATE, instance_id=key, study_id=study_id, spool_key=kept)
    of, identity_key = studies.open_for(tx, arrival.head, priority=arrival.priority, now=now)
    priority = arrival.priority
    if of.state is not StudyState.CONCLUDED:
        priority = max(of.priority, priority)
        if priority > of.priority:
            raise_study(tx, of.study_id, priority=priority, level=level)
    values = {
        "study_id": of.study_id,
        "sop_instance_uid": arrival.head.sop_instance_uid,
        "sop_class_uid": arrival.head.sop_class_uid,
        "digest": arrival.digest,
        "transfer_syntax_uid": arrival.transfer_syntax_uid,
        "size": arrival.size,
        "calling_ae_title": arrival.calling_ae_title,
        "spool_key": arrival.spool_key,
        "received_at": arrival.received_at,
        "state": InstanceState.RECEIVED.value,
        "is_current": not known,
        "without_job": False,
        "identity": keyed(identity_of(arrival.head), identity_key),
    }
    instance_id: int = tx.execute(_INSERT, values).scalar_one()
    is_note = arrival.head.sop_class_uid == KEY_OBJECT_SELECTION
    made = models.queue_jobs(
        tx,
        instance_id=instance_id,
        study_id=of.study_id,
        priority=priority,
        rank=rank_of(arrival.head.sop_class_uid, arrived=now, priority=priority, level=level),
        parameters=parameters,
        now=now,
    )
    if not made:
        tx.execute(update(instance).where(instance.c.id == instance_id).values(without_job=True))
    # a note is no news by itself: what it does to the study's images is
    if not (known or is_note) and studies.reopen(tx, of, now=now, reason="a new instance arrived"):
        of = studies.get(tx, of.study_id)
    studies.arrived(tx, of, priority=priority, now=now)
    outcome = Outcome.NEW_VERSION if known else Outcome.NEW
    return Recorded(outcome=outcome, instance_id=instance_id, study_id=of.study_id)


def get(tx: Connection, instance_id: int) -> InstanceRow:
    """One instance. Raises KeyError."""
    found = _first(tx, instance.c.id == instance_id)
    if found is None:
        raise KeyError(f"there is no instance {instance_id}")
    return found


def current(tx: Connection, sop_instance_uid: str) -> InstanceRow | None:
    """The version that a SOP Instance UID stands for today."""
    return _first(tx, instance.c.sop_instance_uid == sop_instance_uid, instance.c.is_current == true())


def of_study(tx: Connection, study_id: int) -> list[InstanceRow]:
    """The study's current instances, in the order of their arrival."""
    rows = tx.execute(
        SELECT.where(instance.c.study_id == study_id, instance.c.is_current == true()).order_by(instance.c.id)
    )
    return [instance_row(row) for row in rows.mappings()]


def set_picture(tx: Connection, instance_id: int, picture_digest: str) -> None:
    """Note the digest of the decoded pixels and display attributes; call it before the job is finished."""
    tx.execute(update(instance).where(instance.c.id == instance_id).values(picture_digest=picture_digest))


def retryable() -> ColumnElement[bool]:
    """An instance that an analysis is still of use for: not quarantined, not purged, not replaced by a newer one."""
    newer = instance.alias("newer")
    replaced = select(newer.c.id).where(
        newer.c.sop_instance_uid == instance.c.sop_instance_uid,
        newer.c.is_current == true(),
        newer.c.id > instance.c.id,
    )
    return and_(instance.c.state == InstanceState.RECEIVED.value, ~replaced.exists())


def make_current(tx: Connection, row: InstanceRow) -> None:
    """From now on its SOP Instance UID stands for this version."""
    tx.execute(
        update(instance)
        .where(instance.c.sop_instance_uid == row.sop_instance_uid, instance.c.is_current == true())
        .values(is_current=False)
    )
    tx.execute(update(instance).where(instance.c.id == row.instance_id).values(is_current=True))


def quarantine(tx: Connection, instance_id: int, reason: Reason, now: float) -> bool:
    """RECEIVED → QUARANTINED: kept, not used, until a person accepts it. False: it is not RECEIVED.

    The worker that holds its job calls versions.quarantine, which does both.
    """
    row = get(tx, instance_id)
    return move(
        tx,
        InstanceState,
        instance_id,
        InstanceState.QUARANTINED,
        expect=InstanceState.RECEIVED,
        now=now,
        study_id=row.study_id,
        reason=reason.value,
        reason_code=reason.value,
        where=(instance.c.is_current != true(),),
    )


def accept(tx: Connection, instance_id: int, now: float) -> bool:
    """A person says that a quarantined version is the right one: it becomes current and is analysed.

    The results of the version before it leave the current set at once, and what of them had not been sent is
    abandoned: they show another picture. A concluded study opens with its next revision. False: it is not
    quarantined.
    """
    row = get(tx, instance_id)
    of = studies.lock(tx, row.study_id, sop_instance_uid=row.sop_instance_uid)
    if not move(
        tx,
        InstanceState,
        instance_id,
        InstanceState.RECEIVED,
        expect=InstanceState.QUARANTINED,
        now=now,
        study_id=row.study_id,
        reason="accepted",
        reason_code="",
    ):
        return False
    results.retire(tx, row.sop_instance_uid, now=now)
    make_current(tx, row)
    waiting = select(job.c.id).where(job.c.instance_id == instance_id, job.c.state == JobState.FAILED.value)
    for job_id in tx.execute(waiting).scalars().all():
        move(
            tx,
            JobState,
            job_id,
            JobState.QUEUED,
            expect=JobState.FAILED,
            now=now,
            study_id=row.study_id,
            reason="accepted",
            attempts=0,
            not_before=now,
            ended_at=None,
        )
    if studies.reopen(tx, of, now=now, reason="a quarantined instance was accepted"):
        of = studies.get(tx, row.study_id)
    studies.arrived(tx, of, priority=of.priority, now=now)
    return True


def purge(tx: Connection, instance_id: int, *, now: float) -> str | None:
    """→ PURGED; the spool key, whose object the caller removes once this is committed. For retention.

    None, with nothing changed, while a job still needs the bytes, or when it is purged already.
    """
    row = get(tx, instance_id)
    if row.state is InstanceState.PURGED:
        return None
    needed = select(job.c.id).where(
        job.c.instance_id == instance_id, in_state(job.c.state, JobState.QUEUED, JobState.RUNNING)
    )
    purged = move(
        tx,
        InstanceState,
        instance_id,
        InstanceState.PURGED,
        expect=row.state,
        now=now,
        study_id=row.study_id,
        where=(~needed.exists(),),
    )
    return row.spool_key if purged else None


#: the columns that an InstanceRow is made of
SELECT = select(instance, study.c.study_instance_uid).join(study, study.c.id == instance.c.study_id)


def _first(tx: Connection, *where: ColumnElement[bool]) -> InstanceRow | None:
    row = tx.execute(SELECT.where(*where)).mappings().first()
    return None if row is None else instance_row(row)
