"""One association to a destination: claims what is due, sends it over one connection, records each outcome at once."""

import contextlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import structlog

from dicom_node.deliver.circuit import Circuit, pause_after
from dicom_node.deliver.commitment import GATHER
from dicom_node.deliver.destination import Destination, Outcome, Verdict
from dicom_node.deliver.recorder import Recorder
from dicom_node.errors import LostRace, Retryable
from dicom_node.ledger import Channel, Ledger, Listener, Tx, deliveries, holding
from dicom_node.ledger.deliveries import ClaimedDelivery
from dicom_node.retry import wait
from dicom_node.sections import DeliverSection

log = structlog.get_logger()

#: results that go over one connection at most
BATCH = 16
#: results that one of several connections takes at least, where there are so many: it costs something to open
SHARE = 4
#: seconds after which claims of a process that died are taken back; a living one extends them, see keep_hold()
LEASE = 30.0
#: seconds after which a worker looks again for what another one may have left to it
LOOK_AGAIN = 1.0
_LONGEST_IDLE = 3600.0


class Outbox:
    """One worker of a destination. It owns no state but the claims it holds: the rest stands in the ledger."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        *,
        ledger: Ledger,
        recorder: Recorder,
        circuit: Circuit,
        section: DeliverSection,
        owner: str,
        workers: int = 1,
        only_released: bool = False,
        commitment: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`circuit` is shared with the other `workers` of the destination, this one counted."""
        self.name = name
        self._destination = destination
        self._ledger = ledger
        self._recorder = recorder
        self._circuit = circuit
        self._section = section
        self._owner = owner
        self._workers = workers
        self._only_released = only_released
        #: the destination is asked to commit to keeping what it stored
        self._commitment = commitment
        self._jitter = jitter
        self._lock = threading.Lock()
        self._held: dict[int, ClaimedDelivery] = {}
        #: turns in a row that came to nothing for another reason than the destination's
        self._troubles = 0
        self._log = log.bind(destination=name)

    def run(self, listener: Listener, stop: threading.Event) -> None:
        """Deliver until `stop` is set; `listener` hears of new deliveries and is woken to stop."""
        rest_until = 0.0
        while not stop.is_set():
            pause = rest_until - time.monotonic()
            if pause <= 0:  # who rests must not be the one whom the others wait for
                pause = self._circuit.wait()
            if pause > 0:
                listener.wait(pause)
                continue
            try:
                rest = self.turn(stop)
                if rest is not None:
                    rest_until = time.monotonic() + rest
                else:
                    self._sleep(listener, stop)
            except Retryable as error:  # the ledger is away, or its disk is full
                self._drop()
                rest_until = time.monotonic() + self._rest()
                self._log.warning("deliveries wait for the ledger", error=str(error))
            except Exception as error:  # noqa: BLE001 - the outermost loop of this thread, and others must go on
                rest_until = time.monotonic() + self._rest()
                self._log.exception("a delivery failed in a way that nobody foresaw; trying again")
                self._give_up(f"an error in chexnode ({type(error).__name__}), see its log")
            finally:
                self._circuit.leave()

    def turn(self, stop: threading.Event) -> float | None:
        """Send one batch of what is due; the seconds to leave the destination alone before the next. None: nothing is.

        Raises what Ledger does: then the claims that were not recorded are taken back when their lease ends.
        """
        began = time.monotonic()
        claims = self._claim()
        if not claims:
            self._circuit.idle(began)
            return None
        taken = surplus = False
        recorded: list[Future[None]] = []
        outcomes = self._destination.send([claim.result for claim in claims])
        with contextlib.closing(outcomes):
            for position, outcome in enumerate(outcomes):
                if outcome.unreached and self._workers > 1 and self._circuit.takes_of_others(began):
                    surplus = True  # it is there, but takes no more associations than it has
                    break
                recorded += self._record(claims[position], outcome)
                if outcome.verdict not in (Verdict.RETRY, Verdict.UNTRIED):
                    taken = True
                    self._let_others_know()
                _raise_what_failed(recorded)
                if stop.is_set():
                    break
        for each in recorded:
            _wait_for(each)
        self.hand_back()
        if surplus:
            self._log.warning("it takes no further association now: is its `associations` more than it allows?")
            return self._rest()
        self._troubles = 0
        return 0.0 if taken else self._circuit.vain(began)

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

    def _let_others_know(self) -> None:
        if self._circuit.took() and self._workers > 1:
            self._ledger.bell.ring(Channel.DELIVERIES)

    def _claim(self) -> list[ClaimedDelivery]:
        """What is due, as much of it as is this worker's share; a study's results are never sent by two at a time."""
        now = time.time()
        with self._circuit.claiming, self._ledger.transaction() as tx:
            if self._only_released:
                holding.hold(tx, destination=self.name, now=now)
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
            claims = deliveries.claim(
                tx,
                destination=self.name,
                now=now,
                owner=self._owner,
                lease=LEASE,
                limit=self._share(tx, now),
                whole_studies=self._workers > 1,
            )
        with self._lock:
            self._held.update({claim.delivery_id: claim for claim in claims})
        return claims

    def _share(self, tx: Tx, now: float) -> int:
        if self._workers == 1:
            return BATCH
        due = deliveries.count_due(tx, destination=self.name, now=now, most=BATCH * self._workers)
        return min(BATCH, max(SHARE, -(-due // self._workers)))

    def _record(self, claim: ClaimedDelivery, outcome: Outcome) -> "list[Future[None]]":
        """Have the outcome of a claim committed; nothing where it was handed back meanwhile: the node is stopping."""
        with self._lock:
            mine = self._held.pop(claim.delivery_id, None) is not None
        if not mine:
            return []
        entered = self._recorder.record(claim.result.result_id, partial(self._enter, claim, outcome, time.time()))
        entered.add_done_callback(partial(self._say, claim, outcome))
        return [entered]

    def _enter(self, claim: ClaimedDelivery, outcome: Outcome, now: float, tx: Tx) -> None:
        match outcome.verdict:
            case Verdict.STORED:
                ask_at = now + GATHER if self._commitment else None
                deliveries.stored(tx, claim, now, reason=outcome.detail, ask_at=ask_at)
            case Verdict.REFUSED:
                deliveries.refused(tx, claim, now, outcome.detail)
            case Verdict.UNTRIED:
                deliveries.postpone(tx, claim, now=now, reason=outcome.detail)
            case Verdict.HOLD:
                deliveries.hold_back(tx, claim, now=now, reason=outcome.detail)
            case Verdict.RETRY | Verdict.WAIT:
                not_before = now + self._wait(claim.attempts)
                deliveries.retry(tx, claim, now=now, not_before=not_before, error=outcome.detail)

    def _say(self, claim: ClaimedDelivery, outcome: Outcome, entered: "Future[None]") -> None:
        error = entered.exception()
        if isinstance(error, LostRace):
            self._log.warning("it took too long and will be sent again", delivery=claim.delivery_id, error=str(error))
        elif error is None:
            level = self._log.info if outcome.verdict is Verdict.STORED else self._log.warning
            level(outcome.verdict.value, delivery=claim.delivery_id, attempts=claim.attempts, detail=outcome.detail)

    def _sleep(self, listener: Listener, stop: threading.Event) -> None:
        """Until something may be due. Where nothing is pending at all, a look costs a reader's snapshot and no more."""
        while (idle := self._idle()) > 0 and not stop.is_set():
            if listener.wait(idle) or idle < _LONGEST_IDLE:
                return

    def _idle(self) -> float:
        """Seconds until something is due that the bell does not ring for."""
        with self._ledger.reading() as tx:
            due = deliveries.next_due(tx, self.name)
        if due is None:
            return _LONGEST_IDLE
        if due <= time.time() and self._workers > 1:
            # it is of a study that another worker is sending, who takes the rest of it next
            return LOOK_AGAIN
        return due - time.time()

    def _rest(self) -> float:
        self._troubles += 1
        return pause_after(self._troubles, self._section, self._jitter())

    def _wait(self, attempts: int) -> float:
        return wait(
            attempts,
            first=self._section.retry_first,
            longest=self._section.retry_longest,
            jitter=self._jitter(),
        )


def _wait_for(entered: "Future[None]") -> None:
    """Until an outcome is committed. Raises what kept it from that, but for LostRace: then it is sent again."""
    with contextlib.suppress(LostRace):
        entered.result()


def _raise_what_failed(recorded: "list[Future[None]]") -> None:
    """Forget those that are committed by now."""
    for each in [each for each in recorded if each.done()]:
        recorded.remove(each)
        _wait_for(each)
