"""Encoded objects: frozen when first committed, superseded by others, purged down to a tombstone."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, exists, select, true, update

from dicom_node.domain import Kind, ResultState
from dicom_node.ledger import deliveries, holding
from dicom_node.ledger.move import move
from dicom_node.ledger.rows import JobRow, ResultRow, StoredResult, insert_new, result_row
from dicom_node.ledger.schema import delivery, in_state, instance, job, model, result

#: asked at each arrival, and made once
_OURS = select(result.c.id).where(result.c.sop_instance_uid == bindparam("uid"))


def of_study(tx: Connection, study_id: int) -> list[ResultRow]:
    """The study's current result set: nothing superseded or recalled, nothing purged, no rejection note."""
    rows = tx.execute(
        select(result)
        .where(
            result.c.study_id == study_id,
            result.c.kind != Kind.KOS.value,
            result.c.is_current == true(),
            in_state(result.c.state, ResultState.KEPT),
        )
        .order_by(result.c.id)
    )
    return [result_row(row) for row in rows.mappings()]


def kept(tx: Connection, study_id: int) -> list[ResultRow]:
    """Every result of a study whose bytes are in the spool, current or not, the oldest first."""
    rows = tx.execute(
        select(result)
        .where(result.c.study_id == study_id, in_state(result.c.state, ResultState.KEPT))
        .order_by(result.c.id)
    )
    return [result_row(row) for row in rows.mappings()]


def of_sop_instance(tx: Connection, sop_instance_uid: str) -> list[ResultRow]:
    """The current results of one image, whichever of its versions they were made from; purged ones too."""
    rows = tx.execute(
        select(result)
        .join(job, job.c.id == result.c.job_id)
        .join(instance, instance.c.id == job.c.instance_id)
        .where(instance.c.sop_instance_uid == sop_instance_uid, result.c.is_current == true())
        .order_by(result.c.id)
    )
    return [result_row(row) for row in rows.mappings()]


def was_recalled(tx: Connection, made_by: JobRow) -> bool:
    """A result that these findings were encoded as was recalled, be it of another version of the same image."""
    here = select(instance.c.sop_instance_uid).where(instance.c.id == made_by.instance_id).scalar_subquery()
    found = (
        select(result.c.id)
        .join(job, job.c.id == result.c.job_id)
        .join(instance, instance.c.id == job.c.instance_id)
        .where(
            instance.c.sop_instance_uid == here,
            job.c.model == made_by.model,
            job.c.parameters == made_by.parameters,
            result.c.recall_title != "",
        )
    )
    return tx.execute(found.limit(1)).first() is not None


def of_model(tx: Connection, sop_instance_uid: str, *, model_digest: str) -> list[ResultRow]:
    """The current results of one image that a model of the same name made, be it an earlier one or this very one."""
    # image first, name last: asked in one statement, PostgreSQL begins with the name, which all jobs share
    made = tx.execute(
        select(job.c.id, model.c.name)
        .join(instance, instance.c.id == job.c.instance_id)
        .join(model, model.c.digest == job.c.model)
        .where(instance.c.sop_instance_uid == sop_instance_uid)
    ).all()
    name = tx.execute(select(model.c.name).where(model.c.digest == model_digest)).scalar()
    ids = [job_id for job_id, of in made if of == name]
    rows = tx.execute(
        select(result).where(result.c.job_id.in_(ids), result.c.is_current == true()).order_by(result.c.id)
    )
    return [result_row(row) for row in rows.mappings()]


def is_ours(tx: Connection, sop_instance_uid: str) -> bool:
    """This ledger made a result with this UID, purged or not."""
    return tx.execute(_OURS, {"uid": sop_instance_uid}).first() is not None


def store(
    tx: Connection,
    results: Sequence[StoredResult],
    *,
    job_id: int | None = None,
    report_id: int | None = None,
    study_id: int,
    now: float,
    current: bool = True,
) -> None:
    """Insert the results of a job that is being finished, or of a report.

    A UID that stands in the ledger already keeps the bytes that were committed first (law 5); the new object
    in the spool is then nobody's and is swept.
    """
    for stored in results:
        insert_new(
            tx,
            result,
            {
                "sop_instance_uid": stored.sop_instance_uid,
                "study_id": study_id,
                "job_id": job_id,
                "report_id": report_id,
                "kind": stored.kind.value,
                "profile": stored.profile.value,
                "encoder_version": stored.encoder_version,
                "sop_class_uid": stored.sop_class_uid,
                "series_instance_uid": stored.series_instance_uid,
                "transfer_syntax_uid": stored.transfer_syntax_uid,
                "spool_key": stored.spool_key,
                "digest": stored.digest,
                "predecessor": stored.predecessor,
                "is_current": current,
                "state": ResultState.KEPT.value,
                "created_at": now,
            },
            unless=("sop_instance_uid",),
        )


def retire(tx: Connection, sop_instance_uid: str, *, now: float) -> list[ResultRow]:
    """An image's results are superseded: they leave the current set, and what has not been sent stays here."""
    retired = of_sop_instance(tx, sop_instance_uid)
    supersede(tx, retired, now=now)
    return retired


def supersede(tx: Connection, rows: Sequence[ResultRow], *, now: float) -> None:
    """These results leave the current set, and what of them has not been sent stays here."""
    for row in rows:
        tx.execute(update(result).where(result.c.id == row.result_id).values(is_current=False))
        waiting = tx.execute(
            select(delivery.c.id).where(
                delivery.c.result_id == row.result_id,
                delivery.c.state.in_([state.value for state in holding.ABANDONABLE]),
            )
        )
        holding.abandon(tx, ids=list(waiting.scalars()), now=now, reason="superseded")


def purge(tx: Connection, result_id: int, *, now: float) -> str | None:
    """KEPT → PURGED; the spool key, whose object the caller removes once this is committed.

    The row stays as a tombstone: its UID is known for ever. None, with nothing changed, while a delivery of it
    is under way or when it is purged already.
    """
    under_way = exists().where(delivery.c.result_id == result_id, in_state(delivery.c.state, *deliveries.UNDER_WAY))
    row = tx.execute(select(result).where(result.c.id == result_id)).mappings().one()
    purged = move(
        tx,
        ResultState,
        result_id,
        ResultState.PURGED,
        expect=ResultState.KEPT,
        now=now,
        study_id=row["study_id"],
        where=(~under_way,),
    )
    return str(row["spool_key"]) if purged else None
