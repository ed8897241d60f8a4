"""An open association as its requestor: C-ECHO, C-STORE, C-FIND, C-GET and DIMSE-N in the calling thread, each step
with a deadline.

The data set of a PS3.10 file goes out as it stands, never decoded, never re-encoded.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification

from dicom_node.dimse import commands
from dicom_node.dimse.commands import CommandError
from dicom_node.dimse.contexts import accepts
from dicom_node.dimse.identifiers import decoded_identifier, encoded_identifier
from dicom_node.dimse.part10 import LONGEST_META, file_meta, read_file_meta
from dicom_node.dimse.pdv import PDV, PDVReader
from dicom_node.dimse.status import is_pending
from dicom_node.dimse.wire import PDUType, Wire, WireError
from dicom_node.errors import PeerUnavailable, Refused

#: largest PDU that we take: only responses come back
OUR_PDU = 16384
#: largest PDU that we send, whatever the peer offers; and where it sets no limit (0)
_LARGEST_PDU = 256 << 10
#: bytes of a command set or of a match that comes back
_LONGEST_ANSWER = 64 << 10
#: bytes of what a peer asks of us over an association of ours, and how many such requests may wait
_LONGEST_REQUEST = 1 << 20
_MOST_REQUESTS = 16
#: bytes of an object that comes back: one of ours
_LONGEST_FILE = 256 << 20
#: status of a C-MOVE whose destination the peer does not know (PS3.4 Table C.4-2)
_MOVE_DESTINATION_UNKNOWN = 0xA801
#: matches of one query: nobody here asks for more than a study
MOST_MATCHES = 10_000
#: bit of a Command Field that makes it a response's (PS3.7 E.1)
_IS_RESPONSE = 0x8000
#: bytes read and sent at a time: each must leave within the response deadline
_STEP = 1 << 20


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


class OpenAssociation:
    """An association that a peer has accepted. Not for two threads at once."""

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

    def echo(self) -> None:
        """C-ECHO. Raises PeerUnavailable, Refused."""
        context = self._context(Verification, None)
        if context is None:
            raise Refused(f"{self._peer} took the association but not Verification")
        with self._broken("C-ECHO"):
            message_id = self._next_message_id()
            request = commands.echo_request(message_id=message_id, sop_class_uid=Verification)
            self._wire.send(commands.as_p_data(context.context_id, request))
            answer = self._answer(commands.C_ECHO_RSP, message_id)
        if answer.status != 0:
            raise Refused(f"{self._peer} answered C-ECHO with status {answer.status:04X}")

    def store(self, source: Path | bytes | Dataset) -> Answer:
        """C-STORE one PS3.10 file, given by its path, as its bytes, or as a data set with its file meta.

        The data set's bytes go out as they are. Raises Unreadable for what is no DICOM file, Refused where the
        peer did not accept its class in its syntax (the association goes on), PeerUnavailable where the peer
        left, stalled or did not answer in time (the association is over).
        """
        with contextlib.ExitStack() as stack:
            file: BinaryIO
            if isinstance(source, Path):
                file = stack.enter_context(source.open("rb"))
            else:
                file = BytesIO(source if isinstance(source, bytes) else _encoded(source))
            return self._store(file)

    def _store(self, file: BinaryIO) -> Answer:
        meta = read_file_meta(file.read(LONGEST_META))
        context = self._context(meta.sop_class_uid, meta.transfer_syntax_uid)
        if context is None:
            raise Refused(
                f"{self._peer} does not accept SOP class {meta.sop_class_uid} in transfer syntax "
                f"{meta.transfer_syntax_uid}"
            )
        left = file.seek(0, 2) - meta.data_set_offset
        file.seek(meta.data_set_offset)
        with self._broken("C-STORE"):
            message_id = self._next_message_id()
            command = commands.store_request(
                message_id=message_id,
                sop_class_uid=meta.sop_class_uid,
                sop_instance_uid=meta.sop_instance_uid,
            )
            ahead = commands.as_p_data(context.context_id, command)
            while True:
                step = memoryview(file.read(min(left, _STEP)))
                left = left - len(step) if step else 0
                data = commands.data_fragments(context.context_id, step, largest=self._largest_pdu, ends=left == 0)
                self._wire.send(ahead + data)
                ahead = b""
                if left == 0:
                    return self._answer(commands.C_STORE_RSP, message_id)

    def find(self, sop_class_uid: str, identifier: Dataset, *, most: int = MOST_MATCHES) -> list[Dataset]:
        """C-FIND (PS3.4 C.4.1): every match of `identifier`, in the order in which they came.

        Raises Refused where the peer does not accept the class or answers with a failure, PeerUnavailable where it
        left, stalled, or does not come to an end.
        """
        context = self._context(sop_class_uid, None)
        if context is None:
            raise Refused(f"{self._peer} does not accept SOP class {sop_class_uid}: it cannot be asked what it holds")
        syntax = context.transfer_syntax[0]
        with self._broken("C-FIND"):
            message_id = self._next_message_id()
            command = commands.find_request(message_id=message_id, sop_class_uid=sop_class_uid)
            self._ask(context, command, identifier)
            found: list[Dataset] = []
            while True:
                elements, match = self._response(commands.C_FIND_RSP, message_id)
                status = commands.number(elements, 0x0900)
                if not is_pending(status):
                    break
                found.append(decoded_identifier(match, syntax))
                if len(found) > most:
                    raise CommandError(f"more than {most} matches")
        if status != 0:
            raise Refused(f"{self._peer} answered C-FIND with status {status:04X}")
        return found

    def get(self, sop_class_uid: str, identifier: Dataset) -> list[bytes]:
        """C-GET (PS3.4 C.4.3): what the peer sends for `identifier`, each as a PS3.10 file.

        It comes over this association, so its classes must have been proposed with us as their SCP. Raises what
        find() does.
        """
        context = self._context(sop_class_uid, None)
        if context is None:
            raise Refused(f"{self._peer} does not accept SOP class {sop_class_uid}: it gives nothing back")
        with self._broken("C-GET"):
            message_id = self._next_message_id()
            self._ask(context, commands.get_request(message_id=message_id, sop_class_uid=sop_class_uid), identifier)
            files: list[bytes] = []
            while True:
                context_id, elements, data = self._message(_LONGEST_FILE)
                if commands.number(elements, 0x0100) == commands.C_STORE_RQ:
                    files.append(self._taken(context_id, elements, data))
                    continue
                self._must_answer(elements, commands.C_GET_RSP, message_id)
                status = commands.number(elements, 0x0900)
                if not is_pending(status):
                    break
        if not files:
            raise Refused(f"{self._peer} answered C-GET with status {status:04X} and sent nothing")
        return files

    def move(self, sop_class_uid: str, identifier: Dataset, *, destination: str) -> None:
        """C-MOVE (PS3.4 C.4.2): the peer stores what `identifier` names at the AE `destination`, before this returns.

        Raises what find() does; Refused, too, where it did not do so for all of it.
        """
        context = self._context(sop_class_uid, None)
        if context is None:
            raise Refused(f"{self._peer} does not accept SOP class {sop_class_uid}: it sends nothing on request")
        with self._broken("C-MOVE"):
            message_id = self._next_message_id()
            command = commands.move_request(message_id=message_id, sop_class_uid=sop_class_uid, destination=destination)
            self._ask(context, command, identifier)
            while True:
                elements, _ = self._response(commands.C_MOVE_RSP, message_id)
                status = commands.number(elements, 0x0900)
                if not is_pending(status):
                    break
        if status != 0:
            known = f": does it know {destination}?" if status == _MOVE_DESTINATION_UNKNOWN else ""
            raise Refused(f"{self._peer} answered C-MOVE with status {status:04X}{known}")
        if 0x1021 in elements and commands.number(elements, 0x1021) == 0:
            raise Refused(f"{self._peer} has nothing to send of what was asked for")

    def _taken(self, context_id: int, elements: dict[int, bytes], data: bytes) -> bytes:
        """What came in one C-STORE sub-operation, answered with success. Raises CommandError, WireError."""
        context = next((each for each in self._association.accepted_contexts if each.context_id == context_id), None)
        if context is None:
            raise CommandError(f"it sent an object in presentation context {context_id}, which it did not accept")
        request = commands.StoreRequest(
            message_id=commands.number(elements, 0x0110),
            affected_sop_class_uid=commands.uid(elements, 0x0002),
            affected_sop_instance_uid=commands.uid(elements, 0x1000),
            priority=0,
            transfer_syntax_uid=context.transfer_syntax[0],
            calling_ae_title="",
        )
        self._wire.send(commands.as_p_data(context_id, commands.store_response(request, 0x0000)))
        meta = file_meta(
            sop_class_uid=request.affected_sop_class_uid,
            sop_instance_uid=request.affected_sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            calling_ae_title=request.calling_ae_title,
        )
        return meta + data

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


def _encoded(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
