"""Which processes are, or were lately, at work on this ledger."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from dicom_node.ledger.rows import insert_new
from dicom_node.ledger.schema import process

#: seconds after which a process that says nothing is forgotten
FORGOTTEN_AFTER = 86400.0


@dataclass(frozen=True, kw_only=True)
class ProcessRow:
    """One process of one role."""

    role: str
    host: str
    pid: int
    version: str
    started_at: float
    seen_at: float


def heartbeat(tx: Connection, *, role: str, host: str, pid: int, version: str, now: float) -> None:
    """I am alive."""
    values = {"role": role, "host": host, "pid": pid, "version": version, "started_at": now, "seen_at": now}
    if insert_new(tx, process, values, unless=("role", "host", "pid")) is None:
        tx.execute(
            update(process)
            .where(process.c.role == role, process.c.host == host, process.c.pid == pid)
            .values(seen_at=now, version=version)
        )
    tx.execute(delete(process).where(process.c.seen_at < now - FORGOTTEN_AFTER))


def seen(tx: Connection) -> list[ProcessRow]:
    """Every process that said something within a day, the latest first."""
    rows = tx.execute(select(process).order_by(process.c.seen_at.desc(), process.c.id)).mappings()
    return [ProcessRow(**{name: row[name] for name in ProcessRow.__dataclass_fields__}) for row in rows]
