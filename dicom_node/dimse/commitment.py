"""The data sets of Storage Commitment (PS3.4 J.3.2, J.3.3): written by pydicom, read without recursion or trust."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

__all__ = ["StorageCommitmentPushModel", "StorageCommitmentPushModelInstance"]

#: Action Type ID of the request (PS3.4 J.3.2.1.1)
REQUEST_STORAGE_COMMITMENT = 1
#: Event Type IDs of the report: everything is committed to, or failures exist (PS3.4 J.3.3.1.1)
SUCCESSFUL, FAILURES_EXIST = 1, 2
#: instances that one transaction may be about
MOST_INSTANCES = 10_000

_TRANSACTION_UID = 0x00081195
_FAILED = 0x00081198
_REFERENCED = 0x00081199
_FAILURE_REASON = 0x00081197
_SOP_CLASS_UID = 0x00081150
_SOP_INSTANCE_UID = 0x00081155
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
#: VRs whose length has 32 bits, after two reserved bytes (PS3.5 7.1.2)
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
#: sequences within sequences that are looked into
_DEEPEST = 8


class FailureReason(IntEnum):
    """Failure Reason (0008,1197), PS3.3 C.14.1.1."""

    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119


class ResponseStatus(IntEnum):
    """Statuses of N-ACTION and N-EVENT-REPORT responses (PS3.7 Annex C)."""

    SUCCESS = 0x0000
    NO_SUCH_SOP_INSTANCE = 0x0112
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT_VALUE = 0x0115
    NO_SUCH_ACTION = 0x0123
    NOT_AUTHORISED = 0x0124
    DUPLICATE_INVOCATION = 0x0210
    MISTYPED_ARGUMENT = 0x0212
    RESOURCE_LIMITATION = 0x0213


#: when the node answers an N-ACTION or an N-EVENT-REPORT with each
RESPONSES: Mapping[ResponseStatus, str] = {
    ResponseStatus.SUCCESS: "What was asked, or reported, stands in the ledger",
    ResponseStatus.NO_SUCH_SOP_INSTANCE: "Not the well-known SOP Instance of the Push Model",
    ResponseStatus.NO_SUCH_EVENT_TYPE: "An Event Type ID other than 1 and 2",
    ResponseStatus.INVALID_ARGUMENT_VALUE: "A request that names no instance, a report that was not asked of this peer",
    ResponseStatus.NO_SUCH_ACTION: "An Action Type ID other than 1",
    ResponseStatus.NOT_AUTHORISED: "The peer may not ask: `asks_commitment` is not set for it",
    ResponseStatus.DUPLICATE_INVOCATION: "The Transaction UID was used for other instances",
    ResponseStatus.MISTYPED_ARGUMENT: f"A data set of another kind, or with more than {MOST_INSTANCES} instances",
    ResponseStatus.RESOURCE_LIMITATION: "The ledger does not answer, or the disk is full: send it again later",
}
#: when the node reports each Failure Reason to who asked it
FAILURES: Mapping[FailureReason, str] = {
    FailureReason.NO_SUCH_OBJECT_INSTANCE: "The node does not hold the instance, or not as it was received",
    FailureReason.CLASS_INSTANCE_CONFLICT: "It holds the instance under another SOP class",
}


class CommitmentError(ValueError):
    """The data set is no request or report of Storage Commitment."""


@dataclass(frozen=True, kw_only=True)
class Referenced:
    """One SOP instance of a request or a report."""

    sop_class_uid: str
    sop_instance_uid: str
    #: Failure Reason of a failed one; 0 elsewhere
    failure_reason: int = 0


@dataclass(frozen=True, kw_only=True)
class CommitmentDataSet:
    """A request, whose `failed` is empty, or a report."""

    transaction_uid: str
    referenced: tuple[Referenced, ...]
    failed: tuple[Referenced, ...] = ()

    @property
    def event_type(self) -> int:
        """Event Type ID of the report that this is."""
        return FAILURES_EXIST if self.failed else SUCCESSFUL


def encoded(content: CommitmentDataSet) -> Dataset:
    """The Action Information, or the Event Information, that says this."""
    dataset = Dataset()
    dataset.TransactionUID = content.transaction_uid
    if content.failed:
        dataset.FailedSOPSequence = [_item(each, with_reason=True) for each in content.failed]
    if content.referenced:
        dataset.ReferencedSOPSequence = [_item(each) for each in content.referenced]
    return dataset


def _item(each: Referenced, *, with_reason: bool = False) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = each.sop_class_uid
    item.ReferencedSOPInstanceUID = each.sop_instance_uid
    if with_reason:
        item.FailureReason = each.failure_reason
    return item


def decoded(data: bytes, transfer_syntax: UID) -> CommitmentDataSet:
    """What Action or Event Information says. Raises CommitmentError.

    Elements that it does not know are passed over, however deep; an instance that is named twice counts once.
    """
    if not transfer_syntax.is_little_endian or transfer_syntax.is_deflated:
        raise CommitmentError("a transfer syntax that was not offered")
    reader = _Reader(memoryview(data), implicit=transfer_syntax.is_implicit_VR)
    transaction_uid = ""
    lists: dict[int, tuple[Referenced, ...]] = {}
    for tag, start, end in reader.elements(0, len(data)):
        if tag == _TRANSACTION_UID:
            transaction_uid = reader.text(start, end)
        elif tag in (_REFERENCED, _FAILED):
            lists[tag] = _references(reader, start, end)
    if not transaction_uid:
        raise CommitmentError("no Transaction UID")
    referenced, failed = lists.get(_REFERENCED, ()), lists.get(_FAILED, ())
    if not referenced and not failed:
        raise CommitmentError("no SOP instance is referenced")
    return CommitmentDataSet(transaction_uid=transaction_uid, referenced=referenced, failed=failed)


def _references(reader: "_Reader", start: int, end: int) -> tuple[Referenced, ...]:
    found: dict[str, Referenced] = {}
    for item_start, item_end in reader.items(start, end):
        values: dict[int, tuple[int, int]] = {}
        for tag, value_start, value_end in reader.elements(item_start, item_end):
            values[tag] = (value_start, value_end)
        if _SOP_CLASS_UID not in values or _SOP_INSTANCE_UID not in values:
            raise CommitmentError("an item without SOP Class UID and SOP Instance UID")
        each = Referenced(
            sop_class_uid=reader.text(*values[_SOP_CLASS_UID]),
            sop_instance_uid=reader.text(*values[_SOP_INSTANCE_UID]),
            failure_reason=reader.number(*values[_FAILURE_REASON]) if _FAILURE_REASON in values else 0,
        )
        found[each.sop_instance_uid] = each
        if len(found) > MOST_INSTANCES:
            raise CommitmentError(f"more than {MOST_INSTANCES} instances")
    return tuple(found.values())


class _Reader:
    """Elements of a little endian data set; a value of undefined length is walked, its depth counted."""

    def __init__(self, view: memoryview, *, implicit: bool) -> None:
        self._view = view
        self._implicit = implicit

    def elements(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(tag, first byte of the value, byte after it) of each element; of a sequence: of its items."""
        offset = start
        while offset < end:
            tag, value, length = self._header(offset)
            if tag in (_ITEM_END, _SEQUENCE_END):
                raise CommitmentError("a delimiter that delimits nothing")
            after = self._end_of_sequence(value) if length == _UNDEFINED else value + length
            if after > end:
                raise CommitmentError("an element that is longer than what holds it")
            yield tag, value, after
            offset = after

    def items(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(first byte, byte after the last) of the content of each item of a sequence."""
        offset = start
        while offset < end:
            tag, value, length = self._header(offset)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                raise CommitmentError("something else than an item in a sequence")
            after = self._end_of_item(value) if length == _UNDEFINED else value + length
            if after > end:
                raise CommitmentError("an item that is longer than its sequence")
            # without its delimiter
            yield value, after - 8 if length == _UNDEFINED else after
            offset = after

    def text(self, start: int, end: int) -> str:
        """A UID, padding removed. Raises CommitmentError for what is none (PS3.5 9.1)."""
        text = bytes(self._view[start : min(end, start + 66)]).rstrip(b"\0 ").decode("ascii", "replace")
        if not text or len(text) > 64 or not text.replace(".", "").isdecimal() or not text.isascii():
            raise CommitmentError("a UID that is none")
        return text

    def number(self, start: int, end: int) -> int:
        """A US."""
        if end - start != 2:
            raise CommitmentError("a number that is no US")
        return int.from_bytes(self._view[start:end], "little")

    def _end_of_sequence(self, start: int) -> int:
        return self._walk(start, in_item=False)

    def _end_of_item(self, start: int) -> int:
        return self._walk(start, in_item=True)

    def _walk(self, start: int, *, in_item: bool) -> int:
        """The byte after the delimiter of the sequence or item whose content begins at `start`."""
        open_ends = [in_item]
        offset = start
        while open_ends:
            tag, value, length = self._header(offset)
            offset = value
            if tag == (_ITEM_END if open_ends[-1] else _SEQUENCE_END):
                open_ends.pop()
            elif open_ends[-1] == (tag == _ITEM) or tag in (_ITEM_END, _SEQUENCE_END):
                raise CommitmentError("a sequence whose items and delimiters do not fit together")
            elif length != _UNDEFINED:
                offset += length
            elif len(open_ends) >= 2 * _DEEPEST:
                raise CommitmentError("sequences that are nested too deep")
            else:
                open_ends.append(not open_ends[-1])
        return offset

    def _header(self, offset: int) -> tuple[int, int, int]:
        """(tag, where the value begins, its length)."""
        view = self._view
        try:
            group, number = struct.unpack_from("<HH", view, offset)
            if group == 0xFFFE or self._implicit:
                return group << 16 | number, offset + 8, struct.unpack_from("<I", view, offset + 4)[0]
            vr = bytes(view[offset + 4 : offset + 6])
            if vr in _LONG_VRS:
                return group << 16 | number, offset + 12, struct.unpack_from("<I", view, offset + 8)[0]
            return group << 16 | number, offset + 8, struct.unpack_from("<H", view, offset + 6)[0]
        except struct.error as error:
            raise CommitmentError("it ends in the middle of an element") from error
