"""The only code that deletes: what is delivered and old, and orphans. What is not delivered stays, whatever the disk.

A study goes whole, with the identifying values that the ledger has of it; tombstones of its rows stay.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from dicom_node.audit import Trail, trail
from dicom_node.ledger import Ledger, keys, purge, studies
from dicom_node.sections import RetentionSection
from dicom_node.spool import Spool

log = structlog.get_logger()

#: studies that are purged before the disk and `stop` are looked at again
BATCH = 20
#: age in seconds from which an object that no row names is an orphan, not one whose row is being written
ORPHAN_AGE = 86400.0
_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """What one turn of retention deleted."""

    studies: int
    orphans: int


class Retention:
    """Deletes by age, by watermark, and what nobody names."""

    def __init__(self, ledger: Ledger, spool: Spool, section: RetentionSection, *, audit: Trail | None = None) -> None:
        self._audit = audit or trail()
        self._ledger = ledger
        self._spool = spool
        self._section = section

    def run(self, *, now: float, stop: threading.Event) -> Deleted:
        """One turn at `now` (seconds since the epoch); ends early once `stop` is set.

        Raises OutOfRoom, StorageFault, LedgerUnavailable: what was deleted by then is, the rest is left for the
        next turn.
        """
        purged = sum(self._purge(now - self._section.days * _DAY, now=now, stop=stop))
        if not stop.is_set() and self._short_of_room():
            for gone in self._purge(now, now=now, stop=stop):
                purged += gone
                if not self._short_of_room():
                    break
            else:
                self._warn_of_room(stop)
        orphans = [] if stop.is_set() else sweep(self._ledger, self._spool, older_than=ORPHAN_AGE, now=now)
        if purged or orphans:
            log.info("deleted what is delivered, and orphans", studies=purged, orphans=len(orphans))
        return Deleted(studies=purged, orphans=len(orphans))

    def _short_of_room(self) -> bool:
        return self._spool.free_bytes() < self._section.watermark

    def _warn_of_room(self, stop: threading.Event) -> None:
        if not stop.is_set():
            log.warning(
                "the disk is below retention.watermark, and all that is left waits for a destination or a person",
                free=self._spool.free_bytes(),
                watermark=self._section.watermark,
            )

    def _purge(self, ended_before: float, *, now: float, stop: threading.Event) -> Iterator[int]:
        """Purge what has been over since then, up to BATCH studies a step, each in its own transaction; how many."""
        last: int | None = None
        while not stop.is_set():
            with self._ledger.reading() as tx:
                due = purge.due(tx, ended_before=ended_before, limit=BATCH, after=last)
            if not due:
                return
            yield sum(self._purge_one(study_id, ended_before, now=now) for study_id in due)
            last = due[-1]

    def _purge_one(self, study_id: int, ended_before: float, *, now: float) -> bool:
        with self._ledger.transaction() as tx:
            row = studies.get(tx, study_id)
            removable = purge.purge(tx, study_id, ended_before=ended_before, now=now)
        if removable is None:
            return False
        for key in removable:
            self._spool.remove(key)
        self._audit.deleted(row.study_instance_uid, patient_id=row.patient_id)
        return True


def sweep(ledger: Ledger, spool: Spool, *, older_than: float, now: float) -> list[str]:
    """Remove files of the spool that no row names and that are `older_than` seconds; their names. See Spool.sweep."""
    with ledger.reading() as tx:
        known = keys.spool_keys(tx)
    return spool.sweep(known, older_than=older_than, now=now)
