"""The objects of the spool that the ledger names, what is known of their bytes; and whether the ledger is sound."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select, update

from dicom_node.domain import InstanceState, ResultState
from dicom_node.ledger import deliveries, holding, results
from dicom_node.ledger.schema import delivery, header, in_state, instance, job, result, study


class Noun(StrEnum):
    """What an object of the spool is."""

    #: an image as it was received, behind a preamble and a file meta
    INSTANCE = "image"
    #: an encoded object, its whole file
    RESULT = "result"
    #: the header of an examined image
    HEADER = "header"


@dataclass(frozen=True, kw_only=True)
class Named:
    """One object that a row names."""

    noun: Noun
    row_id: int
    spool_key: str
    #: SHA-256, 64 hexadecimal digits: of an image's data set, of a result's file; empty: none is known
    digest: str
    #: empty for a header
    sop_instance_uid: str
    study_instance_uid: str


def named(tx: Connection, keys: Iterable[str] | None = None) -> Iterator[Named]:
    """Every object that a row names, images first; of `keys` alone where they are given."""
    wanted = None if keys is None else list(keys)
    yield from _named(
        tx,
        Noun.INSTANCE,
        select(
            instance.c.id,
            instance.c.spool_key,
            instance.c.digest,
            instance.c.sop_instance_uid,
            study.c.study_instance_uid,
        )
        .join(study, study.c.id == instance.c.study_id)
        .where(instance.c.state != InstanceState.PURGED.value, *_of(instance.c.spool_key, wanted)),
    )
    yield from _named(
        tx,
        Noun.RESULT,
        select(result.c.id, result.c.spool_key, result.c.digest, result.c.sop_instance_uid, study.c.study_instance_uid)
        .join(study, study.c.id == result.c.study_id)
        .where(in_state(result.c.state, ResultState.KEPT), *_of(result.c.spool_key, wanted)),
    )
    nothing: ColumnElement[str] = literal_column("''")
    yield from _named(
        tx,
        Noun.HEADER,
        select(header.c.id, header.c.spool_key, nothing, nothing, study.c.study_instance_uid)
        .join(job, job.c.id == header.c.job_id)
        .join(study, study.c.id == job.c.study_id)
        .where(header.c.spool_key != nothing, *_of(header.c.spool_key, wanted)),
    )


def refill(tx: Connection, instance_id: int, spool_key: str) -> None:
    """The bytes of an image, which were lost, came again: from now on they are this object."""
    tx.execute(update(instance).where(instance.c.id == instance_id).values(spool_key=spool_key))


def give_up(tx: Connection, lost: Named, *, now: float, reason: str) -> int:
    """End what waits for a result whose bytes are lost, and leave its tombstone; how many deliveries were ended.

    One that is being sent at this moment goes back to waiting when that fails: until then the result stays.
    """
    waiting = tx.execute(
        select(delivery.c.id).where(
            delivery.c.result_id == lost.row_id, delivery.c.state.in_([state.value for state in holding.ABANDONABLE])
        )
    )
    ended = holding.abandon(tx, ids=list(waiting.scalars()), now=now, reason=reason)
    results.purge(tx, lost.row_id, now=now)
    return ended


def unsound(tx: Connection) -> list[str]:
    """What is wrong with the database itself, in its own words: SQLite's checks; PostgreSQL looks after its own."""
    if tx.dialect.name != "sqlite":
        return []
    said = [str(line) for line in tx.exec_driver_sql("PRAGMA integrity_check(20)").scalars() if line != "ok"]
    broken = tx.exec_driver_sql("PRAGMA foreign_key_check").all()
    return said + [f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there" for row in broken[:20]]


def held_back(tx: Connection, destination: str) -> int:
    """Bytes of received images that retention may not delete for what this destination has not got."""
    waits = select(delivery.c.study_id).where(
        delivery.c.destination == destination, in_state(delivery.c.state, *deliveries.UNDER_WAY)
    )
    return _bytes(tx, instance.c.study_id.in_(waits))


def received_since(tx: Connection, since: float) -> int:
    """Bytes of images that came since then, in studies that did."""
    lately = select(study.c.id).where(study.c.last_arrival >= since)
    return _bytes(tx, instance.c.study_id.in_(lately), instance.c.received_at >= since)


def _bytes(tx: Connection, *where: ColumnElement[bool]) -> int:
    kept = instance.c.state != InstanceState.PURGED.value
    return int(tx.execute(select(func.coalesce(func.sum(instance.c.size), 0)).where(kept, *where)).scalar_one())


def _of(column: ColumnElement[str], keys: list[str] | None) -> list[ColumnElement[bool]]:
    return [] if keys is None else [column.in_(keys)]


def _named(tx: Connection, noun: Noun, rows: Select[int, str, str, str, str]) -> Iterator[Named]:
    for row_id, key, digest, sop_instance_uid, study_instance_uid in tx.execute(rows):
        yield Named(
            noun=noun,
            row_id=row_id,
            spool_key=key,
            digest=digest,
            sop_instance_uid=sop_instance_uid,
            study_instance_uid=study_instance_uid,
        )
