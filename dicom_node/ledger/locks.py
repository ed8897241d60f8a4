"""One at a time, where no row is there yet to be locked."""

from sqlalchemy import Connection, func, select


def one_at_a_time(tx: Connection, sop_instance_uid: str) -> None:
    """Until `tx` ends nobody else records or rejects this image; SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(sop_instance_uid, 0))))
