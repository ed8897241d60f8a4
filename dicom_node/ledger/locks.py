"""One at a time, where no row is there yet to be locked. SQLite has one writer anyway."""

from sqlalchemy import Connection, func, select

#: any number that nothing else in the database locks
_NOTES = 0x63686578_6E6F7465


def one_at_a_time(tx: Connection, sop_instance_uid: str) -> None:
    """Until `tx` ends nobody else records this image, and no rejection note is entered."""
    if tx.dialect.name == "postgresql":
        tx.execute(
            select(
                func.pg_advisory_xact_lock_shared(_NOTES),
                func.pg_advisory_xact_lock(func.hashtextextended(sop_instance_uid, 0)),
            )
        )


def nobody_records(tx: Connection) -> None:
    """Until `tx` ends no image is recorded: a rejection note names thousands, too many for a lock each."""
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(_NOTES)))
