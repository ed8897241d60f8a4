"""The conclude role: one loop that asks the ledger what is due, and sleeps until the bell or the alarm rings."""

import threading
import time

import structlog

from dicom_node.alive import HEARTBEAT, say_alive, wake_at
from dicom_node.conclude.complete import complete_quiet, conclude_ready
from dicom_node.conclude.report import Reporter
from dicom_node.conclude.schedule import Schedule, Task
from dicom_node.conclude.withdraw import write_notes
from dicom_node.config import Role, Settings
from dicom_node.encode.profiles import PROFILES
from dicom_node.errors import Retryable
from dicom_node.ledger import Channel, Ledger, deliveries, jobs, studies
from dicom_node.retention import Retention
from dicom_node.spool import Spool

log = structlog.get_logger()

#: seconds that a look may at least wait for the next one: what is due may have lost a race
_BREATH = 0.05
#: seconds that the loop sleeps at most, the bell unheard
_LONGEST_SLEEP = 3600.0
#: seconds that retention has to finish its batch, once the node stops; what it leaves is an orphan at worst
_DRAIN = 8.0


def run(settings: Settings, stop: threading.Event) -> None:
    """Conclude studies, take back what its holder let lapse, and delete what is old, until `stop` is set.

    Raises SchemaMismatch for another version's ledger, and the Retryable errors of Ledger: the supervisor starts
    the role again, and nothing is lost, since it holds no state.
    """
    ledger = Ledger.for_settings(settings.node)
    spool = Spool(settings.node.folder / "spool")
    reporter = Reporter(ledger, spool, settings.results)
    retention = Retention(ledger, spool, settings.retention)
    retaining: threading.Thread | None = None
    reports = any(PROFILES[profile].study_kinds for profile in settings.profiles)
    try:
        with ledger.bell.listen(Channel.STUDIES) as listener, Schedule(listener.wake) as schedule:
            wake_at(stop, listener)
            schedule.every(HEARTBEAT, Task.HEARTBEAT)
            schedule.every(settings.retention.every, Task.RETAIN)
            while not stop.is_set():
                due = schedule.due()
                if Task.HEARTBEAT in due:
                    say_alive(ledger, Role.CONCLUDE)
                next_look = look(ledger, settings, reporter, spool, now=time.time())
                schedule.look_at(next_look)
                if Task.RETAIN in due and (retaining is None or not retaining.is_alive()):
                    # beside the loop: to delete a week's studies takes minutes, and a conclusion does not wait for it
                    retaining = threading.Thread(target=_retain, args=(retention, stop), name="retain", daemon=True)
                    retaining.start()
                if reports and next_look is not None:
                    # a study is under way, and this is the time that it is quiet in
                    reporter.load()
                    reports = False
                listener.wait(_LONGEST_SLEEP)
    finally:
        if retaining is not None:
            retaining.join(_DRAIN)
        spool.close()
        ledger.close()


def look(ledger: Ledger, settings: Settings, reporter: Reporter, spool: Spool, *, now: float) -> float | None:
    """Do all that is due at `now`; when something is due next that no bell rings for.

    Raises what Ledger and Spool do.
    """
    _reclaim(ledger, settings.analyse.attempts, now=now)
    complete_quiet(ledger, settings.conclude, now=now)
    conclude_ready(ledger, settings.conclude, reporter, settings.route, named=settings.named, now=now)
    write_notes(ledger, spool, now=now)
    with ledger.reading() as tx:
        times = (
            studies.next_due(
                tx,
                quiet_period=settings.conclude.quiet_period,
                conclude_after=settings.conclude.conclude_after,
            ),
            jobs.next_expiry(tx),
            deliveries.next_expiry(tx),
        )
    return min((max(when, now + _BREATH) for when in times if when is not None), default=None)


def _reclaim(ledger: Ledger, attempts_allowed: int, *, now: float) -> None:
    """Take back jobs and deliveries whose holder let its lease run out."""
    with ledger.reading() as tx:
        expiries = (jobs.next_expiry(tx), deliveries.next_expiry(tx))
    if not any(when is not None and when < now for when in expiries):
        return
    with ledger.transaction() as tx:
        lapsed = jobs.reclaim_expired(tx, now=now, attempts_allowed=attempts_allowed)
        unsent = deliveries.reclaim_expired(tx, now=now)
    log.warning("took back what its holder let lapse", jobs=lapsed, deliveries=unsent)


def _retain(retention: Retention, stop: threading.Event) -> None:
    """A disk that cannot delete must not keep studies from being concluded."""
    try:
        retention.run(now=time.time(), stop=stop)
    except Retryable as error:
        log.warning("retention stopped half way; it goes on at its next turn", error=str(error))
