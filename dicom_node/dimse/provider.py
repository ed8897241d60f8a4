"""pynetdicom's upper layer without its thread: what it would queue and poll for, this does at once.

Its own acceptor runs two polling threads an association, has no deadline inside a PDU and no cap on one. What is
leant on here and in acceptor.py is held by tests/dimse/test_pynetdicom_contract.py; the version is pinned.
"""

import queue
import threading
import time
from typing import Any

from pynetdicom import AE, _config
from pynetdicom._globals import MODE_ACCEPTOR, MODE_REQUESTOR
from pynetdicom.association import Association
from pynetdicom.pdu import (
    A_ABORT_RQ,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    A_RELEASE_RP,
    A_RELEASE_RQ,
    P_DATA_TF,
)
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT, A_RELEASE, P_DATA
from pynetdicom.timer import Timer

from dicom_node.dimse.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.dimse.wire import PDUType, Wire

# its own logging of every PDU costs time, and says what a log of ours may not
_config.LOG_HANDLER_LEVEL = "none"


class BlockingProvider:
    """What ACSE, DIMSE and Association use of pynetdicom's DULServiceProvider."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.socket: Any = None
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


class RequestingProvider(BlockingProvider):
    """The same for a requestor, whose ACSE waits for the answer to its request."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire)
        # ACSE waits for the transport through these two; it is connected already
        self.socket = self
        self._ready = threading.Event()
        self._ready.set()
        self._is_connected = True

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        """The answer to the A-ASSOCIATE-RQ, within `timeout` seconds. Raises WireError."""
        del wait
        received = self._wire.read_negotiation(frozenset(_ANSWERS), time.monotonic() + (timeout or 0))
        pdu = _ANSWERS[PDUType(received[0])]()
        pdu.decode(received)
        return pdu.to_primitive()

    def kill_dul(self) -> None:
        """There is no thread to end."""


def application_entity(ae_title: str) -> AE:
    """pynetdicom's AE, which says who we are."""
    ae = AE(ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return ae


def accepting_association(ae: AE, wire: Wire) -> Any:
    """A pynetdicom Association that talks through `wire`; never started as the thread that it could be."""
    association = Association(ae, MODE_ACCEPTOR)
    association.dul = BlockingProvider(wire)
    association.acceptor.ae_title = ae.ae_title
    association.acceptor.implementation_class_uid = ae.implementation_class_uid
    association.acceptor.implementation_version_name = ae.implementation_version_name
    return association


def requesting_association(ae: AE, wire: Wire) -> Any:
    """The same for the side that asks."""
    association = Association(ae, MODE_REQUESTOR)
    association.dul = RequestingProvider(wire)
    association.requestor.ae_title = ae.ae_title
    association.requestor.implementation_class_uid = ae.implementation_class_uid
    association.requestor.implementation_version_name = ae.implementation_version_name
    return association


_ANSWERS = {
    PDUType.A_ASSOCIATE_AC: A_ASSOCIATE_AC,
    PDUType.A_ASSOCIATE_RJ: A_ASSOCIATE_RJ,
    PDUType.A_ABORT: A_ABORT_RQ,
}


def _pdu_of(primitive: Any) -> Any:
    if isinstance(primitive, P_DATA):
        return P_DATA_TF()
    if isinstance(primitive, A_ASSOCIATE):
        if primitive.result is None:
            return A_ASSOCIATE_RQ()
        return A_ASSOCIATE_AC() if primitive.result == 0 else A_ASSOCIATE_RJ()
    if isinstance(primitive, A_RELEASE):
        return A_RELEASE_RQ() if primitive.result is None else A_RELEASE_RP()
    if isinstance(primitive, (A_ABORT, A_P_ABORT)):
        return A_ABORT_RQ()
    raise TypeError(f"there is no PDU for {type(primitive).__name__}")
