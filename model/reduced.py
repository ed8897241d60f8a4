"""Less of a picture than there is: a lower resolution decoded alone, or made of the full one by means.

JPEG 2000 and HTJ2K hold a picture at half its size, and that again, and so on (ITU-T T.800 annex F); of the DCT of JPEG
the low frequencies alone give it at a half, a quarter or an eighth. Both are means of neighbours on the very scale of
the stored values.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from pydicom import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from model.codestream import jpeg2000_size, jpeg_size, wavelets
from model.contract import Film
from model.pixels import Layout, Raw, check, single_frame, transfer_syntax

#: rows that are halved at a time; even, and their sums stay in a core's cache
_STRIP = 64


def halvings(shape: tuple[int, int], enough: int) -> int:
    """How often `shape` (rows, columns) can be halved and have `enough` pixels or more on its long side."""
    return max(0, (max(shape) // enough).bit_length() - 1)


def brought_down(film: Film, enough: int) -> Film:
    """The film, its size halved as long as `enough` pixels stay on its long side: each pixel a mean of four.

    What is no picture is none afterwards either, nor is what was in part.
    """
    for _ in range(halvings(film.pixels.shape, enough)):
        valid = None if film.valid is None else _all_of_four(film.valid)
        pixels = _means_of_four(film.pixels)
        if valid is not None:
            pixels[~valid] = 0
        film = replace(film, pixels=pixels, valid=valid, native=film.shape)
    return film


def reduced_cells(dataset: Dataset, layout: Layout, times: int) -> Raw | None:
    """(rows, columns) cells, each halved `times` times and rounded up; None where all of it must be decoded.

    That is where the transfer syntax or the stream holds no such picture, and where cells may hold more than stored
    values: foreign bits, mixed with their neighbours, could no more be dropped. Raises FilmError.
    """
    decode = _DECODERS.get(transfer_syntax(dataset))
    if decode is None or layout.high_bit + 1 != layout.bits_stored:
        return None
    smaller: NDArray[np.integer] | None = None
    # a stream that cannot be read so is read in full, and that says what is wrong with it
    with contextlib.suppress(RuntimeError, ValueError, OSError, SyntaxError, imagecodecs.DelayedImportError):
        smaller = decode(single_frame(dataset), layout, times)
    if smaller is None or smaller.shape != tuple(-(-side >> times) for side in (layout.rows, layout.columns)):
        return None
    return smaller.astype(layout.cell, copy=False)


def _jpeg2000(stream: bytes, layout: Layout, times: int) -> NDArray[np.integer] | None:
    if not _has_levels(stream, layout, times):
        return None
    picture = Jpeg2KImageFile(BytesIO(stream))
    picture.reduce = times
    # Pillow moves the values to the top of 8 or 16 bits, and signed ones up by half the range
    spread = np.asarray(picture)
    values: NDArray[np.integer] = spread >> (8 * spread.dtype.itemsize - layout.bits_stored)
    return values ^ values.dtype.type(1 << (layout.bits_stored - 1)) if layout.signed else values


def _htj2k(stream: bytes, layout: Layout, times: int) -> NDArray[np.integer] | None:
    if not _has_levels(stream, layout, times):
        return None
    picture: NDArray[np.integer] = imagecodecs.htj2k_decode(stream, skipres=times)
    return picture


def _has_levels(stream: bytes, layout: Layout, times: int) -> bool:
    check(stream, jpeg2000_size(stream), layout)
    held = wavelets(stream)
    return (
        held is not None
        and held.levels >= times
        and (held.precision, held.signed) == (layout.bits_stored, layout.signed)
    )


def _jpeg(stream: bytes, layout: Layout, times: int) -> NDArray[np.integer] | None:
    check(stream, jpeg_size(stream), layout)
    if layout.bits_stored != 8 or layout.signed or times > 3:
        return None
    picture = JpegImageFile(BytesIO(stream))
    picture.draft("L", (layout.columns >> times, layout.rows >> times))
    return np.asarray(picture)


def _means_of_four(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Of an odd side the last pixel is its own neighbour."""
    rows, columns = pixels.shape
    halved = np.empty((-(-rows // 2), -(-columns // 2)), np.uint16)
    even = np.pad(pixels, ((0, rows % 2), (0, columns % 2)), "edge") if rows % 2 or columns % 2 else pixels
    for top in range(0, len(even), _STRIP):
        part = even[top : top + _STRIP]
        lines = np.add(part[0::2], part[1::2], dtype=np.uint32)
        sums = lines[:, 0::2] + lines[:, 1::2]
        sums += 2
        sums >>= 2
        halved[top // 2 : top // 2 + len(sums)] = sums
    return halved


def _all_of_four(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = valid.shape
    every = valid[::2, ::2].copy()
    every[: rows // 2] &= valid[1::2, ::2]
    every[:, : columns // 2] &= valid[::2, 1::2]
    every[: rows // 2, : columns // 2] &= valid[1::2, 1::2]
    return every


_DECODERS: dict[UID, Callable[[bytes, Layout, int], NDArray[np.integer] | None]] = {
    JPEG2000Lossless: _jpeg2000,
    JPEG2000: _jpeg2000,
    HTJ2KLossless: _htj2k,
    HTJ2KLosslessRPCL: _htj2k,
    HTJ2K: _htj2k,
    JPEGBaseline8Bit: _jpeg,
}
