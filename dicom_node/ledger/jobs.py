"""Jobs: one Instance × one model × parameters, a queue that several workers share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select, update

from dicom_node.domain import Finding, JobState, Reason
from dicom_node.errors import LostRace
from dicom_node.ledger import findings as finding_rows
from dicom_node.ledger import instances, models, studies, succession
from dicom_node.ledger import results as result_rows
from dicom_node.ledger.move import move
from dicom_node.ledger.rows import InstanceRow, StoredResult
from dicom_node.ledger.schema import in_state, instance, job

_SPENT = {"reason_code": Reason.ATTEMPTS_SPENT.value}

#: failed jobs that are worth another try
_FAILED = (
    select(job)
    .join(instance, instance.c.id == job.c.instance_id)
    .where(in_state(job.c.state, JobState.FAILED), instances.retryable())
)


@dataclass(frozen=True, kw_only=True)
class ClaimedJob:
    """A job that is this process's until its lease ends."""

    job_id: int
    #: fences off whoever held it before
    token: int
    #: this one included: from 2 on it runs alone (law 8)
    attempts: int
    #: digests that the job was made for
    model: str
    parameters: str
    study_id: int
    #: not current: a version that `versions` must judge before anything is encoded
    instance: InstanceRow


def claim(
    tx: Connection, *, owner: str, now: float, lease: float, limit: int, model_digest: str | None = None
) -> list[ClaimedJob]:
    """Up to `limit` due jobs, the lowest rank first (see rank.py), this process's for `lease` s.

    `model_digest`: only jobs of that model, found by its part of the index; a worker gives its own, so that none is
    read by another model than the job says.
    """
    due = (
        select(job)
        .where(in_state(job.c.state, JobState.QUEUED), job.c.not_before <= now)
        .order_by(job.c.rank, job.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if model_digest is not None:
        due = due.where(job.c.model == model_digest)
    claimed = []
    for row in tx.execute(due).mappings().all():
        held = ClaimedJob(
            job_id=row["id"],
            token=row["token"] + 1,
            attempts=row["attempts"] + 1,
            model=row["model"],
            parameters=row["parameters"],
            study_id=row["study_id"],
            instance=instances.get(tx, row["instance_id"]),
        )
        if move(
            tx,
            JobState,
            held.job_id,
            JobState.RUNNING,
            expect=JobState.QUEUED,
            now=now,
            study_id=held.study_id,
            token=held.token,
            attempts=held.attempts,
            owner=owner,
            lease_until=now + lease,
        ):
            claimed.append(held)
    return claimed


def read_under(tx: Connection, claim: ClaimedJob, parameters: str) -> ClaimedJob:
    """The job says under which parameters it is read, whatever it was queued for; unless it has a twin that says so.

    Receiver and worker do not take new settings at the same moment.
    """
    twin = job.alias("twin")
    taken = select(twin.c.id).where(
        twin.c.instance_id == claim.instance.instance_id, twin.c.model == claim.model, twin.c.parameters == parameters
    )
    if claim.parameters == parameters or tx.execute(taken).first() is not None:
        return claim
    tx.execute(update(job).where(job.c.id == claim.job_id).values(parameters=parameters))
    return replace(claim, parameters=parameters)


def extend(tx: Connection, claim: ClaimedJob, *, now: float, lease: float) -> bool:
    """Hold a job for `lease` seconds from now. False: it is no longer ours, drop it."""
    extended = tx.execute(
        update(job)
        .where(job.c.id == claim.job_id, job.c.state == JobState.RUNNING.value, job.c.token == claim.token)
        .values(lease_until=now + lease)
    )
    return extended.rowcount == 1


def finish_done(
    tx: Connection,
    claim: ClaimedJob,
    *,
    now: float,
    score: float,
    findings: Sequence[Finding],
    results: Sequence[StoredResult],
) -> None:
    """RUNNING → DONE with the findings and the image results, in one transaction. Raises LostRace.

    The instance becomes the current version if it was not (versions.Verdict.ANALYSE), and results of its other
    versions leave the current set; so do those of an earlier analysis of this one, and where the job was queued to
    recall them they are. A study that was concluded without this job gets its next revision. Of a
    version that a newer one, or a person, has replaced meanwhile nothing of this happens: its results never
    enter the current set.
    """
    of = studies.lock(tx, claim.study_id, sop_instance_uid=claim.instance.sop_instance_uid)
    end(tx, claim, JobState.DONE, now=now, score=float(score))
    stands = succession.stands(tx, claim.instance)
    if stands:
        succession.take_over(tx, claim.instance, job_id=claim.job_id, model_digest=claim.model, now=now)
        studies.reopen(tx, of, now=now, reason="a late job was done")
    finding_rows.store(tx, claim.job_id, findings)
    result_rows.store(tx, results, job_id=claim.job_id, study_id=claim.study_id, now=now, current=stands)


def finish_unread(tx: Connection, claim: ClaimedJob, to: JobState, *, reason: Reason, detail: str, now: float) -> None:
    """RUNNING → DECLINED or UNREADABLE, for good. Raises LostRace.

    A declined version becomes current, since its header is the newest word on the image, and the results of
    its other versions, or of an earlier analysis, leave the current set. An unreadable one changes nothing of
    that: what stood before it stands, and unless it was current itself no revision comes of it. None comes of a
    rejection note either: what it changed has opened its study (rejections.enter).
    """
    of = studies.lock(tx, claim.study_id, sop_instance_uid=claim.instance.sop_instance_uid)
    end(tx, claim, to, now=now, reason=reason.value, reason_code=reason.value, detail=detail)
    if not succession.stands(tx, claim.instance) or (to is JobState.UNREADABLE and not claim.instance.is_current):
        return
    if to is JobState.DECLINED:
        succession.take_over(tx, claim.instance, job_id=claim.job_id, model_digest=claim.model, now=now)
    if reason is not Reason.REJECTION_NOTE:
        studies.reopen(tx, of, now=now, reason=f"a late job was {to.value}")


def retry(
    tx: Connection,
    claim: ClaimedJob,
    *,
    now: float,
    not_before: float,
    error: str,
    attempts_allowed: int,
) -> JobState:
    """It did not work out: QUEUED from `not_before` on, or FAILED once the attempts are spent. Raises LostRace."""
    spent = claim.attempts >= attempts_allowed
    to = JobState.FAILED if spent else JobState.QUEUED
    columns = _SPENT if spent else {"not_before": not_before}
    end(tx, claim, to, now=now, reason=error, last_error=error, ended_at=now if spent else None, **columns)
    return to


def postpone(tx: Connection, claim: ClaimedJob, *, now: float, not_before: float, reason: str) -> None:
    """Back to QUEUED with no attempt counted: nothing failed, it is too early. Raises LostRace."""
    end(
        tx,
        claim,
        JobState.QUEUED,
        now=now,
        reason=reason,
        ended_at=None,
        attempts=claim.attempts - 1,
        not_before=not_before,
    )


def end(tx: Connection, claim: ClaimedJob, to: JobState, *, now: float, reason: str = "", **columns: object) -> None:
    """RUNNING → `to` under the claim's token; for this folder only. Raises LostRace."""
    if not move(
        tx,
        JobState,
        claim.job_id,
        to,
        expect=JobState.RUNNING,
        now=now,
        study_id=claim.study_id,
        reason=reason,
        where=(job.c.token == claim.token,),
        lease_until=None,
        **{"ended_at": now, **columns},
    ):
        raise LostRace(f"job {claim.job_id} is no longer ours: its lease ended and another took it")


def reclaim_expired(tx: Connection, *, now: float, attempts_allowed: int) -> int:
    """Take jobs whose lease has ended from whoever held them: QUEUED, or FAILED once spent; how many."""
    expired = select(job).where(in_state(job.c.state, JobState.RUNNING), job.c.lease_until < now)
    taken = 0
    for row in tx.execute(expired.with_for_update(skip_locked=True)).mappings().all():
        spent = row["attempts"] >= attempts_allowed
        error = f"its worker {row['owner']} vanished or took too long"
        taken += move(
            tx,
            JobState,
            row["id"],
            JobState.FAILED if spent else JobState.QUEUED,
            expect=JobState.RUNNING,
            now=now,
            study_id=row["study_id"],
            reason=error,
            where=(job.c.token == row["token"],),
            last_error=error,
            lease_until=None,
            not_before=now,
            ended_at=now if spent else None,
            **_SPENT if spent else {},
        )
    return taken


def requeue(tx: Connection, job_id: int, now: float) -> bool:
    """FAILED → QUEUED, attempts counted anew, by an operator. False: it is not one of failed().

    A job of a model that is no longer active goes to the active one of the same name.
    """
    row = tx.execute(_FAILED.where(job.c.id == job_id)).mappings().first()
    return row is not None and move(
        tx,
        JobState,
        job_id,
        JobState.QUEUED,
        expect=JobState.FAILED,
        now=now,
        study_id=row["study_id"],
        reason="retried",
        model=models.heir(tx, row["model"]),
        attempts=0,
        not_before=now,
        reason_code="",
        ended_at=None,
    )


def failed(tx: Connection, study_id: int | None = None, *, limit: int | None = None) -> list[int]:
    """Ids of the jobs whose attempts are spent, of one study if given, at most `limit`; an operator may requeue() them.

    Those of quarantined versions wait for `accept` instead, those of replaced ones for nothing.
    """
    query = _FAILED.order_by(job.c.id).limit(limit)
    if study_id is not None:
        query = query.where(job.c.study_id == study_id)
    return [row["id"] for row in tx.execute(query).mappings()]


def next_due(tx: Connection) -> float | None:
    """When the first queued job is due; None: nothing is queued."""
    due: float | None = tx.execute(
        select(func.min(job.c.not_before)).where(in_state(job.c.state, JobState.QUEUED))
    ).scalar()
    return due


def next_expiry(tx: Connection) -> float | None:
    """When the first lease ends; None: nothing is running."""
    expiry: float | None = tx.execute(
        select(func.min(job.c.lease_until)).where(in_state(job.c.state, JobState.RUNNING))
    ).scalar()
    return expiry
