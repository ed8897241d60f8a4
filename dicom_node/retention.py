"""The only code that deletes: what is delivered and old, and orphans. What is not delivered stays, whatever the disk.

A study goes whole, with the identifying values that the ledger has of it; tombstones of its rows stay.
"""

import threading
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
        purged = 0
        while not stop.is_set() and (gone := self._purge(now - self._section.days * _DAY, now=now)):
            purged += gone
        while not stop.is_set() and self._short_of_room():
            if not (gone := self._purge(now, now=now)):
                log.warning(
                    "the disk is below retention.watermark, and all that is left waits for a destination or a person",
                    free=self._spool.free_bytes(),
                    watermark=self._section.watermark,
                )
                break
            purged += gone
        orphans = [] if stop.is_set() else sweep(self._ledger, self._spool, older_than=ORPHAN_AGE, now=now)
        if purged or orphans:
            log.info("deleted what is delivered, and orphans", studies=purged, orphans=len(orphans))
        return Deleted(studies=purged, orphans=len(orphans))

    def _short_of_room(self) -> bool:
        return self._spool.free_bytes() < self._section.watermark

    def _purge(self, ended_before: float, *, now: float) -> int:
        """Purge up to BATCH studies, each in a transaction of its own; how many."""
        with self._ledger.reading() as tx:
            due = purge.due(tx, ended_before=ended_before, limit=BATCH)
        gone = 0
        for study_id in due:
            with self._ledger.transaction() as tx:
                row = studies.get(tx, study_id)
                removable = purge.purge(tx, study_id, ended_before=ended_before, now=now)
            for key in removable or ():
                self._spool.remove(key)
            if removable is not None:
                gone += 1
                self._audit.deleted(row.study_instance_uid, patient_id=row.patient_id)
        return gone


def sweep(ledger: Ledger, spool: Spool, *, older_than: float, now: float) -> list[str]:
    """Remove files of the spool that no row names and that are `older_than` seconds; their names. See Spool.sweep."""
    with ledger.reading() as tx:
        known = keys.spool_keys(tx)
    return spool.sweep(known, older_than=older_than, now=now)
