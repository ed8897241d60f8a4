"""One association as its acceptor, in one thread: pynetdicom negotiates and serves, C-STORE and the bytes are ours."""

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pynetdicom import AE
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from dicom_node.dimse import commands
from dicom_node.dimse.commands import CommandError, StoreRequest
from dicom_node.dimse.pdv import PDV, PDVReader
from dicom_node.dimse.provider import accepting_association
from dicom_node.dimse.requests import AssociationRequest, Judges, UserIdentity
from dicom_node.dimse.status import Status
from dicom_node.dimse.wire import INVALID_PARAMETER, UNEXPECTED_PDU, PDUType, Wire, WireError

#: bytes of a command set, and the fragments that it may come in
_LONGEST_COMMAND = 16 << 10
_MOST_COMMAND_FRAGMENTS = 64
#: bytes of a data set that is not an object to store (N-ACTION, N-EVENT-REPORT)
_LONGEST_OTHER_DATA_SET = 1 << 20
#: User Identity Type of username and passcode (PS3.7 Table D.3-14)
_USER_AND_PASSCODE = 2
#: what pynetdicom raises at bytes that are none of its business
_UNDECODABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
    struct.error,
)


class Incoming(Protocol):
    """Where one C-STORE's data set goes."""

    def write(self, *pieces: bytes | memoryview) -> None:
        """The next bytes, as received; what goes wrong with them is told by finish()."""

    def finish(self) -> tuple[int, str]:
        """All bytes are here: the status of the response, and a comment for it."""

    def abandon(self) -> None:
        """The rest will not come."""


class Declined:
    """A data set that is read off the wire and dropped, since the answer is known already."""

    def __init__(self, status: Status, comment: str) -> None:
        self._answer = (status, comment)

    def write(self, *pieces: bytes | memoryview) -> None:
        """Drop them."""

    def finish(self) -> tuple[int, str]:
        """What was known before the first byte."""
        return self._answer

    def abandon(self) -> None:
        """Nothing was kept."""


#: answers a C-STORE-RQ with the place for its data set
BeginStore = Callable[[StoreRequest], Incoming]


@dataclass(frozen=True, kw_only=True)
class AcceptorLimits:
    """Caps and deadlines of one association; bytes and seconds."""

    #: of one P-DATA-TF, as it is offered to the peer
    max_pdu: int
    #: for the peer's next bytes, and for the rest of a PDU
    io_timeout: float
    #: for one message as a whole
    message_timeout: float
    #: between messages
    idle_timeout: float


