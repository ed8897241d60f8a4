"""An open association as its requestor: C-ECHO, C-STORE, C-FIND, C-GET and C-MOVE; DIMSE-N as a Conversation has it.

The data set of a PS3.10 file goes out as it stands, never decoded, never re-encoded.
"""

import functools
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pynetdicom.sop_class import Verification

from dicom_node.dimse import commands
from dicom_node.dimse.commands import CommandError
from dicom_node.dimse.conversation import Answer, Conversation, PeerRequest, Timeouts
from dicom_node.dimse.fragments import Fragments, ReadInto, of_bytes, of_file
from dicom_node.dimse.identifiers import decoded_identifier
from dicom_node.dimse.part10 import LONGEST_META, file_meta, read_file_meta
from dicom_node.dimse.status import is_pending
from dicom_node.errors import PeerUnavailable, Refused

__all__ = ["MOST_MATCHES", "OUR_PDU", "Answer", "OpenAssociation", "PeerRequest", "Timeouts"]

#: largest PDU that we take: only responses come back
OUR_PDU = 16384
#: bytes of an object that comes back: one of ours
_LONGEST_FILE = 256 << 20
#: status of a C-MOVE whose destination the peer does not know (PS3.4 Table C.4-2)
_MOVE_DESTINATION_UNKNOWN = 0xA801
#: matches of one query: nobody here asks for more than a study
MOST_MATCHES = 10_000


class OpenAssociation(Conversation):
    """An association that a peer has accepted. Not for two threads at once."""

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

        The data set's bytes go out as they are. Raises Unreadable for what is no DICOM file, OSError for what cannot
        be read, Refused where the peer did not accept its class in its syntax (the association goes on),
        PeerUnavailable where the peer left, stalled or did not answer in time (the association is over).
        """
        if isinstance(source, Path):
            with source.open("rb", buffering=0) as file:
                descriptor = file.fileno()
                size = os.fstat(descriptor).st_size
                return self._store(file.read(LONGEST_META), of_file(descriptor), size)
        data = source if isinstance(source, bytes) else _encoded(source)
        return self._store(memoryview(data)[:LONGEST_META], of_bytes(data), len(data))

    def _store(self, start: bytes | memoryview, read_into: ReadInto, size: int) -> Answer:
        meta = read_file_meta(start)
        context = self._context(meta.sop_class_uid, meta.transfer_syntax_uid)
        if context is None:
            raise Refused(
                f"{self._peer} does not accept SOP class {meta.sop_class_uid} in transfer syntax "
                f"{meta.transfer_syntax_uid}"
            )
        with self._broken("C-STORE"):
            message_id = self._next_message_id()
            command = commands.store_request(
                message_id=message_id,
                sop_class_uid=meta.sop_class_uid,
                sop_instance_uid=meta.sop_instance_uid,
            )
            steps = self._fragments.steps(
                context.context_id,
                read_into,
                begin=meta.data_set_offset,
                end=size,
                ahead=commands.as_p_data(context.context_id, command),
            )
            self._send(steps)
            return self._answer(commands.C_STORE_RSP, message_id)

    def _send(self, steps: Iterator[memoryview]) -> None:
        """Raises OSError where the first step can't be read and nothing was sent, PeerUnavailable for a later one."""
        sent = False
        try:
            for step in steps:
                self._wire.send(step)
                sent = True
        except (OSError, EOFError) as error:
            if not sent:
                raise OSError(f"the file can't be read: {error}") from error
            self.abort()  # it waits for the rest
            raise PeerUnavailable(f"the file can't be read to its end, so {self._peer} was hung up on") from error

    @functools.cached_property
    def _fragments(self) -> Fragments:
        return Fragments(self._largest_pdu)

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


def _encoded(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
