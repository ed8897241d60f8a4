"""Data set to film: what a radiologist sees of it, once and for both inference and training.

PS3.4 N.2 in its order: stored values, Modality LUT, VOI LUT, presentation. All of it is one table over the
contents a cell can have, so that a picture of any size is looked up once.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from model.contract import Film, FilmError
from model.pixels import Layout, Raw, cells, layout_of
from model.reduced import halvings, reduced_cells
from model.shutter import shutter_mask
from model.voi import display_window, modality_values

__all__ = ["Film", "FilmError", "film_from"]

#: pixels that are looked up at a time: the indices that numpy makes of them stay in a core's cache
_AT_A_TIME = 1 << 16

_Entry = TypeVar("_Entry", np.uint16, np.bool_)


def film_from(dataset: Dataset, *, enough: int | None = None) -> Film:
    """The film as displayed, 0 black to 65535 white, native size and orientation.

    `enough`: a long side of so many pixels will do. Where the transfer syntax holds the picture at a lower resolution
    that has as many, no more than that is decoded, and `Film.native` is the size of the data set. Not where there is
    padding or a shutter: a picture's edge would be mixed with what is none.

    Raises FilmError with one of: no_pixels, truncated, unsupported_transfer_syntax, decode_failed,
    multi_frame, not_greyscale, too_large, too_small.
    """
    layout = layout_of(dataset)
    reduced = None if enough is None else _reduced(dataset, layout, enough)
    raw = cells(dataset, layout) if reduced is None else reduced
    stored = layout.values()
    padding = _padding(dataset, stored)
    values = modality_values(dataset, stored)
    display, window = display_window(dataset, values, _counts(raw, layout, padding), layout.bits_stored)
    if _inverted(dataset):
        display = 1.0 - display
    table = np.rint(display * 65535.0).astype(np.uint16)
    valid = None if reduced is not None else shutter_mask(dataset, layout.rows, layout.columns)
    if padding is not None:
        table[padding] = 0
        picture = _looked_up(~padding, raw)
        if not picture.all():
            valid = picture if valid is None else valid & picture
    pixels = _looked_up(table, raw)
    if valid is not None:
        pixels[~valid] = 0
    native = None if reduced is None else (layout.rows, layout.columns)
    return Film(pixels=pixels, valid=valid, window=window, native=native)


def _reduced(dataset: Dataset, layout: Layout, enough: int) -> Raw | None:
    times = halvings((layout.rows, layout.columns), enough)
    if times == 0 or "PixelPaddingValue" in dataset or "ShutterShape" in dataset:
        return None
    return reduced_cells(dataset, layout, times)


def _looked_up(table: NDArray[_Entry], raw: Raw) -> NDArray[_Entry]:
    """What `table` has for each cell; `table[raw]` would write and read eight bytes of index a pixel."""
    found = np.empty(raw.shape, table.dtype)
    cell, entry = raw.reshape(-1), found.reshape(-1)
    for start in range(0, raw.size, _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        np.take(table, cell[part], mode="clip", out=entry[part])
    return found


def _counts(raw: Raw, layout: Layout, padding: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """How often each cell content occurs on every fourth line and column, padding apart."""
    counts = np.bincount(raw[::4, ::4].ravel(), minlength=1 << layout.bits_allocated)
    if padding is not None:
        counts[padding] = 0
    return counts


def _padding(dataset: Dataset, stored: NDArray[np.int32]) -> NDArray[np.bool_] | None:
    """Cell contents that are padding (PS3.3 C.7.5.1.1.2): a value, or the range from it to its limit."""
    first = _number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = _number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((first, first if last is None else last))
    # A padding value read with the wrong sign still means the same bits.
    span = 1 << 16
    return ((stored >= low) & (stored <= high)) | ((stored - span >= low) & (stored - span <= high))


def _number(dataset: Dataset, keyword: str) -> int | None:
    value = dataset.get(keyword)
    return value if isinstance(value, int) else None


def _inverted(dataset: Dataset) -> bool:
    """Low values are bright: said by either attribute, and by both in DX (PS3.3 C.8.11.3)."""
    return str(dataset.PhotometricInterpretation) == "MONOCHROME1" or (
        str(dataset.get("PresentationLUTShape", "")) == "INVERSE"
    )
