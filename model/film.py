"""Data set to film: what a radiologist sees of it, once and for both inference and training.

PS3.4 N.2 in its order: stored values, Modality LUT, VOI LUT, presentation. All of it is one table over the
contents a cell can have, so that a picture of any size is looked up once.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from model.contract import Film, FilmError
from model.pixels import Layout, Raw, cells, layout_of
from model.shutter import shutter_mask
from model.voi import display_window, modality_values

__all__ = ["Film", "FilmError", "film_from"]


def film_from(dataset: Dataset) -> Film:
    """The film as displayed, 0 black to 65535 white, native size and orientation.

    Raises FilmError with one of: no_pixels, truncated, unsupported_transfer_syntax, decode_failed,
    multi_frame, not_greyscale, too_large, too_small.
    """
    layout = layout_of(dataset)
    raw = cells(dataset, layout)
    stored = layout.values()
    padding = _padding(dataset, stored)
    values = modality_values(dataset, stored)
    display, window = display_window(dataset, values, _counts(raw, layout, padding), layout.bits_stored)
    if _inverted(dataset):
        display = 1.0 - display
    table = np.rint(display * 65535.0).astype(np.uint16)
    valid = shutter_mask(dataset, layout.rows, layout.columns)
    if padding is not None:
        table[padding] = 0
        picture = (~padding)[raw]
        if not picture.all():
            valid = picture if valid is None else valid & picture
    pixels = table[raw]
    if valid is not None:
        pixels[~valid] = 0
    return Film(pixels=pixels, valid=valid, window=window)


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
