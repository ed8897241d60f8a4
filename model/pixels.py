"""Stored pixel values of a data set, decoded by the fastest exact decoder of its transfer syntax.

Everything a data set claims is checked against what is there before memory is asked for: the callers hand in
strangers' files.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from model.codestream import Size, is_whole, jpeg2000_size, jpeg_size
from model.contract import FilmError

#: neither side of a film may be shorter, pixels
LEAST_SIDE = 32
#: nor longer; the largest flat detectors have 4,300 lines, scanned films about 10,000
MOST_SIDE = 16_384
#: rows x columns
MOST_PIXELS = 120_000_000

#: of JPEG 2000, by far the dearest: a picture that comes alone is there sooner, and many at a time cost no more
_THREADS = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

Raw = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How samples lie in their cells (PS3.5 8.1.1)."""

    rows: int
    columns: int
    #: 8 or 16
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def cell(self) -> np.dtype[np.unsignedinteger]:
        """The unsigned type that holds one cell."""
        return np.dtype(np.uint8 if self.bits_allocated == 8 else np.uint16)

    def values(self) -> NDArray[np.int32]:
        """The stored value of every possible cell content: bits outside BitsStored dropped, sign extended."""
        cells = np.arange(1 << self.bits_allocated, dtype=np.int32)
        values = (cells >> (self.high_bit + 1 - self.bits_stored)) & ((1 << self.bits_stored) - 1)
        if self.signed:
            values -= (values >> (self.bits_stored - 1)) << self.bits_stored
        return values


def layout_of(dataset: Dataset) -> Layout:
    """The layout a data set declares. Raises FilmError: multi_frame, not_greyscale, too_large, too_small, …"""
    if "PixelData" not in dataset:
        raise FilmError("no_pixels", "the data set has no Pixel Data")
    frames = _integer(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise FilmError("multi_frame", f"the data set has {frames} frames; a radiograph has one")
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if _integer(dataset, "SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise FilmError("not_greyscale", f"Photometric Interpretation {photometric!r} is not greyscale")
    layout = Layout(
        rows=_integer(dataset, "Rows"),
        columns=_integer(dataset, "Columns"),
        bits_allocated=_integer(dataset, "BitsAllocated"),
        bits_stored=_integer(dataset, "BitsStored", _integer(dataset, "BitsAllocated")),
        high_bit=_integer(dataset, "HighBit", _integer(dataset, "BitsStored", 0) - 1),
        signed=_integer(dataset, "PixelRepresentation", 0) == 1,
    )
    _check_size(layout.rows, layout.columns)
    fits = 1 <= layout.bits_stored <= layout.high_bit + 1 <= layout.bits_allocated
    if layout.bits_allocated not in (8, 16) or not fits:
        raise FilmError(
            "decode_failed",
            f"{layout.bits_stored} bits up to bit {layout.high_bit} in {layout.bits_allocated} bits "
            "cannot be read; 8 and 16 bits allocated can",
        )
    return layout


def cells(dataset: Dataset, layout: Layout) -> Raw:
    """(rows, columns) cells as stored, unsigned. Raises FilmError with the code of what is wrong."""
    syntax = transfer_syntax(dataset)
    if syntax in _NATIVE:
        return _native(_pixel_data(dataset), layout, big=syntax == ExplicitVRBigEndian)
    decode = _DECODERS.get(syntax)
    if decode is None:
        raise FilmError("unsupported_transfer_syntax", f"no decoder for {syntax.name} ({syntax})")
    picture = decode(single_frame(dataset), layout)
    if picture.shape != (layout.rows, layout.columns):
        raise FilmError("decode_failed", f"decoding gave an array of {picture.shape}, not {_sides(layout)}")
    if picture.dtype.itemsize > layout.cell.itemsize or picture.dtype.kind not in "iu":
        raise FilmError("decode_failed", f"decoding gave {picture.dtype} for {layout.bits_allocated} bits allocated")
    unsigned = picture.view(np.dtype(f"u{picture.dtype.itemsize}"))
    return unsigned if unsigned.dtype == layout.cell else unsigned.astype(layout.cell)


def transfer_syntax(dataset: Dataset) -> UID:
    """The declared syntax; for a data set without file meta the one it was read in."""
    meta = getattr(dataset, "file_meta", None)
    declared = meta.get("TransferSyntaxUID") if meta is not None else None
    if declared:
        return UID(declared)
    implicit, little = dataset.original_encoding
    if little is False:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


_NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})


