"""Messages over an association that the node opened, in the calling thread, each step with a deadline."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext

from dicom_node.dimse import commands
from dicom_node.dimse.commands import CommandError
from dicom_node.dimse.contexts import accepts
from dicom_node.dimse.identifiers import encoded_identifier
from dicom_node.dimse.pdv import PDV, PDVReader
from dicom_node.dimse.wire import PDUType, Wire, WireError
from dicom_node.errors import PeerUnavailable, Refused

#: largest PDU that we send, whatever the peer offers; and where it sets no limit (0)
_LARGEST_PDU = 256 << 10
#: bytes of a command set or of a match that comes back
_LONGEST_ANSWER = 64 << 10
#: bytes of what a peer asks of us over an association of ours, and how many such requests may wait
_LONGEST_REQUEST = 1 << 20
_MOST_REQUESTS = 16
#: bit of a Command Field that makes it a response's (PS3.7 E.1)
_IS_RESPONSE = 0x8000


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds."""

    #: for the TCP connection (and TLS), and then for the answer to the association request
    connect: float = 10.0
    #: for the answer to a message, and for each MiB of it to be taken
    response: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A peer's answer to one C-STORE; what a status means: dimse.status."""

    status: int
    #: Error Comment (0000,0902)
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class PeerRequest:
    """What a peer asks of the node over an association that the node opened: an N-EVENT-REPORT."""

    context_id: int
    #: of the presentation context that it came in
    transfer_syntax: UID
    #: of group 0000, by element number
    elements: dict[int, bytes]
    data_set: bytes


