"""A chest of 2,500 × 3,000 in every transfer syntax, and all that is installed and free to use that can decode it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from model.pixels import cells, layout_of, single_frame
from tests.datasets import in_syntax

#: as tables call them
NAMES: Mapping[str, str] = {
    ImplicitVRLittleEndian: "Implicit VR Little Endian",
    ExplicitVRLittleEndian: "Explicit VR Little Endian",
    RLELossless: "RLE Lossless",
    JPEGBaseline8Bit: "JPEG Baseline, 8 bits",
    JPEGExtended12Bit: "JPEG Extended, 12 bits",
    JPEGLosslessSV1: "JPEG Lossless SV1",
    JPEGLSLossless: "JPEG-LS lossless",
    JPEGLSNearLossless: "JPEG-LS near-lossless",
    JPEG2000Lossless: "JPEG 2000 lossless",
    JPEG2000: "JPEG 2000 lossy",
    HTJ2KLossless: "HTJ2K lossless",
    HTJ2K: "HTJ2K",
}
LOSSLESS = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        RLELossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEG2000Lossless,
        HTJ2KLossless,
    }
)

Pixels = NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Coded:
    """One picture in one transfer syntax."""

    syntax: UID
    dataset: Dataset

    @property
    def name(self) -> str:
        """As tables call its syntax."""
        return NAMES[self.syntax]

    def ours(self) -> Pixels:
        """What the node decodes."""
        return cells(self.dataset, layout_of(self.dataset))

    def others(self) -> dict[str, Callable[[], Pixels]]:
        """Every other way that is at hand, by its name; `pydicom` is what it decodes with as it comes."""
        ways: dict[str, Callable[[], Pixels]] = {"pydicom": self._by_pydicom}
        if self.syntax in _OTHERS:
            stream = single_frame(self.dataset)
            for name, decode in _OTHERS[self.syntax].items():
                ways[name] = partial(decode, stream)
        return {name: way for name, way in ways.items() if _works(way)}

    def _by_pydicom(self) -> Pixels:
        # it keeps what it has decoded
        self.dataset._pixel_array = None
        self.dataset._pixel_id = {}
        decoded: Pixels = self.dataset.pixel_array
        return decoded


def coded(dataset: Dataset) -> list[Coded]:
    """`dataset`, 12 bits in 16 and uncompressed, in every syntax that is measured."""
    made = [Coded(syntax=UID(syntax), dataset=in_syntax(dataset, UID(syntax))) for syntax in NAMES]
    for one in made:
        if one.syntax == RLELossless:
            one.dataset.PixelData = encapsulate([_with_runs(dataset)])
    return made


def _with_runs(dataset: Dataset) -> bytes:
    """RLE as a modality writes it (PS3.5 G): the tests' own encoder makes no runs, which no decoder's time shows."""
    pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(dataset.Rows, dataset.Columns)
    planes = [imagecodecs.packbits_encode(plane.astype(np.uint8)) for plane in (pixels >> 8, pixels & 0xFF)]
    segments = [bytes(plane) + b"\0" * (len(plane) % 2) for plane in planes]
    offsets = np.zeros(16, "<u4")
    offsets[:3] = (2, 64, 64 + len(segments[0]))
    return offsets.tobytes() + b"".join(segments)


def _works(way: Callable[[], Pixels]) -> bool:
    try:
        way()
    except (RuntimeError, ValueError, NotImplementedError, AttributeError):  # an alternative that cannot is left out
        return False
    return True


def _pillow(stream: bytes) -> Pixels:
    return np.asarray(Image.open(BytesIO(stream)))


def _pillow_jpeg2000(stream: bytes) -> Pixels:
    spread = _pillow(stream)
    moved: Pixels = spread >> 4  # Pillow moves 12 bits to the top of 16
    return moved


_JPEG_LOSSLESS = {"imagecodecs jpegsof3": imagecodecs.jpegsof3_decode}
_JPEG_2000: dict[str, Callable[[bytes], Pixels]] = {
    "Pillow (OpenJPEG)": _pillow_jpeg2000,
    "imagecodecs, one thread": imagecodecs.jpeg2k_decode,
}
_HTJ2K = {"OpenJPEG": imagecodecs.jpeg2k_decode}
#: what reads a codestream of each syntax besides; pylibjpeg-libjpeg is GPL, and not for us
_OTHERS: Mapping[UID, Mapping[str, Callable[[bytes], Pixels]]] = {
    JPEGBaseline8Bit: {"Pillow": _pillow},
    JPEGLosslessSV1: _JPEG_LOSSLESS,
    JPEG2000Lossless: _JPEG_2000,
    JPEG2000: _JPEG_2000,
    HTJ2KLossless: _HTJ2K,
    HTJ2K: _HTJ2K,
}