class Acceptor:
    """One association, from the bytes of its request to its end; runs in the calling thread."""

    def __init__(
        self,
        wire: Wire,
        *,
        ae: AE,
        contexts: list[PresentationContext],
        handlers: Sequence[tuple[Any, Callable[..., Any]]],
        begin_store: BeginStore,
        limits: AcceptorLimits,
        stopping: Callable[[], bool],
    ) -> None:
        self._wire = wire
        self._limits = limits
        self._begin_store = begin_store
        self._stopping = stopping
        self._pdvs = PDVReader(wire, io_timeout=limits.io_timeout)
        self._association = accepting_association(ae, wire)
        self._association.acceptor.maximum_length = limits.max_pdu
        # shared by all associations: negotiation only reads them, and copying them costs 20 ms
        self._association.acceptor.supported_contexts = contexts
        for event, handler in handlers:
            self._association.bind(event, handler)
        #: a message has begun and was not answered yet
        self.busy = False
        self.calling_ae_title = ""

    def negotiate(
        self, request: bytes, *, local: tuple[Any, ...], remote: tuple[Any, ...], certificate: Any, judge: Judges
    ) -> str:
        """Answer the A-ASSOCIATE-RQ `request`: why it was rejected, or empty once the association is open."""
        association = self._association
        association.acceptor.address_info = AddressInformation.from_tuple(local)
        association.requestor.address_info = AddressInformation.from_tuple(remote)
        primitive = _decoded(request)
        association.requestor.primitive = primitive
        self.calling_ae_title = primitive.calling_ae_title.strip()
        rejection = judge(
            AssociationRequest(
                address=remote[0],
                calling_ae_title=self.calling_ae_title,
                called_ae_title=primitive.called_ae_title.strip(),
                certificate=certificate,
                user=_user(association.requestor.user_identity),
            )
        )
        if rejection is not None:
            association.acse.send_reject(rejection.result, rejection.source, rejection.diagnostic)
            return rejection.reason
        association.acse.negotiate_association()
        return "" if association.is_established else "rejected in negotiation"

    def serve(self) -> str:
        """Serve messages until the association ends; how it ended. Raises WireError, CommandError."""
        while not self._stopping():
            first = self._pdvs.wait(self._limits.idle_timeout, self._now_busy)
            if isinstance(first, PDV):
                self._serve_message(first)
            elif first is PDUType.A_RELEASE_RQ:
                self._association.acse.send_release(is_response=True)
                return "released"
            elif first is PDUType.A_ABORT:
                return "aborted by the peer"
            else:
                raise WireError(f"an unexpected {first.name}", abort_reason=UNEXPECTED_PDU)
            self.busy = False
            if self._association.is_aborted:
                return "aborted by the node"
        self.abort()
        return "aborted: the node stops"

    def abort(self, reason: int | None = None) -> None:
        """Send an A-P-ABORT with `reason` (PS3.8 9.3.8), or an A-ABORT of the service user. Raises WireError."""
        if reason is None:
            self._association.acse.send_abort(0)
        else:
            self._association.acse.send_ap_abort(reason)

    def _now_busy(self) -> None:
        self.busy = True

    def _serve_message(self, first: PDV) -> None:
        deadline = time.monotonic() + self._limits.message_timeout
        context = self._association._accepted_cx.get(first.context_id)
        if context is None:
            raise WireError(f"presentation context {first.context_id} was not accepted", abort_reason=INVALID_PARAMETER)
        command = self._command(first, deadline)
        elements = commands.read_command(command)
        has_data_set = commands.number(elements, 0x0800) != commands.NO_DATA_SET
        if commands.number(elements, 0x0100) == commands.C_STORE_RQ:
            self._store(elements, first.context_id, context, has_data_set, deadline)
            return
        data_set = self._small_data_set(first.context_id, deadline) if has_data_set else None
        self._leave_to_pynetdicom(first.context_id, command, data_set)

    def _command(self, fragment: PDV, deadline: float) -> bytes:
        """The command set that begins with `fragment`, whole."""
        context_id = fragment.context_id
        collected = bytearray()
        for _ in range(_MOST_COMMAND_FRAGMENTS):
            if not fragment.is_command or fragment.context_id != context_id:
                break
            collected += fragment.data
            if len(collected) > _LONGEST_COMMAND:
                break
            if fragment.is_last:
                return bytes(collected)
            fragment = self._pdvs.next(deadline)
        raise CommandError("a command set that is too long, in too many fragments or mixed with other data")

    def _store(
        self,
        elements: dict[int, bytes],
        context_id: int,
        context: PresentationContext,
        has_data_set: bool,
        deadline: float,
    ) -> None:
        request = StoreRequest(
            message_id=commands.number(elements, 0x0110),
            affected_sop_class_uid=commands.uid(elements, 0x0002),
            affected_sop_instance_uid=commands.uid(elements, 0x1000),
            priority=commands.number(elements, 0x0700) if 0x0700 in elements else 0,
            transfer_syntax_uid=context.transfer_syntax[0],
            calling_ae_title=self.calling_ae_title,
        )
        incoming: Incoming
        if request.affected_sop_class_uid != context.abstract_syntax:
            incoming = Declined(Status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the presentation context")
        elif not has_data_set:
            incoming = Declined(Status.CANNOT_UNDERSTAND, "a C-STORE without a data set")
        else:
            incoming = self._begin_store(request)
        if has_data_set:
            self._receive(context_id, incoming, deadline)
        status, comment = incoming.finish()
        response = commands.store_response(request, status, comment)
        self._wire.send(commands.as_p_data(context_id, response))

    def _receive(self, context_id: int, incoming: Incoming, deadline: float) -> None:
        """The data set into `incoming`."""
        complete = False
        try:
            for pieces in self._pdvs.data_set(context_id, deadline):
                incoming.write(*pieces)
            complete = True
        finally:
            if not complete:
                incoming.abandon()

    def _small_data_set(self, context_id: int, deadline: float) -> bytes:
        collected = bytearray()
        for pieces in self._pdvs.data_set(context_id, deadline):
            collected += b"".join(pieces)
            if len(collected) > _LONGEST_OTHER_DATA_SET:
                raise CommandError("a data set that is too long for a service other than storage")
        return bytes(collected)

    def _leave_to_pynetdicom(self, context_id: int, command: bytes, data_set: bytes | None) -> None:
        """Every service but C-STORE, C-ECHO first of all: its service classes answer, its events fire."""
        primitive = P_DATA()
        values = [[context_id, b"\x03" + command]]
        if data_set is not None:
            values.append([context_id, b"\x02" + data_set])
        primitive.presentation_data_value_list = values
        try:
            self._association.dimse.receive_primitive(primitive)
        except _UNDECODABLE as error:
            raise CommandError(f"no message: {type(error).__name__}") from error
        if not self._association.dul.event_queue.empty():
            raise CommandError("an invalid message")
        _, message = self._association.dimse.get_msg()
        if message is not None:
            self._association._serve_request(message, context_id)


def _decoded(request: bytes) -> Any:
    """The A-ASSOCIATE primitive of an A-ASSOCIATE-RQ. Raises WireError."""
    pdu = A_ASSOCIATE_RQ()
    try:
        pdu.decode(request)
        return pdu.to_primitive()
    except _UNDECODABLE as error:
        raise WireError(f"no A-ASSOCIATE-RQ: {type(error).__name__}", abort_reason=INVALID_PARAMETER) from error


def _user(item: Any) -> UserIdentity | None:
    """What a User Identity item of the request says (PS3.7 D.3.3.7); other types than user and passcode say nothing."""
    if item is None or item.user_identity_type != _USER_AND_PASSCODE:
        return None
    user, passcode = (part.decode("utf-8", "replace") for part in (item.primary_field, item.secondary_field or b""))
    return UserIdentity(user=user, passcode=passcode)
