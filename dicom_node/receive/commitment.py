"""Storage Commitment where peers call: their requests (N-ACTION), and their reports on ours (N-EVENT-REPORT)."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from pynetdicom import evt

from dicom_node.config import PeerSection
from dicom_node.dimse.commitment import (
    FAILURES_EXIST,
    REQUEST_STORAGE_COMMITMENT,
    SUCCESSFUL,
    CommitmentDataSet,
    CommitmentError,
    ResponseStatus,
    StorageCommitmentPushModelInstance,
    decoded,
)
from dicom_node.errors import Retryable
from dicom_node.ledger import Ledger, commitments, pledges
from dicom_node.ledger.commitments import Reference

_log = structlog.get_logger(__name__)


class CommitmentSCP:
    """Enters what peers ask and report; answers once that is durable (law 1). What is owed, the deliver role sends."""

    def __init__(self, ledger: Ledger, peers: Sequence[PeerSection]) -> None:
        self._ledger = ledger
        self._peers = tuple(peers)

    def renew(self, peers: Sequence[PeerSection]) -> None:
        """From now on these are the peers."""
        self._peers = tuple(peers)

    @property
    def handlers(self) -> list[tuple[Any, Callable[[Any], tuple[int, None]]]]:
        """For the server."""
        return [(evt.EVT_N_ACTION, self._asked), (evt.EVT_N_EVENT_REPORT, self._reported)]

    def _asked(self, event: Any) -> tuple[int, None]:
        request = event.request
        calling = _calling(event)
        if request.RequestedSOPInstanceUID != StorageCommitmentPushModelInstance:
            return ResponseStatus.NO_SUCH_SOP_INSTANCE, None
        if request.ActionTypeID != REQUEST_STORAGE_COMMITMENT:
            return ResponseStatus.NO_SUCH_ACTION, None
        asking = [peer.name for peer in self._peers if peer.asks_commitment and peer.ae_title == calling]
        if not asking:
            _log.warning("a peer asked for commitment that may not: set asks_commitment for it", calling=calling)
            return ResponseStatus.NOT_AUTHORISED, None
        return self._answered(request.ActionInformation, event, lambda content: self._enter(asking[0], content)), None

    def _reported(self, event: Any) -> tuple[int, None]:
        request = event.request
        calling = _calling(event)
        if request.AffectedSOPInstanceUID != StorageCommitmentPushModelInstance:
            return ResponseStatus.NO_SUCH_SOP_INSTANCE, None
        if request.EventTypeID not in (SUCCESSFUL, FAILURES_EXIST):
            return ResponseStatus.NO_SUCH_EVENT_TYPE, None
        asked = [peer.name for peer in self._peers if peer.commitment and peer.ae_title == calling]
        return self._answered(request.EventInformation, event, lambda content: self._take(asked, content)), None

    def _answered(self, data: Any, event: Any, act: Callable[[CommitmentDataSet], ResponseStatus]) -> ResponseStatus:
        """What `act` makes of the data set; another status where there is none, or the ledger is away."""
        try:
            content = decoded(b"" if data is None else data.getvalue(), event.context.transfer_syntax)
        except CommitmentError as error:
            _log.warning("a message of Storage Commitment that makes no sense", calling=_calling(event), why=str(error))
            return ResponseStatus.MISTYPED_ARGUMENT
        try:
            return act(content)
        except Retryable as error:
            _log.error(
                "a message of Storage Commitment waits for the ledger: its sender must try again", why=str(error)
            )
            return ResponseStatus.RESOURCE_LIMITATION

    def _enter(self, peer: str, content: CommitmentDataSet) -> ResponseStatus:
        if not content.referenced:
            return ResponseStatus.INVALID_ARGUMENT_VALUE
        references = [
            Reference(sop_class_uid=each.sop_class_uid, sop_instance_uid=each.sop_instance_uid)
            for each in content.referenced
        ]
        with self._ledger.transaction() as tx:
            entered = pledges.enter(
                tx, peer=peer, transaction_uid=content.transaction_uid, references=references, now=time.time()
            )
        if not entered:
            _log.warning("a Transaction UID came again for other instances", peer=peer)
            return ResponseStatus.DUPLICATE_INVOCATION
        _log.info("a peer asks for commitment", peer=peer, instances=len(references))
        return ResponseStatus.SUCCESS

    def _take(self, destinations: Sequence[str], content: CommitmentDataSet) -> ResponseStatus:
        now = time.time()
        with self._ledger.transaction() as tx:
            known = commitments.answer(
                tx,
                destinations=destinations,
                transaction_uid=content.transaction_uid,
                committed=[each.sop_instance_uid for each in content.referenced],
                failures={each.sop_instance_uid: each.failure_reason for each in content.failed},
                now=now,
            )
        if not known:
            _log.warning("a report on a commitment that was not asked for", destinations=list(destinations))
            return ResponseStatus.INVALID_ARGUMENT_VALUE
        _log.info("a destination reports", committed=len(content.referenced), failed=len(content.failed))
        return ResponseStatus.SUCCESS


def _calling(event: Any) -> str:
    return str(event.assoc.requestor.primitive.calling_ae_title).strip()
