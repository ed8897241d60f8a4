"""Files that were made to hurt whoever parses them, or that are broken as real ones are."""

import struct
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from tests import datasets

_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
_END_OF_ITEM = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
_END_OF_SEQUENCE = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
#: Referenced Study Sequence (0008,1110), of undefined length: whoever reads it must walk through it
_SEQUENCE = struct.pack("<HH2sHI", 0x0008, 0x1110, b"SQ", 0, 0xFFFFFFFF)


def raw_element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """A data element in Explicit VR Little Endian with a 2-byte length, whatever its VR."""
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def with_raw(folder: Path, name: str, octets: bytes, dataset: Dataset | None = None) -> Path:
    """A chest whose data set begins with these octets, in the place of (0008,0000..0008,1110)."""
    dataset = dataset or datasets.chest()
    whole = datasets.file_bytes(dataset)
    body = datasets.data_set_bytes(dataset)
    path = folder / name
    path.write_bytes(whole[: -len(body)] + octets + body)
    return path


def nested(folder: Path, depth: int) -> Path:
    """Sequences in sequences."""
    octets = (_SEQUENCE + _ITEM) * depth + (_END_OF_ITEM + _END_OF_SEQUENCE) * depth
    return with_raw(folder, "nested.dcm", octets)


def empty_items(folder: Path, count: int) -> Path:
    """One sequence with very many items of no length."""
    return with_raw(folder, "items.dcm", _SEQUENCE + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * count + _END_OF_SEQUENCE)


def lying_length(folder: Path) -> Path:
    """Pixel Data that claims 4 GiB and holds three bytes."""
    dataset = datasets.chest()
    del dataset.PixelData
    path = datasets.write(dataset, folder, "lying.dcm")
    path.write_bytes(path.read_bytes() + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, 0xFFFFFFF0) + b"abc")
    return path


def cut(folder: Path, *, keep: float, syntax: str = ExplicitVRLittleEndian) -> Path:
    """A chest of which only the first part arrived."""
    path = datasets.write(datasets.in_syntax(datasets.chest(256, 256), syntax), folder, "cut.dcm")
    octets = path.read_bytes()
    path.write_bytes(octets[: int(len(octets) * keep)])
    return path


def small_file_large_picture(folder: Path, rows: int = 11_000, columns: int = 10_000) -> Path:
    """RLE that unpacks 1 : 64, all black."""
    from pydicom.encaps import encapsulate

    dataset = datasets.in_syntax(datasets.chest(), RLELossless)
    dataset.Rows, dataset.Columns = rows, columns
    segment = b"\x81\x00" * (rows * columns // 128)
    header = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13)
    dataset.PixelData = encapsulate([header + segment * 2])
    dataset["PixelData"].is_undefined_length = True
    return datasets.write(dataset, folder, "bomb.dcm")