class Conversation:
    """An association that a peer has accepted, whatever is said over it. Not for two threads at once."""

    def __init__(self, wire: Wire, association: Any, *, peer: str, timeouts: Timeouts) -> None:
        self._wire = wire
        self._association = association
        self._pdvs = PDVReader(wire, io_timeout=timeouts.response)
        self._peer = peer
        self._timeouts = timeouts
        self._message_id = 0
        self._alive = True
        self._requests: list[PeerRequest] = []
        offered = association.acceptor.maximum_length or _LARGEST_PDU
        self._largest_pdu = max(min(offered, _LARGEST_PDU), 64)

    def accepts(self, sop_class_uid: str, transfer_syntax_uid: str) -> bool:
        """Whether the peer takes this class in exactly this syntax."""
        return self._context(sop_class_uid, transfer_syntax_uid) is not None

    def exchange(self, sop_class_uid: str, request: Callable[[int], bytes], data_set: Dataset, *, answer: int) -> int:
        """One message with a data set: `request` makes its command set for a message id; the status of its answer.

        What the peer asks meanwhile waits for next_request(). Raises Refused where it does not accept the class,
        PeerUnavailable where it left or stalled.
        """
        context = self._context(sop_class_uid, None)
        if context is None:
            raise Refused(f"{self._peer} does not accept SOP class {sop_class_uid}")
        with self._broken(f"message {answer & 0x7FFF:04X}"):
            message_id = self._next_message_id()
            self._ask(context, request(message_id), data_set)
            while True:
                context_id, elements, data = self._message(_LONGEST_REQUEST)
                if commands.number(elements, 0x0100) & _IS_RESPONSE:
                    self._must_answer(elements, answer, message_id)
                    return commands.number(elements, 0x0900)
                if len(self._requests) == _MOST_REQUESTS:
                    raise CommandError("it asks instead of answering")
                self._requests.append(self._request(context_id, elements, data))

    def next_request(self, seconds: float) -> PeerRequest | None:
        """What the peer asks within `seconds`; None: nothing. Answer with respond()."""
        if self._requests:
            return self._requests.pop(0)
        try:
            return self._request(*self._message(_LONGEST_REQUEST, within=seconds))
        except (WireError, CommandError):
            return None  # nothing came, or nothing that makes sense; either way the association is at its end

    def respond(self, to: PeerRequest, response: bytes) -> None:
        """Send the command set of a response. Raises PeerUnavailable."""
        with self._broken("response"):
            self._wire.send(commands.as_p_data(to.context_id, response))

    def _request(self, context_id: int, elements: dict[int, bytes], data: bytes) -> PeerRequest:
        context = next((each for each in self._association.accepted_contexts if each.context_id == context_id), None)
        if context is None:
            raise CommandError(f"it asks in presentation context {context_id}, which it did not accept")
        syntax = context.transfer_syntax[0]
        return PeerRequest(context_id=context_id, transfer_syntax=syntax, elements=elements, data_set=data)

    def release(self) -> None:
        """End the association in good order, if that does not take too long; whoever opened it then hangs up."""
        if not self._alive:
            return
        self._alive = False
        with contextlib.suppress(WireError):
            self._association.acse.send_release()
            self._pdvs.wait(self._timeouts.connect, lambda: None)

    def abort(self) -> None:
        """End the association at once."""
        if self._alive:
            self._alive = False
            with contextlib.suppress(WireError):
                self._association.acse.send_abort(0)

    def _context(self, sop_class_uid: str, transfer_syntax_uid: str | None) -> PresentationContext | None:
        accepted = self._association.accepted_contexts
        if transfer_syntax_uid is not None:
            return accepts(accepted, sop_class_uid, transfer_syntax_uid)
        return next((context for context in accepted if context.abstract_syntax == sop_class_uid), None)

    def _next_message_id(self) -> int:
        self._message_id = self._message_id % 65535 + 1
        return self._message_id

    def _answer(self, command_field: int, message_id: int) -> Answer:
        """The response to `message_id`, whole. Raises WireError, CommandError."""
        elements, _ = self._response(command_field, message_id)
        comment = elements.get(0x0902, b"").decode("ascii", "replace").strip("\0 ")
        return Answer(status=commands.number(elements, 0x0900), comment=comment)

    def _response(self, command_field: int, message_id: int) -> tuple[dict[int, bytes], bytes]:
        """The next response to `message_id`: its command set and its data set, empty where it has none.

        Raises WireError, CommandError.
        """
        _, elements, data = self._message(_LONGEST_ANSWER)
        self._must_answer(elements, command_field, message_id)
        return elements, data

    def _must_answer(self, elements: dict[int, bytes], command_field: int, message_id: int) -> None:
        found = (commands.number(elements, 0x0100), commands.number(elements, 0x0120))
        if found != (command_field, message_id):
            raise CommandError(f"its answer is to another message ({found[0]:04X}, {found[1]})")

    def _ask(self, context: PresentationContext, command: bytes, identifier: Dataset) -> None:
        """Send a request with an identifier."""
        encoded = memoryview(encoded_identifier(identifier, context.transfer_syntax[0]))
        data = commands.data_fragments(context.context_id, encoded, largest=self._largest_pdu, ends=True)
        self._wire.send(commands.as_p_data(context.context_id, command) + data)

    def _message(self, longest: int, *, within: float | None = None) -> tuple[int, dict[int, bytes], bytes]:
        """The next message: its presentation context, its command set, its data set of at most `longest` bytes.

        It must begin `within` so many seconds; none: those for an answer.
        """
        seconds = self._timeouts.response if within is None else within
        fragment = self._pdvs.wait(seconds, lambda: None)
        deadline = time.monotonic() + self._timeouts.response
        if not isinstance(fragment, PDV):
            how = "aborted" if fragment is PDUType.A_ABORT else f"sent {fragment.name}"
            raise WireError(f"it {how} instead of answering")
        context_id = fragment.context_id
        elements = commands.read_command(self._whole(fragment, deadline, _LONGEST_ANSWER, is_command=True))
        if 0x0800 not in elements or commands.number(elements, 0x0800) == commands.NO_DATA_SET:
            return context_id, elements, b""
        return context_id, elements, self._whole(self._pdvs.next(deadline), deadline, longest, is_command=False)

    def _whole(self, fragment: PDV, deadline: float, longest: int, *, is_command: bool) -> bytes:
        """The command set or data set that begins with `fragment`."""
        collected = bytearray()
        while True:
            collected += fragment.data
            if fragment.is_command is not is_command or len(collected) > longest:
                raise CommandError(f"its answer is no {'command set' if is_command else 'data set'}, or too long")
            if fragment.is_last:
                return bytes(collected)
            fragment = self._pdvs.next(deadline)

    @contextlib.contextmanager
    def _broken(self, doing: str) -> Iterator[None]:
        """What breaks the association ends it, in the node's own words."""
        if not self._alive:
            raise PeerUnavailable(f"the association with {self._peer} is over: open another")
        try:
            yield
        except (WireError, CommandError) as error:
            if isinstance(error, WireError):
                self._alive = False  # nothing that we might still send would make sense to it
            else:
                self.abort()
            raise PeerUnavailable(f"{self._peer} failed during a {doing}: {error}") from error
