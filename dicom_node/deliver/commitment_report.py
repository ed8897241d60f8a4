"""Reporting to one peer that asked for commitment: what the node pledges to keep, or an archive keeps (PS3.4 J.3.3)."""

import hashlib
import random
import threading
import time
from collections.abc import Callable

import structlog

from dicom_node.dimse import commands
from dicom_node.dimse.association import Timeouts
from dicom_node.dimse.commitment import (
    CommitmentDataSet,
    FailureReason,
    Referenced,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    encoded,
)
from dicom_node.dimse.contexts import commitment_contexts
from dicom_node.dimse.part10 import LONGEST_META, read_file_meta
from dicom_node.dimse.peers import open_peer
from dicom_node.dimse.status import is_stored
from dicom_node.errors import PeerUnavailable, Refused, Retryable, Unreadable
from dicom_node.ledger import Ledger, Listener, pledges
from dicom_node.ledger.commitments import Reference
from dicom_node.ledger.pledges import Item, Owed
from dicom_node.ledger.rows import InstanceRow
from dicom_node.peer import PeerSection
from dicom_node.retry import wait
from dicom_node.sections import DeliverSection
from dicom_node.security import TLSSection
from dicom_node.spool import Spool

log = structlog.get_logger()

#: seconds after which a peer that does not take its report gets none: it keeps its copy then
GIVE_UP_AFTER = 3 * 86400.0


class CommitmentReports:
    """The reports to one peer. A pledge is made of bytes that were read back, and stands before it is told."""

    def __init__(
        self,
        peer: PeerSection,
        *,
        calling: str,
        ledger: Ledger,
        spool: Spool,
        section: DeliverSection,
        tls: TLSSection,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = peer.name
        self._peer = peer
        self._calling = calling
        self._ledger = ledger
        self._spool = spool
        self._section = section
        self._tls = tls
        self._jitter = jitter
        self._log = log.bind(peer=peer.name)

    def run(self, listener: Listener, stop: threading.Event) -> None:
        """Report until `stop` is set; `listener` hears of requests and is woken to stop."""
        while not stop.is_set():
            try:
                pause = self.turn(stop)
            except Retryable as error:  # the ledger is away, or a disk is
                self._log.warning("a report on a commitment waits", error=str(error))
                pause = self._section.retry_first
            except Exception as error:  # noqa: BLE001 - the outermost loop of this thread, and others must go on
                self._log.exception("a report failed in a way that nobody foresaw", error=type(error).__name__)
                pause = self._section.retry_longest
            if pause > 0:
                listener.wait(pause)

    def turn(self, stop: threading.Event) -> float:
        """Send the report that is due; the seconds until another is. Raises what Ledger and Spool do."""
        now = time.time()
        with self._ledger.reading() as tx:
            owed = pledges.due(tx, peer=self.name, now=now)
            due = pledges.next_due(tx, peer=self.name)
        if owed is None:
            return 3600.0 if due is None else max(due - now, 0.0)
        reasons = {item.item_id: item.failure_reason for item in owed.items}
        for item in owed.items:
            if stop.is_set():
                return 0.0
            if item.failure_reason is None:
                reasons[item.item_id] = self._decide(item)
        self._report(owed, {key: reason or 0 for key, reason in reasons.items()})
        return 0.0

    def _decide(self, item: Item) -> int:
        """The Failure Reason of one instance, 0 once it is pledged, or where an archive has committed to it."""
        uid = item.reference.sop_instance_uid
        with self._ledger.transaction() as tx:
            if pledges.archived(tx, item.reference):
                pledges.decide(tx, {item.item_id: 0})
                return 0
            held = pledges.pledge(tx, uid)
        reason = self._judge(item.reference, held)
        with self._ledger.transaction() as tx:
            pledges.decide(tx, {item.item_id: reason})
            if reason:
                pledges.take_back(tx, uid)
        return reason

    def _judge(self, reference: Reference, held: list[InstanceRow]) -> int:
        if not held:
            return FailureReason.NO_SUCH_OBJECT_INSTANCE
        if any(row.sop_class_uid != reference.sop_class_uid for row in held):
            return FailureReason.CLASS_INSTANCE_CONFLICT
        if not all(self._is_intact(row) for row in held):
            self._log.error("bytes in the spool are damaged: their sender is told to keep its copy")
            return FailureReason.NO_SUCH_OBJECT_INSTANCE
        return 0

    def _is_intact(self, row: InstanceRow) -> bool:
        """Whether what the spool holds is what was received; read back, not believed."""
        try:
            with self._spool.path(row.spool_key).open("rb") as file:
                file.seek(read_file_meta(file.read(LONGEST_META)).data_set_offset)
                return hashlib.file_digest(file, "sha256").hexdigest() == row.digest
        except (OSError, Unreadable):
            return False

    def _report(self, owed: Owed, reasons: dict[int, int]) -> None:
        content = _content(owed, reasons)
        timeouts = Timeouts(connect=self._section.connect_timeout, response=self._section.response_timeout)
        try:
            with open_peer(
                self._peer,
                calling=self._calling,
                contexts=commitment_contexts(),
                provides=[StorageCommitmentPushModel],
                tls=self._tls,
                timeouts=timeouts,
            ) as opened:
                status = opened.exchange(
                    StorageCommitmentPushModel,
                    lambda message_id: commands.event_report_request(
                        message_id=message_id,
                        sop_class_uid=StorageCommitmentPushModel,
                        sop_instance_uid=StorageCommitmentPushModelInstance,
                        event_type=content.event_type,
                    ),
                    encoded(content),
                    answer=commands.N_EVENT_REPORT_RSP,
                )
        except (PeerUnavailable, Refused) as error:
            self._failed(owed, str(error))
            return
        if not is_stored(status):
            self._failed(owed, f"it answered N-EVENT-REPORT with status {status:04X}")
            return
        with self._ledger.transaction() as tx:
            pledges.reported(tx, owed, now=time.time())
        self._log.info("reported on a commitment", pledged=len(content.referenced), failed=len(content.failed))

    def _failed(self, owed: Owed, error: str) -> None:
        now = time.time()
        pause = wait(
            owed.attempts + 1,
            first=self._section.retry_first,
            longest=self._section.retry_longest,
            jitter=self._jitter(),
        )
        with self._ledger.transaction() as tx:
            if now - owed.created_at > GIVE_UP_AFTER:
                pledges.given_up(tx, owed, now=now, error=error)
            else:
                pledges.postpone(tx, owed, not_before=now + pause, error=error)
        self._log.warning("a report on a commitment did not arrive", error=error, attempts=owed.attempts + 1)


def _content(owed: Owed, reasons: dict[int, int]) -> CommitmentDataSet:
    told = [
        Referenced(
            sop_class_uid=item.reference.sop_class_uid,
            sop_instance_uid=item.reference.sop_instance_uid,
            failure_reason=reasons[item.item_id],
        )
        for item in owed.items
    ]
    return CommitmentDataSet(
        transaction_uid=owed.transaction_uid,
        referenced=tuple(each for each in told if each.failure_reason == 0),
        failed=tuple(each for each in told if each.failure_reason != 0),
    )
