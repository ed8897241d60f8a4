"""The models that jobs are made for; a model's identity is the digest of its manifest."""

import json
from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, select, true, update

from dicom_node.domain import JobState
from dicom_node.ledger import rejected, schema
from dicom_node.ledger.bell import Channel, request
from dicom_node.ledger.rank import LEVEL, rank_of
from dicom_node.ledger.rows import insert_new
from dicom_node.ledger.schema import in_state, instance, job, model, study

_NONE: Mapping[str, str] = {}
#: asked at each arrival, and made once
_ACTIVE = select(model.c.digest).where(model.c.active == true()).order_by(model.c.id)


def register(
    tx: Connection, *, digest: str, name: str, version: str, now: float, family: tuple[str, str, str] | None = None
) -> None:
    """Make a model known; no job is made for it before activate(). Known already: nothing happens.

    `family`: code value, scheme and meaning of its algorithm (CID 7162), noted also where an earlier release did not.
    """
    noted = "" if family is None else json.dumps(family)
    values = {"digest": digest, "name": name, "version": version, "active": False, "registered_at": now}
    insert_new(tx, model, {**values, "family": noted}, unless=("digest",))
    if noted:
        tx.execute(update(model).where(model.c.digest == digest, model.c.family != noted).values(family=noted))


def activate(tx: Connection, digest: str, *, parameters: str, by_source: Mapping[str, str] = _NONE) -> None:
    """From now on `digest` is *the* model of its name: each new instance gets a job for it.

    Jobs still queued for an earlier model of that name, or for it with other parameters, become its own; those
    that have begun or ended stay what they are (law 11). `by_source`: the parameters for calling AE titles that have
    others than `parameters`. Raises KeyError for a model that is not registered.
    """
    name = tx.execute(select(model.c.name).where(model.c.digest == digest)).scalar()
    if name is None:
        raise KeyError(f"model {digest} is not registered")
    tx.execute(update(model).where(model.c.name == name).values(active=model.c.digest == digest))
    theirs = select(model.c.digest).where(model.c.name == name)
    sender = select(instance.c.calling_ae_title).where(instance.c.id == job.c.instance_id).scalar_subquery()
    _hand_over(tx, sender.not_in(list(by_source)), job.c.model.in_(theirs), digest=digest, parameters=parameters)
    for calling_ae_title, own in by_source.items():
        _hand_over(tx, sender == calling_ae_title, job.c.model.in_(theirs), digest=digest, parameters=own)


def active(tx: Connection) -> list[str]:
    """Digests of the models that each new instance gets a job for."""
    return list(tx.execute(_ACTIVE).scalars())


def queue_jobs(
    tx: Connection,
    *,
    instance_id: int,
    study_id: int,
    priority: int,
    rank: float,
    parameters: str,
    now: float,
) -> int:
    """Make a queued job for an instance and each active model, where there is none; how many.

    `rank`: see rank.py. Of an image that was rejected it is DECLINED at once.
    """
    made = 0
    for digest in active(tx):
        job_id = queue_job(
            tx,
            instance_id=instance_id,
            study_id=study_id,
            digest=digest,
            priority=priority,
            rank=rank,
            parameters=parameters,
            now=now,
        )
        made += job_id is not None
    if made:
        rejected.decline(tx, instance_id, now=now)
    return made


def queue_job(
    tx: Connection,
    *,
    instance_id: int,
    study_id: int,
    digest: str,
    priority: int,
    rank: float,
    parameters: str,
    now: float,
) -> int | None:
    """Make a queued job for an instance and a registered model; its id, or None where there is one already."""
    values = {
        "instance_id": instance_id,
        "study_id": study_id,
        "model": digest,
        "parameters": parameters,
        "priority": priority,
        "rank": rank,
        "state": JobState.QUEUED.value,
        "not_before": now,
        "created_at": now,
    }
    request(tx, Channel.JOBS)
    return insert_new(tx, job, values, unless=("instance_id", "model", "parameters"))


def insert_missing(
    tx: Connection,
    *,
    model: str,
    parameters: str,
    now: float,
    by_source: Mapping[str, str] | None = None,
    level: float = LEVEL,
) -> int:
    """Make the jobs of instances that arrived while no model was active; how many.

    `by_source`: see activate(); `level`: see rank_of(). Raises ValueError unless `model` is active.
    """
    if model not in active(tx):
        raise ValueError(f"model {model} is not active: activate() it first")
    made = 0
    waiting = select(instance, study.c.priority).join(study, study.c.id == instance.c.study_id)
    for row in tx.execute(waiting.where(instance.c.without_job == true()).order_by(instance.c.id)).mappings().all():
        made += queue_jobs(
            tx,
            instance_id=row["id"],
            study_id=row["study_id"],
            priority=row["priority"],
            rank=rank_of(row["sop_class_uid"], arrived=row["received_at"], priority=row["priority"], level=level),
            parameters=(by_source or {}).get(row["calling_ae_title"], parameters),
            now=now,
        )
        tx.execute(update(instance).where(instance.c.id == row["id"]).values(without_job=False))
    return made


def heir(tx: Connection, digest: str) -> str:
    """The active model of the same name; `digest` itself where there is none."""
    name = select(model.c.name).where(model.c.digest == digest).scalar_subquery()
    found = tx.execute(select(model.c.digest).where(model.c.name == name, model.c.active == true())).scalar()
    return found or digest


def _hand_over(tx: Connection, *which: ColumnElement[bool], digest: str, parameters: str) -> None:
    """Queued jobs become this model's, with these parameters, unless their instance has such a job already."""
    other = schema.job.alias("other")
    taken = select(other.c.id).where(
        other.c.instance_id == job.c.instance_id, other.c.model == digest, other.c.parameters == parameters
    )
    queued = update(job).where(in_state(job.c.state, JobState.QUEUED), ~taken.exists(), *which)
    tx.execute(queued.values(model=digest, parameters=parameters))
