"""A rejection note that came: the images that it names are not analysed, or no longer, and their results recalled."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from dicom_node.domain import RejectionTitle
from dicom_node.ledger import recall, rejected, studies
from dicom_node.ledger.locks import nobody_records
from dicom_node.ledger.schema import instance


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a rejection note changed; the same one again changes nothing."""

    #: images that it names and the node has
    images: int
    #: analyses that were to come, under way, done or failed
    jobs: int
    #: results that are recalled, reports among them
    results: int


def enter(
    tx: Connection,
    sop_instance_uids: Sequence[str],
    *,
    title: RejectionTitle,
    note: str,
    study_id: int,
    now: float,
) -> Effect:
    """Cancel the jobs of the images that a note names, recall their results, and remember them for what is to come.

    `note` is its own SOP Instance UID, `study_id` its study, which is locked with those of the images: call it before
    anything else in the transaction locks one. A concluded study that loses something opens with its next revision.
    Images that were rejected before are left as they are.
    """
    # whoever records one of these images at the same moment sees the note, or is seen by it
    nobody_records(tx)
    fresh = rejected.remember(tx, sop_instance_uids, title=title, note=note, now=now)
    held = _versions(tx, fresh)
    stopped = withdrawn = 0
    for of in sorted({study_id, *(version.study_id for version in held)}):
        row = studies.lock(tx, of)
        here = [version for version in held if version.study_id == of]
        jobs = sum(rejected.cancel(tx, version.instance_id, title=title, now=now) for version in here)
        ids = recall.of_images(tx, sorted({version.sop_instance_uid for version in here}))
        results = recall.mark(tx, ids, title=title, now=now)
        if jobs or results:
            studies.reopen(tx, row, now=now, reason="an image was rejected")
        stopped += jobs
        withdrawn += results
    return Effect(images=len({version.sop_instance_uid for version in held}), jobs=stopped, results=withdrawn)


@dataclass(frozen=True, kw_only=True)
class _Version:
    instance_id: int
    study_id: int
    sop_instance_uid: str


def _versions(tx: Connection, sop_instance_uids: Sequence[str]) -> list[_Version]:
    found: list[_Version] = []
    for some in rejected.batches(sop_instance_uids):
        rows = tx.execute(
            select(instance.c.id, instance.c.study_id, instance.c.sop_instance_uid)
            .where(instance.c.sop_instance_uid.in_(some))
            .order_by(instance.c.id)
        )
        found += [_Version(instance_id=key, study_id=of, sop_instance_uid=uid) for key, of, uid in rows.all()]
    return found