def _integer(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    value = dataset.get(keyword)
    if value is None or value == "":
        if default is None:
            raise FilmError("decode_failed", f"{keyword} is missing")
        return default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise FilmError("decode_failed", f"{keyword} is not one number") from error


def _check_size(rows: int, columns: int) -> None:
    if max(rows, columns) > MOST_SIDE or rows * columns > MOST_PIXELS:
        raise FilmError("too_large", f"{rows} x {columns} pixels; at most {MOST_PIXELS:,} are read")
    if min(rows, columns) < LEAST_SIDE:
        raise FilmError("too_small", f"{rows} x {columns} pixels; each side needs {LEAST_SIDE}")


def _sides(layout: Layout) -> str:
    return f"{layout.rows} x {layout.columns}"


def _native(data: bytes, layout: Layout, *, big: bool) -> Raw:
    wanted = layout.rows * layout.columns * layout.cell.itemsize
    if len(data) < wanted:
        raise FilmError("truncated", f"{len(data):,} bytes of Pixel Data where {_sides(layout)} is {wanted:,}")
    if len(data) >= wanted + layout.columns * layout.cell.itemsize:
        raise FilmError("decode_failed", f"{len(data):,} bytes of Pixel Data, but {_sides(layout)} is {wanted:,}")
    if big and layout.bits_allocated == 8 and len(data) % 2 == 0:
        # 8-bit cells in OW words are swapped pairwise in big endian (PS3.5 annex A.3).
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
    cell = layout.cell.newbyteorder(">" if big else "<")
    stored = np.frombuffer(data, cell, layout.rows * layout.columns).reshape(layout.rows, layout.columns)
    return stored.astype(layout.cell, copy=False)


def _pixel_data(dataset: Dataset) -> bytes:
    data = dataset["PixelData"].value
    if not isinstance(data, bytes | bytearray | memoryview) or len(data) == 0:
        raise FilmError("no_pixels", "the Pixel Data element is empty")
    return bytes(data)


def single_frame(dataset: Dataset) -> bytes:
    """The one frame of encapsulated Pixel Data (PS3.5 A.4), its fragments joined. Raises FilmError."""
    try:
        frames = list(generate_frames(_pixel_data(dataset), number_of_frames=1))
    except (ValueError, EOFError, OSError) as error:
        raise FilmError("truncated", f"the encapsulated Pixel Data is damaged: {error}") from error
    if not frames or not frames[0]:
        raise FilmError("no_pixels", "the encapsulated Pixel Data holds no frame")
    return frames[0]


def check(stream: bytes, size: Size | None, layout: Layout) -> None:
    """What the codestream says of itself must be what the data set says. Raises FilmError."""
    if size is None:
        raise FilmError("decode_failed", "the Pixel Data does not begin as its transfer syntax says")
    if size.components != 1:
        raise FilmError("not_greyscale", f"the compressed picture has {size.components} components")
    if (size.rows, size.columns) != (layout.rows, layout.columns):
        raise FilmError(
            "decode_failed", f"Rows x Columns is {_sides(layout)}, the picture {size.rows} x {size.columns}"
        )
    if not is_whole(stream):
        raise FilmError("truncated", "the compressed picture has no end marker")


def _run(decode: Callable[[bytes], NDArray[np.integer]], stream: bytes) -> NDArray[np.integer]:
    try:
        return decode(stream)
    except (RuntimeError, ValueError, MemoryError, imagecodecs.DelayedImportError) as error:
        raise FilmError("decode_failed", f"the compressed picture cannot be decoded: {error}") from error


def _jpeg(decode: Callable[[bytes], NDArray[np.integer]]) -> Callable[[bytes, Layout], NDArray[np.integer]]:
    def run(stream: bytes, layout: Layout) -> NDArray[np.integer]:
        check(stream, jpeg_size(stream), layout)
        return _run(decode, stream)

    return run


def _jpeg2000(decode: Callable[[bytes], NDArray[np.integer]]) -> Callable[[bytes, Layout], NDArray[np.integer]]:
    def run(stream: bytes, layout: Layout) -> NDArray[np.integer]:
        check(stream, jpeg2000_size(stream), layout)
        return _run(decode, stream)

    return run


def _rle(stream: bytes, layout: Layout) -> NDArray[np.integer]:
    """PS3.5 annex G; the header names one segment a byte of the cell."""
    wanted = layout.rows * layout.columns * layout.cell.itemsize
    if len(stream) < 64 or int.from_bytes(stream[:4], "little") != layout.cell.itemsize:
        raise FilmError("decode_failed", "the RLE header does not fit Bits Allocated")
    if wanted > 64 * len(stream):
        raise FilmError("truncated", f"{len(stream):,} bytes of RLE cannot hold {_sides(layout)}")
    decoded = _run(lambda data: _rle_cells(data, layout.cell), stream)
    if decoded.size != layout.rows * layout.columns:
        code = "truncated" if decoded.size < layout.rows * layout.columns else "decode_failed"
        raise FilmError(code, f"RLE gave {decoded.size:,} pixels where {_sides(layout)} was declared")
    return decoded.reshape(layout.rows, layout.columns)


def _rle_cells(stream: bytes, cell: np.dtype[np.unsignedinteger]) -> NDArray[np.integer]:
    return np.frombuffer(imagecodecs.dicomrle_decode(stream, cell), cell)


_DECODERS: dict[UID, Callable[[bytes, Layout], NDArray[np.integer]]] = {
    JPEGBaseline8Bit: _jpeg(imagecodecs.jpeg8_decode),
    JPEGExtended12Bit: _jpeg(imagecodecs.jpeg8_decode),
    JPEGLossless: _jpeg(imagecodecs.ljpeg_decode),
    JPEGLosslessSV1: _jpeg(imagecodecs.ljpeg_decode),
    JPEGLSLossless: _jpeg(imagecodecs.jpegls_decode),
    JPEGLSNearLossless: _jpeg(imagecodecs.jpegls_decode),
    JPEG2000Lossless: _jpeg2000(partial(imagecodecs.jpeg2k_decode, numthreads=_THREADS)),
    JPEG2000: _jpeg2000(partial(imagecodecs.jpeg2k_decode, numthreads=_THREADS)),
    HTJ2KLossless: _jpeg2000(imagecodecs.htj2k_decode),
    HTJ2KLosslessRPCL: _jpeg2000(imagecodecs.htj2k_decode),
    HTJ2K: _jpeg2000(imagecodecs.htj2k_decode),
    RLELossless: _rle,
}
