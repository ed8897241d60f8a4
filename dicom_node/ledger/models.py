"""The models that jobs are made for; a model's identity is the digest of its manifest."""

from sqlalchemy import Connection, select, true, update

from dicom_node.domain import JobState
from dicom_node.ledger import schema
from dicom_node.ledger.bell import Channel, request
from dicom_node.ledger.rows import insert_new
from dicom_node.ledger.schema import in_state, job, model


def register(tx: Connection, *, digest: str, name: str, version: str, now: float) -> None:
    """Make a model known; no job is made for it before activate(). Known already: nothing happens."""
    insert_new(
        tx,
        model,
        {"digest": digest, "name": name, "version": version, "active": False, "registered_at": now},
        unless=("digest",),
    )


def activate(tx: Connection, digest: str, *, parameters: str) -> None:
    """From now on `digest` is *the* model of its name: each new instance gets a job for it.

    Jobs still queued for an earlier model of that name, or for it with other parameters, become its own; those
    that have begun or ended stay what they are (law 11). Raises KeyError for a model that is not registered.
    """
    name = tx.execute(select(model.c.name).where(model.c.digest == digest)).scalar()
    if name is None:
        raise KeyError(f"model {digest} is not registered")
    tx.execute(update(model).where(model.c.name == name).values(active=model.c.digest == digest))
    theirs = select(model.c.digest).where(model.c.name == name)
    other = schema.job.alias("other")
    taken = select(other.c.id).where(
        other.c.instance_id == job.c.instance_id, other.c.model == digest, other.c.parameters == parameters
    )
    tx.execute(
        update(job)
        .where(in_state(job.c.state, JobState.QUEUED), job.c.model.in_(theirs), ~taken.exists())
        .values(model=digest, parameters=parameters)
    )


def active(tx: Connection) -> list[str]:
    """Digests of the models that each new instance gets a job for."""
    return list(tx.execute(select(model.c.digest).where(model.c.active == true()).order_by(model.c.id)).scalars())


def queue_jobs(tx: Connection, *, instance_id: int, study_id: int, priority: int, parameters: str, now: float) -> int:
    """Make a queued job for an instance and each active model, where there is none; how many."""
    made = 0
    for digest in active(tx):
        values = {
            "instance_id": instance_id,
            "study_id": study_id,
            "model": digest,
            "parameters": parameters,
            "priority": priority,
            "state": JobState.QUEUED.value,
            "not_before": now,
            "created_at": now,
        }
        made += insert_new(tx, job, values, unless=("instance_id", "model", "parameters")) is not None
    if made:
        request(tx, Channel.JOBS)
    return made


def heir(tx: Connection, digest: str) -> str:
    """The active model of the same name; `digest` itself where there is none."""
    name = select(model.c.name).where(model.c.digest == digest).scalar_subquery()
    found = tx.execute(select(model.c.digest).where(model.c.name == name, model.c.active == true())).scalar()
    return found or digest
