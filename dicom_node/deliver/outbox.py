"""One worker a destination: claims what is due, sends it over one connection, records each outcome at once."""

import contextlib
import random
import threading
import time
from collections.abc import Callable

import structlog

from dicom_node.deliver.commitment import GATHER
from dicom_node.deliver.destination import Destination, Outcome, Verdict
from dicom_node.errors import LostRace, Retryable
from dicom_node.ledger import Ledger, Listener, deliveries, holding
from dicom_node.ledger.deliveries import ClaimedDelivery
from dicom_node.retry import wait
from dicom_node.sections import DeliverSection

log = structlog.get_logger()

#: results that go over one connection
BATCH = 16
#: seconds after which claims of a process that died are taken back; a living one extends them, see keep_hold()
LEASE = 30.0
#: seconds between two attempts to reach a destination at most, whatever each of its deliveries waits for: one
#: that is back has its new results within this time
PAUSE_LONGEST = 30.0


class Outbox:
    """The outbox of one destination. It owns no state but the claims it holds: the rest stands in the ledger."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        *,
        ledger: Ledger,
        section: DeliverSection,
        owner: str,
        only_released: bool = False,
        commitment: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._destination = destination
        self._ledger = ledger
        self._section = section
        self._owner = owner
        self._only_released = only_released
        #: the destination is asked to commit to keeping what it stored
        self._commitment = commitment
        self._jitter = jitter
        self._lock = threading.Lock()
        self._held: dict[int, ClaimedDelivery] = {}
        #: turns in a row in which the destination took nothing
        self._vain = 0
        self._log = log.bind(destination=name)

    def run(self, listener: Listener, stop: threading.Event) -> None:
        """Deliver until `stop` is set; `listener` hears of new deliveries and is woken to stop."""
        pause_until = 0.0
        while not stop.is_set():
            pause = pause_until - time.monotonic()
            if pause > 0:
                listener.wait(pause)
                continue
            try:
                pause_until = time.monotonic() + self.turn(stop)
                if not self._vain and (idle := self._idle()) > 0:
                    listener.wait(idle)
            except Retryable as error:  # the ledger is away, or its disk is full
                self._drop()
                pause_until = time.monotonic() + self._pause()
                self._log.warning("deliveries wait for the ledger", error=str(error))
            except Exception as error:  # noqa: BLE001 - the outermost loop of this thread, and others must go on
                pause_until = time.monotonic() + self._pause()
                self._log.exception("a delivery failed in a way that nobody foresaw; trying again")
                self._give_up(f"an error in chexnode ({type(error).__name__}), see its log")

    def turn(self, stop: threading.Event) -> float:
        """Send one batch of what is due; the seconds to leave the destination alone before the next.

        Raises what Ledger does: then the claims that were not recorded are taken back when their lease ends.
        """
        claims = self._claim()
        if not claims:
            self._vain = 0
            return 0.0
        taken = False
        outcomes = self._destination.send([claim.result for claim in claims])
        with contextlib.closing(outcomes):
            for position, outcome in enumerate(outcomes):
                self._record(claims[position], outcome)
                taken |= outcome.verdict not in (Verdict.RETRY, Verdict.UNTRIED)
                if stop.is_set():
                    break
        self.hand_back()
        if taken:
            self._vain = 0
            return 0.0
        return self._pause()

    def keep_hold(self) -> None:
        """Extend the lease of every claim that is held; called by another thread well before LEASE is over.

        Raises what Ledger does.
        """
        with self._lock:
            held = list(self._held.values())
        if held:
            with self._ledger.transaction() as tx:
                for claim in held:
                    deliveries.extend(tx, claim, now=time.time(), lease=LEASE)

    def hand_back(self) -> None:
        """Give back every claim still held, as if it had never been made; also while a thread is stuck sending.

        Raises what Ledger does.
        """
        for claim in self._drop():
            with contextlib.suppress(LostRace), self._ledger.transaction() as tx:
                deliveries.postpone(tx, claim, now=time.time(), reason="handed back")

    def _give_up(self, error: str) -> None:
        """Whichever of the claims it was that failed: each waits, so that it does not keep the others for ever."""
        for claim in self._drop():
            now = time.time()
            with contextlib.suppress(Retryable), self._ledger.transaction() as tx:
                deliveries.retry(tx, claim, now=now, not_before=now + self._wait(claim.attempts), error=error)

    def _drop(self) -> list[ClaimedDelivery]:
        """Hold nothing any more; what was held."""
        with self._lock:
            held = list(self._held.values())
            self._held.clear()
        return held

    def _claim(self) -> list[ClaimedDelivery]:
        now = time.time()
        with self._ledger.transaction() as tx:
            if self._only_released:
                deliveries.hold(tx, destination=self.name, now=now)
            if limit := self._section.deliver_within:
                overdue = holding.hold_overdue(
                    tx,
                    destination=self.name,
                    decided_before=now - limit,
                    now=now,
                    reason=f"not delivered within {limit:g} s (deliver_within): it may come too late",
                )
                if overdue:
                    self._log.warning("held what was not delivered in time", deliveries=overdue, seconds=limit)
            claims = deliveries.claim(tx, destination=self.name, now=now, owner=self._owner, lease=LEASE, limit=BATCH)
        with self._lock:
            self._held.update({claim.delivery_id: claim for claim in claims})
        return claims

    def _record(self, claim: ClaimedDelivery, outcome: Outcome) -> None:
        now = time.time()
        with self._lock:
            mine = self._held.pop(claim.delivery_id, None) is not None
        if not mine:
            return  # handed back meanwhile, because the node is stopping
        try:
            with self._ledger.transaction() as tx:
                match outcome.verdict:
                    case Verdict.STORED:
                        ask_at = now + GATHER if self._commitment else None
                        deliveries.stored(tx, claim, now, reason=outcome.detail, ask_at=ask_at)
                    case Verdict.REFUSED:
                        deliveries.refused(tx, claim, now, outcome.detail)
                    case Verdict.UNTRIED:
                        deliveries.postpone(tx, claim, now=now, reason=outcome.detail)
                    case Verdict.HOLD:
                        holding.hold_claimed(tx, claim, now=now, reason=outcome.detail)
                    case Verdict.RETRY | Verdict.WAIT:
                        not_before = now + self._wait(claim.attempts)
                        deliveries.retry(tx, claim, now=now, not_before=not_before, error=outcome.detail)
        except LostRace as error:
            self._log.warning("it took too long and will be sent again", delivery=claim.delivery_id, error=str(error))
            return
        level = self._log.info if outcome.verdict is Verdict.STORED else self._log.warning
        level(outcome.verdict.value, delivery=claim.delivery_id, attempts=claim.attempts, detail=outcome.detail)

    def _idle(self) -> float:
        """Seconds until something is due that the bell does not ring for."""
        with self._ledger.reading() as tx:
            due = deliveries.next_due(tx, self.name)
        return 3600.0 if due is None else due - time.time()

    def _pause(self) -> float:
        self._vain += 1
        return wait(
            self._vain,
            first=self._section.retry_first,
            longest=min(self._section.retry_longest, PAUSE_LONGEST),
            jitter=self._jitter(),
        )

    def _wait(self, attempts: int) -> float:
        return wait(
            attempts,
            first=self._section.retry_first,
            longest=self._section.retry_longest,
            jitter=self._jitter(),
        )
