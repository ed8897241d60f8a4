"""Asking one destination to commit to keeping what it stored: Storage Commitment as SCU (PS3.4 Annex J)."""

import random
import threading
import time
from collections.abc import Callable, Sequence

import structlog
from pydicom.uid import generate_uid

from dicom_node.dimse import commands
from dicom_node.dimse.association import OpenAssociation, Timeouts
from dicom_node.dimse.commitment import (
    REQUEST_STORAGE_COMMITMENT,
    CommitmentDataSet,
    CommitmentError,
    Referenced,
    ResponseStatus,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    decoded,
    encoded,
)
from dicom_node.dimse.contexts import commitment_contexts
from dicom_node.dimse.conversation import PeerRequest
from dicom_node.dimse.peers import open_peer
from dicom_node.dimse.status import is_stored
from dicom_node.errors import NothingAccepted, PeerUnavailable, Refused, Retryable
from dicom_node.ledger import Ledger, Listener, commitments, pledges
from dicom_node.ledger.commitments import Asked
from dicom_node.peer import PeerSection
from dicom_node.retry import wait
from dicom_node.sections import DeliverSection
from dicom_node.security import TLSSection

log = structlog.get_logger()

#: seconds after a result was stored at which its commitment is asked for: those of one study go into one request
GATHER = 2.0
#: results that one request is about
_MOST = 500
#: seconds that the association stays open for a report; later ones come over an association of the destination's
STAY = 5.0


class CommitmentSCU:
    """The requests to one destination. It owns no state: what is asked stands in the ledger before it is sent.

    `senders`: AE titles of peers whose images it is to keep too. What was pledged to a peer of those is asked about, so
    that the node need not keep it for ever.
    """

    def __init__(
        self,
        peer: PeerSection,
        *,
        calling: str,
        ledger: Ledger,
        section: DeliverSection,
        tls: TLSSection,
        senders: Sequence[str] = (),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = peer.name
        self._peer = peer
        self._calling = calling
        self._ledger = ledger
        self._section = section
        self._tls = tls
        self._senders = tuple(senders)
        self._jitter = jitter
        #: turns in a row in which the destination was not reached
        self._vain = 0
        self._log = log.bind(destination=peer.name)

    def run(self, listener: Listener, stop: threading.Event) -> None:
        """Ask until `stop` is set; `listener` hears of what was stored and is woken to stop."""
        while not stop.is_set():
            try:
                pause = self.turn()
            except Retryable as error:  # the ledger is away, or its disk is full
                self._log.warning("commitments wait for the ledger", error=str(error))
                pause = self._pause()
            except Exception as error:  # noqa: BLE001 - the outermost loop of this thread, and others must go on
                self._log.exception("a commitment failed in a way that nobody foresaw", error=type(error).__name__)
                pause = self._pause()
            until = time.monotonic() + pause
            while not stop.is_set() and (left := until - time.monotonic()) > 0:
                listener.wait(left)
                if not self._vain:
                    break

    def turn(self) -> float:
        """Ask about what is due; the seconds until something else is. Raises what Ledger does."""
        now = time.time()
        transaction_uid = str(generate_uid(prefix=None))
        with self._ledger.transaction() as tx:
            asked = commitments.ask(
                tx,
                destination=self.name,
                transaction_uid=transaction_uid,
                now=now,
                gather=GATHER,
                report_by=now + self._peer.commitment_timeout,
                limit=_MOST,
            )
            if asked is None and self._senders:
                asked = pledges.hand_over(
                    tx,
                    destination=self.name,
                    senders=self._senders,
                    transaction_uid=transaction_uid,
                    now=now,
                    report_by=now + self._peer.commitment_timeout,
                    limit=_MOST,
                )
        if asked is None:
            self._vain = 0
            with self._ledger.reading() as tx:
                due = (commitments.next_due(tx, self.name), pledges.next_hand_over(tx, senders=self._senders))
            return max(min((when for when in due if when is not None), default=now + 3600.0) - time.time(), 0.0)
        return self._ask(asked)

    def _ask(self, asked: Asked) -> float:
        timeouts = Timeouts(connect=self._section.connect_timeout, response=self._section.response_timeout)
        taken = False
        try:
            with open_peer(
                self._peer, calling=self._calling, contexts=commitment_contexts(), tls=self._tls, timeouts=timeouts
            ) as opened:
                status = self._request(opened, asked)
                if not is_stored(status):
                    counts = status != ResponseStatus.RESOURCE_LIMITATION
                    return self._unheard(asked, f"it answered N-ACTION with status {status:04X}", counts=counts)
                taken = True
                self._log.info("asked for commitment", instances=len(asked.references))
                self._hear(opened)
        except NothingAccepted:
            return self._unheard(asked, "it does not accept Storage Commitment", counts=True)
        except (PeerUnavailable, Refused) as error:
            if not taken:
                return self._unheard(asked, str(error), counts=False)
        self._vain = 0
        return 0.0

    def _request(self, opened: OpenAssociation, asked: Asked) -> int:
        content = CommitmentDataSet(
            transaction_uid=asked.transaction_uid,
            referenced=tuple(
                Referenced(sop_class_uid=each.sop_class_uid, sop_instance_uid=each.sop_instance_uid)
                for each in asked.references
            ),
        )
        return opened.exchange(
            StorageCommitmentPushModel, _action_request, encoded(content), answer=commands.N_ACTION_RSP
        )

    def _hear(self, opened: OpenAssociation) -> None:
        """Take the report, if it comes over this association (PS3.4 J.3.3)."""
        request = opened.next_request(STAY)
        if request is not None:
            opened.respond(request, commands.event_report_response(request.elements, self._take(request)))

    def _take(self, request: PeerRequest) -> ResponseStatus:
        if commands.number(request.elements, 0x0100) != commands.N_EVENT_REPORT_RQ:
            return ResponseStatus.NO_SUCH_EVENT_TYPE
        try:
            content = decoded(request.data_set, request.transfer_syntax)
        except CommitmentError as error:
            self._log.warning("a report that makes no sense", why=str(error))
            return ResponseStatus.MISTYPED_ARGUMENT
        try:
            with self._ledger.transaction() as tx:
                known = commitments.answer(
                    tx,
                    destinations=[self.name],
                    transaction_uid=content.transaction_uid,
                    committed=[each.sop_instance_uid for each in content.referenced],
                    failures={each.sop_instance_uid: each.failure_reason for each in content.failed},
                    now=time.time(),
                )
        except Retryable as error:
            self._log.warning("a report waits for the ledger", error=str(error))
            return ResponseStatus.RESOURCE_LIMITATION
        self._log.info("the destination reports", committed=len(content.referenced), failed=len(content.failed))
        return ResponseStatus.SUCCESS if known else ResponseStatus.INVALID_ARGUMENT_VALUE

    def _unheard(self, asked: Asked, error: str, *, counts: bool) -> float:
        pause = self._pause()
        now = time.time()
        with self._ledger.transaction() as tx:
            commitments.unheard(tx, asked, now=now, not_before=now + pause, error=error, counts=counts)
        self._log.warning("could not ask for commitment", error=error)
        return pause

    def _pause(self) -> float:
        self._vain += 1
        section = self._section
        return wait(self._vain, first=section.retry_first, longest=section.retry_longest, jitter=self._jitter())


def _action_request(message_id: int) -> bytes:
    return commands.action_request(
        message_id=message_id,
        sop_class_uid=StorageCommitmentPushModel,
        sop_instance_uid=StorageCommitmentPushModelInstance,
        action_type=REQUEST_STORAGE_COMMITMENT,
    )
