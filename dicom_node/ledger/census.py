"""The ledger in numbers, for whoever helps from outside; and the values that must not reach them."""

from sqlalchemy import Connection, func, select, union

from dicom_node.ledger.schema import (
    commitment,
    delivery,
    event,
    instance,
    job,
    process,
    result,
    study,
)

_COUNTED = {"study": study, "instance": instance, "job": job, "result": result, "delivery": delivery}


def counts(tx: Connection) -> dict[str, object]:
    """Rows of each noun by state, of deliveries by destination too, of jobs by reason; when each role was last seen."""
    told: dict[str, object] = {}
    for name, table in _COUNTED.items():
        rows = tx.execute(select(table.c.state, func.count()).group_by(table.c.state))
        told[name] = {str(state): count for state, count in rows}
    told["delivery_by_destination"] = [
        list(row)
        for row in tx.execute(
            select(delivery.c.destination, delivery.c.state, func.count(), func.max(delivery.c.attempts)).group_by(
                delivery.c.destination, delivery.c.state
            )
        )
    ]
    told["job_by_reason"] = [
        list(row)
        for row in tx.execute(
            select(job.c.state, job.c.reason_code, func.count()).group_by(job.c.state, job.c.reason_code)
        )
    ]
    seen = select(process.c.role, process.c.pid, process.c.version, process.c.started_at, process.c.seen_at)
    told["process"] = [list(row) for row in tx.execute(seen)]
    return told


def moves(tx: Connection, *, limit: int) -> list[dict[str, object]]:
    """The latest state changes, the oldest of them first; rows by their numbers."""
    columns = (
        event.c.at,
        event.c.noun,
        event.c.key,
        event.c.study_id,
        event.c.from_state,
        event.c.to_state,
        event.c.reason,
    )
    rows = tx.execute(select(*columns).order_by(event.c.id.desc()).limit(limit)).mappings().all()
    return [dict(row) for row in reversed(rows)]


def identifying(tx: Connection) -> set[str]:
    """Every identifying value and UID of a study, an instance or a result that the ledger has."""
    found = union(
        *(
            select(column)
            for column in (
                study.c.patient_id,
                study.c.issuer_of_patient_id,
                study.c.accession_number,
                study.c.study_instance_uid,
                instance.c.sop_instance_uid,
                result.c.sop_instance_uid,
                result.c.series_instance_uid,
            )
        )
    )
    return {str(value) for value in tx.execute(found).scalars() if value}


def words_of_peers(tx: Connection) -> set[str]:
    """What peers and libraries said in their own words: it may quote whatever they were sent."""
    columns = (delivery.c.last_error, commitment.c.last_error, job.c.last_error, job.c.detail)
    return {str(value) for value in tx.execute(union(*map(select, columns))).scalars() if value}
