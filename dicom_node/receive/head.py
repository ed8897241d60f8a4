"""The head of a data set: top-level elements as far as Study Instance UID, walked without recursion or trust.

The rest of a data set is parsed in a child process; this is all that the receiver looks at. No value is decoded
but the few of a Head, and no more than LONGEST_HEAD bytes are looked at whatever lengths they claim. How urgent an
image is stands further on, in group 0040: it is read where it lies among the bytes at hand, and missed without a word
where it does not, for nothing is refused or waits for the lack of it.
"""

import re
import struct
from dataclasses import dataclass

from pydicom.charset import python_encoding
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_node.domain import Head

#: bytes within which Study Instance UID must have come
LONGEST_HEAD = 1 << 20
#: elements and items looked at, nested ones included: a bound on time, since an item may have no bytes
_MOST_ELEMENTS = 20_000
#: bytes of a value that a Head may hold: 64 characters (VR LO, UI) of up to four bytes, escapes, padding
_LONGEST_VALUE = 1024
#: PS3.5 9.1 but for leading zeros, which real senders write
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
#: VRs whose length has 32 bits, after two reserved bytes (PS3.5 7.1.2)
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})

_CHARACTER_SET = 0x00080005
_STUDY_INSTANCE_UID = 0x0020000D
#: what is missed without a word, at any length: a wrong priority costs an image nothing but its turn
_OPTIONAL = {
    0x00081030: "study_description",
    0x0008103E: "series_description",
    0x00321060: "requested_procedure_description",
    0x00401003: "requested_procedure_priority",
}
_LAST = max(_OPTIONAL)
_FIELDS = {
    0x00080016: "sop_class_uid",
    0x00080018: "sop_instance_uid",
    0x00080050: "accession_number",
    0x00080070: "manufacturer",
    0x00081090: "manufacturer_model_name",
    0x00100020: "patient_id",
    0x00100021: "issuer_of_patient_id",
    _STUDY_INSTANCE_UID: "study_instance_uid",
}
_NAMES = _FIELDS | _OPTIONAL
_WANTED = frozenset(_NAMES) | {_CHARACTER_SET}


class HeadError(ValueError):
    """The bytes are no data set, or one that says too little to be kept."""


@dataclass(frozen=True, kw_only=True)
class _Element:
    tag: int
    vr: bytes
    #: where the value begins
    start: int
    #: bytes of the value; _UNDEFINED
    length: int


def read_head(data: bytes | bytearray | memoryview, transfer_syntax_uid: str) -> Head:
    """The Head of a data set that begins with `data`, its first LONGEST_HEAD bytes or all of it.

    Values are decoded by the data set's character set as well as it goes: a wrong byte costs a character, never
    the image. Raises HeadError where the bytes are no data set of that syntax, where they end before the study's
    UID, or where SOP Class, SOP Instance or Study Instance UID is missing or no UID (PS3.5 9.1).
    """
    view = memoryview(data)[:LONGEST_HEAD]
    values = _values(view, _Reader(view, transfer_syntax_uid))
    encodings = _encodings(values.pop(_CHARACTER_SET, b""))
    texts = {_NAMES[tag]: _text(value, encodings) for tag, value in values.items()}
    for name in ("sop_class_uid", "sop_instance_uid", "study_instance_uid"):
        if not is_uid(texts.get(name, "")):
            raise HeadError(f"{name} is missing or no UID")
    return Head(**texts)


