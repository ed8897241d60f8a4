"""The same SOP Instance UID with other bytes: is it the same picture, and whose?

How analyse goes about a claimed job whose instance is not current:

1. Select by its header as ever; declined: `jobs.finish_unread`, which makes it the current version.
2. Decode it; unreadable: `jobs.finish_unread`, which leaves the version before it in place.
3. `before = previous(tx, claim)`, then `judge(before, claim, picture_digest=...)`, and as the verdict says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, select

from dicom_node.domain import InstanceState, JobState, Reason
from dicom_node.errors import LostRace
from dicom_node.ledger import findings, instances, jobs, reports, results, studies
from dicom_node.ledger.identity import Identity, describe
from dicom_node.ledger.jobs import ClaimedJob
from dicom_node.ledger.rows import InstanceRow, JobRow, ResultRow, StoredResult, job_row
from dicom_node.ledger.schema import in_state, instance, job


class Verdict(StrEnum):
    """What to do with a new version."""

    #: the version before it is not decided or not analysed yet: jobs.postpone
    WAIT = "wait"
    #: nothing was ever said about the picture before it: predict, encode, jobs.finish_done, as for a new image
    ANALYSE = "analyse"
    #: same picture, same patient, issuer, study and accession number: adopt() with no results
    STANDS = "stands"
    #: same picture, other identity: encode the earlier findings with the new header, then adopt() with results
    RE_ENCODE = "re_encode"
    #: another picture under the same UID: quarantine()
    QUARANTINE = "quarantine"


@dataclass(frozen=True, kw_only=True)
class Previous:
    """What stands for a SOP Instance UID while a newer version is judged."""

    instance: InstanceRow
    #: its latest job; None: it has none yet
    job: JobRow | None
    #: the current results of the image; a new one names the one of its kind and profile as `predecessor`
    results: tuple[ResultRow, ...]
    #: versions that arrived between the two and are not judged yet
    undecided: bool


def previous(tx: Connection, claim: ClaimedJob) -> Previous:
    """What stands today for the UID of a claimed job's instance. Raises LostRace where that is itself by now."""
    standing = instances.current(tx, claim.instance.sop_instance_uid)
    if standing is None or standing.instance_id == claim.instance.instance_id:
        raise LostRace(f"instance {claim.instance.instance_id} is current by now: take its job again")
    latest = (
        tx.execute(select(job).where(job.c.instance_id == standing.instance_id).order_by(job.c.id.desc()).limit(1))
        .mappings()
        .first()
    )
    between = (
        select(job.c.id)
        .join(instance, instance.c.id == job.c.instance_id)
        .where(
            instance.c.sop_instance_uid == claim.instance.sop_instance_uid,
            instance.c.id < claim.instance.instance_id,
            instance.c.id != standing.instance_id,
            instance.c.state == InstanceState.RECEIVED.value,
            in_state(job.c.state, JobState.QUEUED, JobState.RUNNING),
        )
    )
    return Previous(
        instance=standing,
        job=None if latest is None else job_row(latest),
        results=tuple(results.of_sop_instance(tx, claim.instance.sop_instance_uid)),
        undecided=tx.execute(between.limit(1)).first() is not None,
    )


def judge(before: Previous, claim: ClaimedJob, *, picture_digest: str) -> Verdict:
    """What to do with the version of `claim`, whose decoded picture has this digest.

    Another Study Instance UID counts as another identity: a PACS moved the image, or took it out of a wrong
    patient's study. The version then belongs to the new study already (instances.record). Re-encoded, its
    results name that study; those of the study before leave its current set, its report too where this was
    its last image, and what of them was still to be sent is abandoned, lest they reach the patient whose image
    it is not. What an archive has got already it keeps: the node deletes nothing in somebody's archive, and the
    successor names its predecessor. The study before gets no new revision: nothing was added to it.

    A version that a newer one has replaced meanwhile is analysed for the record only (jobs.finish_done).

    Findings are never attributed to a model that did not make them: where the earlier ones are of another
    model or other parameters, a changed identity means a new analysis.
    """
    if before.instance.instance_id > claim.instance.instance_id:
        return Verdict.ANALYSE
    if before.undecided or before.job is None or before.job.state in (JobState.QUEUED, JobState.RUNNING):
        return Verdict.WAIT
    if before.instance.picture_digest is None:
        return Verdict.ANALYSE
    if before.instance.picture_digest != picture_digest:
        return Verdict.QUARANTINE
    if before.job.state is not JobState.DONE:
        return Verdict.ANALYSE
    if before.instance.study_id == claim.study_id and before.instance.identity == claim.instance.identity:
        return Verdict.STANDS
    if (before.job.model, before.job.parameters) == (claim.model, claim.parameters):
        return Verdict.RE_ENCODE
    return Verdict.ANALYSE


def adopt(
    tx: Connection,
    claim: ClaimedJob,
    before: Previous,
    *,
    picture_digest: str,
    now: float,
    encoded: Sequence[StoredResult] | None = None,
    identity: Identity | None = None,
) -> None:
    """STANDS or RE_ENCODE: the version becomes current with the findings of the one before it, job DONE.

    `encoded`: the results under new UIDs, with their predecessors, and `identity` what the new header says: the
    study takes those values, earlier results leave the current set, and a concluded study gets its next
    revision. None: earlier results stand, and a concluded study stays concluded. Raises LostRace when the claim
    is no longer ours, or when another version has become current since `before` was read.
    """
    if before.job is None or before.job.state is not JobState.DONE:
        raise ValueError(f"job of instance {before.instance.instance_id} is not done: there is nothing to adopt")
    of = studies.lock(tx, claim.study_id, sop_instance_uid=claim.instance.sop_instance_uid)
    jobs.end(
        tx,
        claim,
        JobState.DONE,
        now=now,
        reason="same picture",
        score=before.job.score,
        model=before.job.model,
        parameters=before.job.parameters,
    )
    standing = instances.current(tx, claim.instance.sop_instance_uid)
    if standing is None or standing.instance_id != before.instance.instance_id:
        raise LostRace(f"another version of instance {claim.instance.instance_id} became current meanwhile")
    instances.set_picture(tx, claim.instance.instance_id, picture_digest)
    findings.copy(tx, from_job=before.job.job_id, to_job=claim.job_id)
    if encoded is None:
        instances.make_current(tx, claim.instance)
        return
    results.retire(tx, claim.instance.sop_instance_uid, now=now)
    instances.make_current(tx, claim.instance)
    left = before.instance.study_id
    if left != claim.study_id and not instances.of_study(tx, left):
        # what was reported of a study that is empty by now is about nobody's images
        results.supersede(tx, reports.current(tx, left), now=now)
    results.store(tx, encoded, job_id=claim.job_id, study_id=claim.study_id, now=now)
    if identity is not None:
        describe(tx, claim.study_id, identity)
    studies.reopen(tx, of, now=now, reason="a corrected header arrived")


def quarantine(tx: Connection, claim: ClaimedJob, *, reason: Reason, picture_digest: str, now: float) -> None:
    """QUARANTINE: both versions are kept, the earlier one stands, until a person accepts the new one.

    The job ends as FAILED, from which `instances.accept` queues it again. Raises LostRace.
    """
    jobs.end(tx, claim, JobState.FAILED, now=now, reason=reason.value, reason_code=reason.value)
    instances.set_picture(tx, claim.instance.instance_id, picture_digest)
    if not instances.quarantine(tx, claim.instance.instance_id, reason, now):
        raise LostRace(f"instance {claim.instance.instance_id} was decided by another meanwhile")
