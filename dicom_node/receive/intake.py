"""Taking one instance in, by whatever transport: law 1, and the statuses that say what became of it.

A data set is written to the spool as it comes; its head is looked at as soon as enough of it is there. Success is
answered only after the bytes are durable, their name is, and the row that names them is committed, in that order.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

import structlog

from dicom_node.dimse.part10 import file_meta
from dicom_node.dimse.status import Status
from dicom_node.domain import Arrival, Head
from dicom_node.encode.marks import is_result
from dicom_node.errors import NodeError
from dicom_node.ledger import Ledger, Tx, instances, named, results
from dicom_node.ledger.instances import Outcome
from dicom_node.logs import hashed
from dicom_node.precedence import PrioritySection
from dicom_node.receive.commits import Commits, NotRecorded
from dicom_node.receive.head import LONGEST_HEAD, HeadError, is_uid, read_head
from dicom_node.receive.priority import priority_of
from dicom_node.spool import Spool

_log = structlog.get_logger(__name__)

#: bytes after which the head is looked at for the first time: nearly always it is whole by then
_FIRST_LOOK = 8 << 10

#: what an instance was whose bytes the spool had lost: these take their place
REFILLED = "refilled"


class Intake:
    """The way into spool and ledger; knows no transport. Its methods may be called from many threads."""

    def __init__(
        self,
        spool: Spool,
        ledger: Ledger,
        *,
        parameters: str,
        low_watermark: int,
        max_object_size: int,
        clock: Callable[[], float] = time.time,
        parameters_by_source: Mapping[str, str] | None = None,
        priority: PrioritySection | None = None,
    ) -> None:
        """`parameters` is the digest that an instance's jobs are queued with; sizes in bytes.

        `parameters_by_source`: those of calling AE titles that have others. `priority`: whose images go first; None:
        nobody's by a rule.
        """
        self.spool = spool
        self.max_object_size = max_object_size
        self._ledger = ledger
        self._commits = Commits(ledger, self._enter)
        self._parameters = parameters
        self._by_source = dict(parameters_by_source or {})
        self._priority = priority or PrioritySection()
        self._low_watermark = low_watermark
        self._clock = clock

    def renew(self, *, parameters: str, parameters_by_source: Mapping[str, str], priority: PrioritySection) -> None:
        """What comes from now on is queued with these."""
        self._parameters, self._by_source = parameters, dict(parameters_by_source)
        self._priority = priority

    def has_room(self) -> bool:
        """Whether the disk is above the low watermark, and the ledger needed nothing of its ballast."""
        if self._ledger.ballast is not None and self._ledger.ballast.is_dropped:
            return self._ledger.ballast.lay(beside=self._low_watermark)
        return self.spool.free_bytes() >= self._low_watermark

    def lay_ballast(self) -> None:
        """Take the room that the ledger gets back on a full disk, where there is some."""
        if self._ledger.ballast is not None:
            self._ledger.ballast.lay(beside=self._low_watermark)

    def begin(
        self,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        calling_ae_title: str,
        priority: int = 0,
    ) -> "IncomingInstance":
        """Place for one data set of which the sender claims these UIDs; `priority` as DIMSE has it."""
        return IncomingInstance(
            self,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            calling_ae_title=calling_ae_title,
            priority=priority,
        )

    def record(
        self,
        *,
        head: Head,
        transfer_syntax_uid: str,
        digest: str,
        size: int,
        calling_ae_title: str,
        spool_key: str,
        priority: int,
    ) -> str:
        """Enter what is durable in the spool; what it was (an Outcome, `own_result`, or REFILLED).

        `priority` as DIMSE has it: what the site's rules and the head say goes before it.
        Committed on return, together with whatever else was waiting (`commits`). Raises OutOfRoom, StorageFault,
        LedgerUnavailable.
        """
        arrival = Arrival(
            head=head,
            transfer_syntax_uid=transfer_syntax_uid,
            digest=digest,
            size=size,
            calling_ae_title=calling_ae_title,
            spool_key=spool_key,
            received_at=self._clock(),
            priority=priority_of(self._priority, head, calling_ae_title=calling_ae_title, dimse=priority),
        )
        try:
            return self._commits.record(arrival)
        except NotRecorded as error:
            # where a commit may have succeeded unheard, the bytes stay: without a row they are swept as an orphan
            if not error.in_doubt:
                self.spool.remove(spool_key)
            raise error.why from None

    def _enter(self, tx: Tx, arrival: Arrival) -> str:
        now = arrival.received_at
        if results.is_ours(tx, arrival.head.sop_instance_uid):
            return "own_result"
        parameters = self._by_source.get(arrival.calling_ae_title, self._parameters)
        recorded = instances.record(tx, arrival, parameters=parameters, now=now, level=self._priority.level)
        if recorded.spool_key == arrival.spool_key:
            return Outcome.NEW.value  # by a commit that was thought to have failed
        if recorded.spool_key and not self.spool.path(recorded.spool_key).exists():
            named.refill(tx, recorded.instance_id, arrival.spool_key)
            return REFILLED
        return recorded.outcome.value


class IncomingInstance:
    """One data set on its way in. Nothing raises: what went wrong is the answer of finish()."""

    def __init__(
        self,
        intake: Intake,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        calling_ae_title: str,
        priority: int,
    ) -> None:
        self._intake = intake
        self._sop_class_uid = sop_class_uid
        self._sop_instance_uid = sop_instance_uid
        self._transfer_syntax_uid = transfer_syntax_uid
        self._calling_ae_title = calling_ae_title
        self._priority = priority
        self._cleanup = contextlib.ExitStack()
        self._answer: tuple[Status, str] | None = None
        self._head: Head | None = None
        self._look_at: bytearray = bytearray()
        self._next_look = _FIRST_LOOK
        self._size = 0
        if not (is_uid(sop_class_uid) and is_uid(sop_instance_uid)):
            self._settle(Status.CANNOT_UNDERSTAND, "an Affected SOP Class or Instance UID that is none")
        elif not intake.has_room():
            self._settle(Status.OUT_OF_RESOURCES, "the disk is at its low watermark")
        else:
            with self._faults():
                self._part = self._cleanup.enter_context(intake.spool.new())
                self._part.write(
                    file_meta(
                        sop_class_uid=sop_class_uid,
                        sop_instance_uid=sop_instance_uid,
                        transfer_syntax_uid=transfer_syntax_uid,
                        calling_ae_title=calling_ae_title,
                    )
                )
                self._part.start_digest()

    @property
    def head(self) -> Head | None:
        """Whose it is, once that was read."""
        return self._head

    @property
    def became(self) -> str:
        """After finish(): what became of it (an Outcome, or `own_result`), or why it was not kept."""
        return "" if self._answer is None else self._answer[1]

    def write(self, *pieces: bytes | memoryview) -> None:
        """The next bytes of the data set, as received. They are dropped where the answer is settled already."""
        if self._answer is not None:
            return
        self._size += sum(map(len, pieces))
        if self._size > self._intake.max_object_size:
            self._settle(Status.OUT_OF_RESOURCES, f"more than {self._intake.max_object_size} bytes")
            return
        with self._faults():
            self._part.write(*pieces)
        for piece in pieces:
            if self._head is not None or self._answer is not None or len(self._look_at) >= LONGEST_HEAD:
                break
            self._look_at += piece[: LONGEST_HEAD - len(self._look_at)]
            if len(self._look_at) >= self._next_look:
                self._next_look = LONGEST_HEAD
                with contextlib.suppress(HeadError):  # perhaps only not whole: finish() looks again
                    self._look()

    def finish(self) -> tuple[Status, str]:
        """All bytes are here: keep them, or don't; the status and a comment of 64 characters at most."""
        try:
            if self._answer is None and self._head is None:
                self._look()
        except HeadError as error:
            self._settle(Status.CANNOT_UNDERSTAND, str(error))
        if self._answer is None and self._head is not None:
            with self._faults():
                self._keep(self._head)
        self.abandon()
        if self._answer is None:
            raise AssertionError("an instance was finished twice")
        status, comment = self._answer
        say = _log.info if status is Status.SUCCESS else _log.warning
        say(
            "instance answered",
            status=f"{status:04X}",
            what=comment,
            instance=hashed(self._sop_instance_uid),
            bytes=self._size,
            calling=self._calling_ae_title,
        )
        return status, "" if status is Status.SUCCESS else comment

    def abandon(self) -> None:
        """No more will come of it: the part file goes."""
        with self._faults():
            self._cleanup.close()

    def _look(self) -> None:
        head = read_head(self._look_at, self._transfer_syntax_uid)
        self._look_at = bytearray()
        if head.sop_instance_uid != self._sop_instance_uid:
            self._settle(Status.DOES_NOT_MATCH_SOP_CLASS, "SOP Instance UID differs from the command's")
        elif head.sop_class_uid != self._sop_class_uid:
            self._settle(Status.DOES_NOT_MATCH_SOP_CLASS, "SOP Class UID differs from the command's")
        elif is_result(head.manufacturer, head.manufacturer_model_name):
            self._settle(Status.SUCCESS, "own_result")
        self._head = head

    def _keep(self, head: Head) -> None:
        """Law 1. Raises what spool and ledger raise."""
        digest, size = self._part.digest, self._part.digested
        key = self._part.keep()
        was = self._intake.record(
            head=head,
            transfer_syntax_uid=self._transfer_syntax_uid,
            digest=digest,
            size=size,
            calling_ae_title=self._calling_ae_title,
            spool_key=key,
            priority=self._priority,
        )
        self._answer = (Status.SUCCESS, was)
        if was not in (Outcome.NEW, Outcome.NEW_VERSION, REFILLED):
            self._intake.spool.remove(key)

    def _settle(self, status: Status, comment: str) -> None:
        """The answer is known before the data set is whole; what was written of it goes."""
        self._answer = (status, comment)
        self._look_at = bytearray()
        self.abandon()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what disk and ledger say into an answer, unless there is one: success stays success."""
        try:
            yield
        except NodeError as error:
            _log.error("an instance could not be kept", why=str(error), answered=self._answer is not None)
            if self._answer is None:
                self._settle(Status.OUT_OF_RESOURCES, type(error).__name__)