def is_uid(text: str) -> bool:
    """Digits and dots, at most 64 (PS3.5 9.1); leading zeros pass, since real senders write them."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


class _Reader:
    """Element headers in one encoding, with a budget."""

    def __init__(self, view: memoryview, transfer_syntax_uid: str) -> None:
        self._view = view
        self._implicit = transfer_syntax_uid == ImplicitVRLittleEndian
        order = ">" if transfer_syntax_uid == ExplicitVRBigEndian else "<"
        self._tag = struct.Struct(order + "HH")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "I")
        self._left = _MOST_ELEMENTS

    def element(self, offset: int, *, implicit: bool | None = None) -> _Element:
        """The element whose header begins at `offset`. Raises HeadError."""
        self._left -= 1
        if self._left < 0:
            raise HeadError(f"more than {_MOST_ELEMENTS} elements before Study Instance UID")
        try:
            group, number = self._tag.unpack_from(self._view, offset)
            tag = group << 16 | number
            if group == 0xFFFE or (self._implicit if implicit is None else implicit):
                (length,) = self._long.unpack_from(self._view, offset + 4)
                return _Element(tag=tag, vr=b"", start=offset + 8, length=length)
            vr = bytes(self._view[offset + 4 : offset + 6])
            if vr in _LONG_VRS:
                (length,) = self._long.unpack_from(self._view, offset + 8)
                return _Element(tag=tag, vr=vr, start=offset + 12, length=length)
            (length,) = self._short.unpack_from(self._view, offset + 6)
        except struct.error as error:
            raise HeadError(f"it ends at byte {len(self._view)}, before Study Instance UID") from error
        if not (vr.isalpha() and vr.isupper()):
            raise HeadError(f"({group:04X},{number:04X}) has no VR: not the syntax that was negotiated")
        return _Element(tag=tag, vr=vr, start=offset + 8, length=length)


def _values(view: memoryview, reader: _Reader) -> dict[int, bytes]:
    """The wanted values, the character set among them, as they stand."""
    values: dict[int, bytes] = {}
    try:
        _walk(view, reader, values)
    except HeadError:
        # all that must be there is: what comes after it is not the receiver's to judge
        if _STUDY_INSTANCE_UID not in values:
            raise
    return values


def _walk(view: memoryview, reader: _Reader, values: dict[int, bytes]) -> None:
    """Fill `values` up to the last that is wanted. Raises HeadError where it goes no further."""
    offset, previous = 0, -1
    while previous < _LAST:
        element = reader.element(offset)
        if element.tag <= previous:
            raise HeadError("its elements are not in ascending order (PS3.5 7.1)")
        if element.tag > _STUDY_INSTANCE_UID and _STUDY_INSTANCE_UID not in values:
            raise HeadError("study_instance_uid is missing")
        previous = element.tag
        if element.length == _UNDEFINED:
            offset = _after_sequence(reader, element)
            continue
        offset = element.start + element.length
        if element.tag in _WANTED:
            _note(values, element, view)


def _note(values: dict[int, bytes], element: _Element, view: memoryview) -> None:
    """Keep a wanted value as it stands. Raises HeadError where one that must be sane is not."""
    end = element.start + element.length
    if element.length <= _LONGEST_VALUE and end <= len(view):
        values[element.tag] = bytes(view[element.start : end])
    elif element.tag not in _OPTIONAL:
        raise HeadError(f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X}) has no sane length")


def _after_sequence(reader: _Reader, sequence: _Element) -> int:
    """Where a sequence of undefined length ends: its delimiters are counted, nothing calls itself.

    A UN of undefined length is an Implicit VR Little Endian sequence whatever the data set is (PS3.5 6.2.2 note).
    """
    if sequence.vr not in (b"", b"SQ", b"UN"):
        raise HeadError(f"a VR {sequence.vr.decode('latin-1')} of undefined length")
    #: what is open, outermost first: whether it is an item, whether its elements have implicit VRs
    open_ends: list[tuple[bool, bool | None]] = [(False, True if sequence.vr == b"UN" else None)]
    offset = sequence.start
    while open_ends:
        in_item, implicit = open_ends[-1]
        element = reader.element(offset, implicit=implicit)
        offset = element.start
        if element.tag == (_ITEM_END if in_item else _SEQUENCE_END):
            open_ends.pop()
        elif in_item == (element.tag == _ITEM) or element.tag in (_ITEM_END, _SEQUENCE_END):
            raise HeadError("a sequence whose items and delimiters do not fit together")
        elif element.length != _UNDEFINED:
            offset += element.length
        elif in_item and element.vr not in (b"", b"SQ", b"UN"):
            raise HeadError(f"a VR {element.vr.decode('latin-1')} of undefined length")
        else:
            open_ends.append((not in_item, True if element.vr == b"UN" else implicit))
    return offset


def _encodings(character_set: bytes) -> tuple[str, ...]:
    """Python's names for Specific Character Set (0008,0005); a term that nobody knows is left out."""
    terms = character_set.decode("ascii", "replace").rstrip("\0 ").split("\\")
    return tuple(python_encoding[term.strip()] for term in terms if term.strip() in python_encoding)


def _text(value: bytes, encodings: tuple[str, ...]) -> str:
    """The value as text, by the first character set that takes it; no padding, nothing unprintable."""
    stripped = value.rstrip(b"\0 ")
    for encoding in (*encodings, "latin-1"):
        try:
            text = stripped.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
        break
    return "".join(character for character in text if character.isprintable()).strip()
