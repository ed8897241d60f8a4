"""pynetdicom's upper layer without its thread: what it would queue and poll for, this does at once.

Its own acceptor runs two polling threads an association, has no deadline inside a PDU and no cap on one. What is
leant on here and in acceptor.py is held by tests/dimse/test_pynetdicom_contract.py; the version is pinned.
"""

import queue
from typing import Any

from pynetdicom import AE, _config
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_RELEASE_RP, P_DATA_TF
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT, A_RELEASE, P_DATA
from pynetdicom.timer import Timer

from dicom_node.dimse.wire import Wire

# its own logging of every PDU costs time, and says what a log of ours may not
_config.LOG_HANDLER_LEVEL = "none"


class BlockingProvider:
    """What ACSE, DIMSE and Association use of pynetdicom's DULServiceProvider as an acceptor."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.socket = None
        self.event_queue: queue.Queue[str] = queue.Queue()
        self.artim_timer = Timer(None)
        self._idle_timer = Timer(None)

    def send_pdu(self, primitive: Any) -> None:
        """Encode a service primitive and send it, now. Raises WireError."""
        pdu = _pdu_of(primitive)
        pdu.from_primitive(primitive)
        self._wire.send(pdu.encode())

    def is_alive(self) -> bool:
        """There is no thread to wait for."""
        return False


def accepting_association(ae: AE, wire: Wire) -> Any:
    """A pynetdicom Association that talks through `wire`; never started as the thread that it could be."""
    association = Association(ae, MODE_ACCEPTOR)
    association.dul = BlockingProvider(wire)
    return association


def _pdu_of(primitive: Any) -> Any:
    if isinstance(primitive, P_DATA):
        return P_DATA_TF()
    if isinstance(primitive, A_ASSOCIATE):
        return A_ASSOCIATE_AC() if primitive.result == 0 else A_ASSOCIATE_RJ()
    if isinstance(primitive, A_RELEASE):
        return A_RELEASE_RP()
    if isinstance(primitive, (A_ABORT, A_P_ABORT)):
        return A_ABORT_RQ()
    raise TypeError(f"an acceptor never sends {type(primitive).__name__}")
