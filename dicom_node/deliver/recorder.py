"""What destinations answered, on its way into the ledger: at once, and beside the sending, not between two objects.

A commit waits for the disk, for as long as an object takes on the wire. So the next object goes out meanwhile, and what
is answered while a commit is under way shares the next one. A process that is killed in between has sent what its
ledger does not know of, as it always may: it sends the same bytes under the same UID again (law 5).
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from dicom_node.errors import LostRace, NodeError
from dicom_node.ledger import Ledger, Tx

#: outcomes that share one transaction: PostgreSQL holds locks for each
_MOST = 64
#: seconds that what waits may take to be committed once the role ends; what is not is sent again
_CLOSES = 5.0


@dataclass(frozen=True, kw_only=True)
class _Entry:
    #: rows are locked in this order, as a recall locks them
    result_id: int
    #: raises LostRace before it has written anything
    enter: Callable[[Tx], None]
    #: settled once it is committed, or known not to be
    settled: Future[None] = field(default_factory=Future)


class Recorder:
    """Commits outcomes in a thread of its own, for all workers of the role; a context manager."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[_Entry] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def record(self, result_id: int, enter: Callable[[Tx], None]) -> "Future[None]":
        """Have `enter` write to the ledger; the future is done once that is committed, or holds why it is not."""
        entry = _Entry(result_id=result_id, enter=enter)
        with self._changed:
            self._waiting.append(entry)
            self._changed.notify()
        return entry.settled

    def close(self, seconds: float) -> None:
        """Commit what waits, within so many seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            if not batch:
                return
            self._commit(sorted(batch, key=lambda entry: entry.result_id))

    def _commit(self, batch: Sequence[_Entry]) -> None:
        lost: dict[int, LostRace] = {}
        try:
            with self._ledger.transaction() as tx:
                for number, entry in enumerate(batch):
                    try:
                        entry.enter(tx)
                    except LostRace as error:
                        lost[number] = error
        except NodeError as error:  # the ledger's, so everybody's
            for entry in batch:
                entry.settled.set_exception(error)
        except Exception as error:  # noqa: BLE001 - one may be at fault, and the others must not suffer for it
            if len(batch) == 1:
                batch[0].settled.set_exception(error)
            else:
                for entry in batch:
                    self._commit([entry])
        else:
            for number, entry in enumerate(batch):
                if number in lost:
                    entry.settled.set_exception(lost[number])
                else:
                    entry.settled.set_result(None)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close(_CLOSES)
