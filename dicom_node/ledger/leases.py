"""Leases of processes that are gone: ended at once, so that after a crash nobody waits for them to run out."""

import os
import socket

from sqlalchemy import Connection, select, union, update

from dicom_node.domain import DeliveryState, JobState
from dicom_node.ledger import deliveries, jobs
from dicom_node.ledger.schema import delivery, in_state, job

_RUNNING = in_state(job.c.state, JobState.RUNNING)
_SENDING = in_state(delivery.c.state, DeliveryState.SENDING)


def owner() -> str:
    """How this process signs what it claims: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def reclaim_vanished(tx: Connection, *, now: float, attempts_allowed: int) -> tuple[int, int]:
    """Take back what processes of this host hold that are gone; how many jobs and deliveries.

    To be called by a role before its first claim: what already bears its own name was a predecessor's with the same
    process id. Another host's processes cannot be looked at: their leases run out.
    """
    holders = tx.execute(union(select(job.c.owner).where(_RUNNING), select(delivery.c.owner).where(_SENDING))).scalars()
    gone = [holder for holder in holders if _is_gone(holder)]
    if not gone:
        return 0, 0
    tx.execute(update(job).where(_RUNNING, job.c.owner.in_(gone)).values(lease_until=0.0))
    tx.execute(update(delivery).where(_SENDING, delivery.c.owner.in_(gone)).values(lease_until=0.0))
    taken = jobs.reclaim_expired(tx, now=now, attempts_allowed=attempts_allowed)
    return taken, deliveries.reclaim_expired(tx, now=now)


def _is_gone(holder: str) -> bool:
    host, _, pid = holder.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    if holder == owner():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
