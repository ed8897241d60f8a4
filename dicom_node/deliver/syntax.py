"""The same result in another lossless transfer syntax, for a destination that does not take the one it is kept in."""

from io import BytesIO

from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

#: what every object can be turned into without loss; each archive takes one of them (PS3.5 10.1)
UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def alternatives(transfer_syntax_uid: str) -> tuple[str, ...]:
    """The transfer syntaxes that a result kept in `transfer_syntax_uid` may be sent in, as it is kept first."""
    return (transfer_syntax_uid, *(str(uid) for uid in UNCOMPRESSED if uid != transfer_syntax_uid))


def in_syntax(file: bytes, transfer_syntax_uid: str) -> bytes:
    """The PS3.10 file `file` in Explicit or Implicit VR Little Endian; identity and pixel values stay.

    Only for results of ours: each is kept in a lossless syntax. Raises ValueError for another target.
    """
    if transfer_syntax_uid not in UNCOMPRESSED:
        raise ValueError(f"{transfer_syntax_uid} is not one of the uncompressed little endian syntaxes")
    dataset = dcmread(BytesIO(file))
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(as_rgb=False, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()
