"""Data elements carried from a source into a result byte for byte, however odd their values are.

An archive matches patients by what is written, not by what should have been: a date with dots, a name with a line
break, a text longer than its VR allows must arrive unchanged. So nothing here decodes a text.
"""

import struct
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag, ItemTag, Tag
from pydicom.valuerep import VR

#: VRs with a 4-byte length in Explicit VR, PS3.5 7.1.2
_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
#: VRs whose octets depend on the byte order, and the size of one unit
_UNITS = {
    **dict.fromkeys(("US", "SS", "OW", "AT"), 2),
    **dict.fromkeys(("UL", "SL", "FL", "OF", "OL"), 4),
    **dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8),
}
_TEXTS = frozenset(
    ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"]
)
#: sequences within sequences that are followed
_DEEPEST = 12

#: stands for a value that was there and cannot be written: a VR that pydicom knows and that no file can hold
UNWRITABLE = str(VR.US_SS_OW)

#: all that pydicom raises on values that it cannot read or write
MALFORMED = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    NotImplementedError,
    RecursionError,
    OverflowError,
    OSError,
    struct.error,
    InvalidDicomError,
    BytesLengthException,
)


class CannotCarry(Exception):
    """An element whose value has no octets that could stand in a result."""


@dataclass(frozen=True, kw_only=True)
class Element:
    """One data element as it stands in Explicit VR Little Endian."""

    tag: BaseTag
    vr: str
    #: of even length
    value: bytes

    @property
    def encoded(self) -> bytes:
        """Tag, VR, length and value (PS3.5 7.1.2)."""
        return self.head + self.value

    @property
    def head(self) -> bytes:
        """Tag, VR and length (PS3.5 7.1.2)."""
        head = struct.pack("<HH2s", self.tag.group, self.tag.element, self.vr.encode("ascii"))
        if self.vr in _LONG:
            return head + struct.pack("<HI", 0, len(self.value))
        return head + struct.pack("<H", len(self.value))

    @property
    def raw(self) -> RawDataElement:
        """As pydicom holds what it has not looked into."""
        return RawDataElement(self.tag, self.vr, len(self.value), self.value, 0, False, True)


def charset_of(dataset: Dataset) -> list[str]:
    """Python's names of the character sets of `dataset`; Latin-1, as pydicom reads it, where they are unknown."""
    tag = Tag("SpecificCharacterSet")
    held = dataset.get_item(tag) if tag in dataset else None
    value = held.value if held is not None else None
    if isinstance(value, bytes):
        value = value.decode("latin-1").split("\\")
    names = [value or ""] if isinstance(value, str | None) else [str(name) for name in value]
    with warnings.catch_warnings():
        # pydicom warns of names that are none and takes the default
        warnings.simplefilter("ignore")
        try:
            return convert_encodings([name.strip(" \0") for name in names])
        except MALFORMED:
            return ["iso8859"]


def element(dataset: Dataset, tag: BaseTag, *, charset: list[str], depth: int = 0) -> Element:
    """`tag` of `dataset` with its very octets; `charset` writes what is no longer octets.

    Raises CannotCarry, and KeyError where the element is absent.
    """
    held = dataset.get_item(tag)
    if isinstance(held, RawDataElement):
        carried = _of_raw(held, charset, depth)
    elif held.VR == "SQ":
        carried = _of_items(held.tag, held.value or (), charset, depth)
    else:
        carried = _of_parsed(held, charset)
    if carried.vr not in _LONG and len(carried.value) > 0xFFFE:
        raise CannotCarry(f"{carried.tag} has {len(carried.value)} octets, more than VR {carried.vr} can hold")
    return carried


def _of_raw(held: RawDataElement, charset: list[str], depth: int) -> Element:
    if held.VR == UNWRITABLE:
        raise CannotCarry(f"{held.tag} had a value that cannot be written")
    vr = _vr(held.tag, held.VR)
    value = held.value or b""
    if vr == "SQ":
        try:
            with warnings.catch_warnings():
                # pydicom warns of what is odd within; it is carried as it is
                warnings.simplefilter("ignore")
                items = convert_raw_data_element(held._replace(VR="SQ")).value or ()
        except MALFORMED as error:
            raise CannotCarry(f"{held.tag} is no sequence: {error}") from error
        if value and (not items or not value.startswith((b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"))):
            raise CannotCarry(f"{held.tag} is no sequence: it begins with no whole item")
        return _of_items(held.tag, items, charset, depth)
    unit = _UNITS.get(vr, 1)
    if len(value) % unit:
        raise CannotCarry(f"{held.tag} has {len(value)} octets, no multiple of {unit}")
    if unit > 1 and not held.is_little_endian:
        value = b"".join(value[i : i + unit][::-1] for i in range(0, len(value), unit))
    return Element(tag=held.tag, vr=vr, value=_even(vr, value))


def _of_parsed(held: DataElement, charset: list[str]) -> Element:
    if held.VR == "OB" and isinstance(held.value, bytes):
        # pixels: pydicom would copy them twice to say the same
        return Element(tag=held.tag, vr="OB", value=_even("OB", held.value))
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, True
    try:
        with warnings.catch_warnings():
            # what the character set cannot say would be replaced, with a warning: that is another name
            warnings.simplefilter("error")
            write_data_element(out, held, charset)
    except (*MALFORMED, UserWarning) as error:
        raise CannotCarry(f"{held.tag} cannot be written: {error}") from error
    return Element(tag=held.tag, vr=str(held.VR), value=_even(held.VR, out.getvalue()[8:]))


def _of_items(tag: BaseTag, items: Iterable[Dataset], charset: list[str], depth: int) -> Element:
    if depth >= _DEEPEST:
        raise CannotCarry(f"{tag} lies more than {_DEEPEST} sequences deep")
    value = bytearray()
    for item in items:
        own = charset_of(item) if "SpecificCharacterSet" in item else charset
        tags = (held for held in sorted(item.keys()) if held.element)
        body = b"".join(element(item, held, charset=own, depth=depth + 1).encoded for held in tags)
        value += struct.pack("<HHI", ItemTag.group, ItemTag.element, len(body)) + body
    return Element(tag=tag, vr="SQ", value=bytes(value))


def _vr(tag: BaseTag, said: str | None) -> str:
    """The dictionary's VR; what the source said only where the dictionary knows no single one."""
    try:
        known = dictionary_VR(tag)
    except KeyError:
        known = said or "UN"
    if said == "UN" and known == "SQ":
        # its items are implicit (PS3.5 6.2.2), which UN alone says
        return "UN"
    if len(known) != 2:
        known = said or "UN"
    if known not in _LONG | _TEXTS | _UNITS.keys():
        return "UN"
    return known


def _even(vr: str, value: bytes) -> bytes:
    if len(value) % 2 == 0:
        return value
    return value + (b" " if vr in _TEXTS and vr != "UI" else b"\0")
