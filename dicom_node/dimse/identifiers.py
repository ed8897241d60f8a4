"""Identifiers of queries, and the matches that come back (PS3.7 9.1.2.1.5)."""

import struct
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode

from dicom_node.dimse.commands import CommandError


def encoded_identifier(identifier: Dataset, syntax: UID) -> bytes:
    """`identifier` as it goes out. Raises ValueError for one that cannot be encoded."""
    encoded = encode(identifier, syntax.is_implicit_VR, syntax.is_little_endian)
    if encoded is None:
        raise ValueError("an identifier that cannot be encoded")
    return bytes(encoded)


def decoded_identifier(match: bytes, syntax: UID) -> Dataset:
    """A match as it came. Raises CommandError."""
    try:
        found: Dataset = decode(BytesIO(match), syntax.is_implicit_VR, syntax.is_little_endian)
    except (ValueError, EOFError, NotImplementedError, RecursionError, struct.error) as error:
        raise CommandError(f"a match that is no data set ({type(error).__name__})") from error
    return found
