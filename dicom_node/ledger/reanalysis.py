"""Analysing anew what was analysed before: which images, what becomes of each, and the jobs for it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, select, update

from dicom_node.domain import InstanceState, JobState, Reason, RejectionTitle
from dicom_node.ledger import instances, models, rejected, results
from dicom_node.ledger.rank import LEVEL, rank_of
from dicom_node.ledger.rows import InstanceRow, JobRow, ResultRow, job_row
from dicom_node.ledger.schema import job, model, result

#: a day behind at the level's default: what arrives meanwhile is analysed first
_BEHIND = -6


class Prospect(StrEnum):
    """What reanalysis can do for an image."""

    #: a job is made
    QUEUE = "queue"
    #: it was analysed by this very model and these parameters, and that stands
    UP_TO_DATE = "up_to_date"
    #: a job with them is queued or running
    UNDER_WAY = "under_way"
    #: it was analysed with them before; others have superseded that, or it was recalled
    BEEN_THERE = "been_there"
    #: a job with them failed: `chexnode retry`
    FAILED = "failed"
    #: its bytes were deleted after delivery
    PURGED = "purged"
    #: a rejection note named it
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One current image, one active model, and what would come of it."""

    instance: InstanceRow
    #: digest of the active model
    model: str
    #: digest of the parameters that hold for its source today
    parameters: str
    prospect: Prospect
    #: what a new analysis supersedes
    standing: tuple[ResultRow, ...]


def candidates(tx: Connection, study_id: int, *, parameters: str, by_source: Mapping[str, str]) -> list[Candidate]:
    """Each current image of a study for each active model; rejection notes are none, nor is what waits for `accept`.

    `parameters` are today's, `by_source` those of calling AE titles that have others.
    """
    rows = [row for row in instances.of_study(tx, study_id) if row.state is not InstanceState.QUARANTINED]
    gone = rejected.known(tx, [row.sop_instance_uid for row in rows])
    found = []
    for row in rows:
        for digest in models.active(tx):
            jobs = _jobs(tx, row.instance_id, digest)
            if any(one.reason is Reason.REJECTION_NOTE for one in jobs):
                continue
            own = by_source.get(row.calling_ae_title, parameters)
            standing = results.of_model(tx, row.sop_instance_uid, model_digest=digest)
            same = next((one for one in jobs if (one.model, one.parameters) == (digest, own)), None)
            prospect = _prospect(row, same, jobs, rejected=row.sop_instance_uid in gone)
            if prospect is Prospect.UP_TO_DATE and same is not None and _recalled(tx, same.job_id):
                prospect = Prospect.BEEN_THERE
            found.append(
                Candidate(instance=row, model=digest, parameters=own, prospect=prospect, standing=tuple(standing))
            )
    return found


def queue(
    tx: Connection,
    wanted: Sequence[Candidate],
    *,
    recall_title: RejectionTitle | None = None,
    now: float,
    level: float = LEVEL,
) -> int:
    """Make the jobs of those with a prospect of QUEUE; how many. Their results supersede what stands once they end.

    `level`: see rank_of(). `recall_title`: what they supersede is recalled then too, by rejection notes with this
    title.
    """
    made = 0
    for one in wanted:
        if one.prospect is not Prospect.QUEUE:
            continue
        study_id = one.instance.study_id
        key = models.queue_job(
            tx,
            instance_id=one.instance.instance_id,
            study_id=study_id,
            digest=one.model,
            priority=_BEHIND,
            rank=rank_of(one.instance.sop_class_uid, arrived=now, priority=_BEHIND, level=level),
            parameters=one.parameters,
            now=now,
        )
        if key is not None and recall_title is not None:
            tx.execute(update(job).where(job.c.id == key).values(recall_title=recall_title.value))
        made += key is not None
    return made


def _jobs(tx: Connection, instance_id: int, model_digest: str) -> list[JobRow]:
    """Those of models with the same name, the oldest first."""
    name = select(model.c.name).where(model.c.digest == model_digest).scalar_subquery()
    rows = tx.execute(
        select(job)
        .join(model, model.c.digest == job.c.model)
        .where(job.c.instance_id == instance_id, model.c.name == name)
        .order_by(job.c.id)
    )
    return [job_row(row) for row in rows.mappings()]


def _recalled(tx: Connection, job_id: int) -> bool:
    theirs = select(result.c.id).where(result.c.job_id == job_id, result.c.recall_title != "")
    return tx.execute(theirs.limit(1)).first() is not None


def _prospect(row: InstanceRow, same: JobRow | None, jobs: Collection[JobRow], *, rejected: bool) -> Prospect:
    if rejected:
        return Prospect.REJECTED
    if same is not None:
        if same.state in (JobState.QUEUED, JobState.RUNNING):
            return Prospect.UNDER_WAY
        if same.state is JobState.FAILED:
            return Prospect.FAILED
        return Prospect.UP_TO_DATE if same.job_id == max(one.job_id for one in jobs) else Prospect.BEEN_THERE
    return Prospect.PURGED if row.state is InstanceState.PURGED else Prospect.QUEUE
