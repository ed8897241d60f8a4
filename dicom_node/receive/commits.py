"""Group commits: what waits to be recorded while the disk is busy with a commit shares the next one.

Whoever comes while nobody commits does so at once, alone: nothing is ever held back in the hope of company. Each is
answered after the commit that its row is in, so law 1 stands as it does for one.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dicom_node.domain import Arrival
from dicom_node.errors import LedgerUnavailable, NodeError, OutOfRoom, StorageFault
from dicom_node.ledger import Ledger, Tx

#: arrivals that share one transaction: PostgreSQL holds a lock for each
_MOST = 64
#: seconds that one waits for the commits before its own; the ledger gives up each of them sooner
_LONGEST_WAIT = 90.0

#: enters one arrival in a transaction; what it was
Enters = Callable[[Tx, Arrival], str]


class NotRecorded(Exception):
    """Carries what the ledger said."""

    def __init__(self, why: Exception, *, in_doubt: bool) -> None:
        """`in_doubt`: a row may name the bytes all the same, since a commit failed that may have come through."""
        super().__init__(str(why))
        self.why = why
        self.in_doubt = in_doubt


@dataclass(kw_only=True, eq=False)
class _Waiting:
    """An arrival on its way into the ledger; settled once it has an outcome or an error."""

    arrival: Arrival
    outcome: str | None = None
    error: Exception | None = None
    in_doubt: bool = False

    @property
    def settled(self) -> bool:
        return self.outcome is not None or self.error is not None


class Commits:
    """The one way of arrivals into a ledger. Its methods may be called from many threads."""

    def __init__(self, ledger: Ledger, enters: Enters) -> None:
        """`enters` may be called again for an arrival: where the transaction that it was entered in came to nothing."""
        self._ledger = ledger
        self._enters = enters
        self._lock = threading.Lock()
        self._queue: list[_Waiting] = []
        self._turn = threading.Lock()

    def record(self, arrival: Arrival) -> str:
        """Enter an arrival whose bytes are durable; what it was, once that is committed. Raises NotRecorded."""
        mine = _Waiting(arrival=arrival)
        with self._lock:
            self._queue.append(mine)
        if self._turn.acquire(timeout=_LONGEST_WAIT):
            try:
                while not mine.settled:  # nobody before took it along
                    self._commit(self._next())
            finally:
                self._turn.release()
        else:
            self._give_up(mine)
        if mine.outcome is not None:
            return mine.outcome
        assert mine.error is not None
        raise NotRecorded(mine.error, in_doubt=mine.in_doubt) from mine.error

    def _next(self) -> list[_Waiting]:
        """Those who waited longest, in an order that all processes share, since they lock rows in it."""
        with self._lock:
            batch, self._queue = self._queue[:_MOST], self._queue[_MOST:]
        return sorted(batch, key=_order)

    def _give_up(self, mine: _Waiting) -> None:
        with self._lock:
            if mine in self._queue:
                self._queue.remove(mine)
            else:  # in a transaction whose end is not known
                mine.in_doubt = True
        if not mine.settled:
            mine.error = LedgerUnavailable(
                f"the commits before an instance took {_LONGEST_WAIT:g} s: is the disk of the ledger too slow?"
            )

    def _commit(self, batch: Sequence[_Waiting]) -> None:
        """Settle every one of `batch`."""
        try:
            self._together(batch)
        except (OutOfRoom, StorageFault) as error:  # the disk's, so everybody's: a failed flush is not tried again
            _settle(batch, error)
        except Exception as error:  # noqa: BLE001 - one may be at fault: it is raised in the thread of that one alone
            self._one_by_one(batch) if len(batch) > 1 else _settle(batch, error)
        finally:
            _settle(batch, LedgerUnavailable("the thread that recorded an instance ended"))

    def _one_by_one(self, batch: Sequence[_Waiting]) -> None:
        for number, each in enumerate(batch):
            try:
                self._together([each])
            except NodeError as error:  # the ledger's, so everybody's who is left
                _settle(batch[number:], error)
                return
            except Exception as error:  # noqa: BLE001 - the same
                each.error = error

    def _together(self, batch: Sequence[_Waiting]) -> None:
        """One transaction; the bell rings once, for all. Raises what entering and the ledger raise."""
        outcomes: list[str] = []
        try:
            with self._ledger.transaction() as tx:
                outcomes += [self._enters(tx, each.arrival) for each in batch]
        except OutOfRoom:
            raise  # rolled back, whatever it was about
        except NodeError:
            for each in batch:
                each.in_doubt = each.in_doubt or bool(outcomes)
            raise
        for each, outcome in zip(batch, outcomes, strict=True):
            each.outcome = outcome


def _order(waiting: _Waiting) -> tuple[str, str]:
    head = waiting.arrival.head
    return head.study_instance_uid, head.sop_instance_uid


def _settle(batch: Sequence[_Waiting], error: Exception) -> None:
    for each in batch:
        if not each.settled:
            each.error = error
