"""What stands for an image: which of its versions, and which of the results that were ever made of it."""

from sqlalchemy import Connection, select

from dicom_node.domain import RejectionTitle
from dicom_node.ledger import instances, recall, results
from dicom_node.ledger.rows import InstanceRow
from dicom_node.ledger.schema import job


def stands(tx: Connection, version: InstanceRow) -> bool:
    """The version is the current one, or newer: neither a later version nor a person has replaced it."""
    standing = instances.current(tx, version.sop_instance_uid)
    if standing is None or standing.instance_id == version.instance_id:
        return True
    return not version.is_current and standing.instance_id < version.instance_id


def take_over(tx: Connection, version: InstanceRow, *, job_id: int, model_digest: str, now: float) -> None:
    """Nothing that was made of the image before is current any more; the version is, if it was not.

    Of one that was current already only what the same model, or an earlier one of its name, made. Where the job was
    queued to recall what it supersedes, that is recalled.
    """
    if version.is_current:
        earlier = results.of_model(tx, version.sop_instance_uid, model_digest=model_digest)
        results.supersede(tx, earlier, now=now)
    else:
        earlier = results.retire(tx, version.sop_instance_uid, now=now)
        instances.make_current(tx, version)
    title = tx.execute(select(job.c.recall_title).where(job.c.id == job_id)).scalar_one()
    if title:
        recall.mark(tx, [row.result_id for row in earlier], title=RejectionTitle(title), now=now)
