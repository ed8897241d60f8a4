"""Modality LUT and VOI LUT over a table of values (PS3.3 C.11.1 and C.11.2)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

Values = NDArray[np.float64]
#: centre, width and VOI LUT Function of a window, in what the Modality LUT gives (PS3.3 C.11.2.1.2)
Window = tuple[float, float, str]

#: shares of the picture that a window of ours leaves out at either end, where the data set has none
_DEFAULT_WINDOW = (0.002, 0.998)
#: a VOI that leaves the middle 96 % of the picture less than this share of the grey scale shows nothing
_LEAST_CONTRAST = 0.02


def modality_values(dataset: Dataset, stored: NDArray[np.int32]) -> Values:
    """Stored values through the Modality LUT Sequence, or rescaled, or as they are."""
    sequence = dataset.get("ModalityLUTSequence")
    if sequence:
        table = _lut(sequence[0], signed=bool(stored.min() < 0))
        if table is not None:
            first, entries, _ = table
            return entries[np.clip(stored - first, 0, len(entries) - 1)]
    slope, intercept = _first(dataset, "RescaleSlope"), _first(dataset, "RescaleIntercept")
    return stored.astype(np.float64) * (1.0 if slope is None or slope == 0 else slope) + (intercept or 0.0)


def display_window(
    dataset: Dataset, values: Values, counts: NDArray[np.int64], bits_stored: int
) -> tuple[Values, Window | None]:
    """`values` as display levels 0..1, by the first VOI LUT or window that shows anything; and that window.

    `counts` says how often each occurs. Without a usable VOI: 8-bit pictures as they are, others from the
    0.2 to the 99.8 percentile of the picture. The window is None where a VOI LUT, or nothing, is shown.
    """
    table = _voi_lut(dataset, values)
    if table is not None and _shows(table, counts):
        return table, None
    window = _window(dataset)
    if window is not None:
        display = _FUNCTIONS[window[2]](values, window[0], window[1])
        if display is not None and _shows(display, counts):
            return display, window
    if bits_stored <= 8:
        low, high = float(values.min()), float(values.max())
    else:
        low, high = _percentiles(values, counts, _DEFAULT_WINDOW)
    if high <= low:
        return np.zeros_like(values), None
    return np.clip((values - low) / (high - low), 0.0, 1.0), ((low + high + 1) / 2, high - low + 1, "LINEAR")


def _voi_lut(dataset: Dataset, values: Values) -> Values | None:
    sequence = dataset.get("VOILUTSequence")
    table = _lut(sequence[0], signed=bool(values.min() < 0)) if sequence else None
    if table is None:
        return None
    first, entries, bits = table
    index = np.clip(np.rint(values).astype(np.int64) - first, 0, len(entries) - 1)
    # Some tables say 16 bits and mean fewer, none may say fewer than it holds.
    top = max((1 << bits) - 1, int(entries.max()))
    return entries[index] / top


def _window(dataset: Dataset) -> Window | None:
    centre, width = _first(dataset, "WindowCenter"), _first(dataset, "WindowWidth")
    if centre is None or width is None:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    return centre, width, function if function in _FUNCTIONS else "LINEAR"


def _linear(values: Values, centre: float, width: float) -> Values | None:
    """PS3.3 C.11.2.1.2.1: a width of 1 is a threshold."""
    if width < 1:
        return None
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)


def _linear_exact(values: Values, centre: float, width: float) -> Values | None:
    """PS3.3 C.11.2.1.3.2."""
    return None if width <= 0 else np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _sigmoid(values: Values, centre: float, width: float) -> Values | None:
    """PS3.3 C.11.2.1.3.1."""
    if width <= 0:
        return None
    return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))


_FUNCTIONS: dict[str, Callable[[Values, float, float], Values | None]] = {
    "LINEAR": _linear,
    "LINEAR_EXACT": _linear_exact,
    "SIGMOID": _sigmoid,
}


def _shows(display: Values, counts: NDArray[np.int64]) -> bool:
    low, high = _percentiles(display, counts, (0.02, 0.98))
    return high - low >= _LEAST_CONTRAST


def _percentiles(values: Values, counts: NDArray[np.int64], shares: tuple[float, float]) -> tuple[float, float]:
    occurs = np.flatnonzero(counts)
    if len(occurs) == 0:
        return 0.0, 0.0
    by_value = occurs[np.argsort(values[occurs], kind="stable")]
    cumulated = np.cumsum(counts[by_value])
    low, high = (by_value[np.searchsorted(cumulated, share * cumulated[-1])] for share in shares)
    return float(values[low]), float(values[high])


def _first(dataset: Dataset, keyword: str) -> float | None:
    """The first of one or several decimal strings; None where it is absent, empty or no number."""
    value: Any = dataset.get(keyword)
    if value is not None and not isinstance(value, str | int | float) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    try:
        number = None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None
    return number if number is not None and np.isfinite(number) else None


def _lut(item: Dataset, *, signed: bool) -> tuple[int, Values, int] | None:
    """First value mapped, entries and bits of a LUT item (PS3.3 C.11.1.1); None where it is unusable."""
    descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or data is None or len(descriptor) != 3:
        return None
    count, first, bits = (int(value) for value in descriptor)
    count = (count & 0xFFFF) or 1 << 16
    if signed and first > 0x7FFF:
        first -= 1 << 16
    entries = _lut_data(data, count, bits)
    if entries is None or not 1 <= bits <= 16:
        return None
    return first, entries.astype(np.float64), bits


def _lut_data(data: Any, count: int, bits: int) -> NDArray[np.integer] | None:
    """LUT Data as US or SS numbers, or as OW bytes: two a value, or packed one by one at 8 bits."""
    if isinstance(data, bytes):
        packed = bits <= 8 and len(data) < 2 * count
        entries: NDArray[np.integer] = np.frombuffer(data, np.uint8 if packed else "<u2", len(data) // (2 - packed))
    else:
        entries = np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
    return entries[:count] if len(entries) >= count else None
