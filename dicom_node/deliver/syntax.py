"""The same result in another lossless transfer syntax: a smaller one, or the one that the destination takes."""

from collections.abc import Callable, Mapping
from io import BytesIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

#: what every object can be turned into without loss; each archive takes one of them (PS3.5 10.1)
UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def alternatives(transfer_syntax_uid: str, smaller: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The transfer syntaxes that a result kept in `transfer_syntax_uid` may be sent in, the most wanted first.

    `smaller` are those to compress it into, in their order; what nothing here encodes is left out.
    """
    encoded = [uid for uid in smaller if uid in _ENCODERS]
    return tuple(dict.fromkeys((*encoded, transfer_syntax_uid, *map(str, UNCOMPRESSED))))


def in_syntax(file: bytes, transfer_syntax_uid: str) -> bytes:
    """The PS3.10 file `file` in another syntax, uncompressed or losslessly compressed; identity and pixel values stay.

    Only for results of ours: each is kept in a lossless syntax. Raises ValueError for a syntax that may lose
    something, and for pixels that it cannot hold (a single bit a pixel, colour in JPEG Lossless).
    """
    if transfer_syntax_uid not in UNCOMPRESSED and transfer_syntax_uid not in _ENCODERS:
        raise ValueError(f"{transfer_syntax_uid} is not one of the lossless syntaxes that results are sent in")
    dataset = dcmread(BytesIO(file))
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(as_rgb=False, generate_instance_uid=False)
    if transfer_syntax_uid in _ENCODERS:
        _compress(dataset, transfer_syntax_uid)
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _compress(dataset: Dataset, transfer_syntax_uid: str) -> None:
    """One frame of 8 bits a sample, grey or colour by pixel: what our pictures are."""
    samples = int(dataset.get("SamplesPerPixel", 0))
    if (
        int(dataset.get("BitsAllocated", 0)) != 8
        or int(dataset.get("NumberOfFrames", None) or 1) != 1
        or (samples != 1 and (samples != 3 or dataset.get("PlanarConfiguration") != 0))
    ):
        raise ValueError("only single frames of 8 bits a sample, colour by pixel, are compressed")
    shape = (int(dataset.Rows), int(dataset.Columns), samples)
    pixels = np.frombuffer(dataset.PixelData, np.uint8)[: np.prod(shape)].reshape(shape[: 2 if samples == 1 else 3])
    try:
        dataset.PixelData = encapsulate([_ENCODERS[transfer_syntax_uid](pixels)])
    except RuntimeError as error:  # what every encoder of imagecodecs raises
        raise ValueError(f"its pixels cannot be compressed: {error}") from error
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    if transfer_syntax_uid == RLELossless and samples > 1:
        # its segments are planes already, and the standard wants that said (PS3.5 8.2.2)
        dataset.PlanarConfiguration = 1


def _rle(pixels: NDArray[np.uint8]) -> bytes:
    """RLE (PS3.5 Annex G): a segment a sample, each row packed on its own."""
    planes = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    segments = []
    for plane in planes:
        packed = bytes(imagecodecs.packbits_encode(plane.copy(), axis=-1))
        segments.append(packed + bytes(len(packed) % 2))
    header = np.zeros(16, "<u4")
    header[0] = len(segments)
    header[1 : 1 + len(segments)] = 64 + np.cumsum([0, *map(len, segments[:-1])])
    return header.tobytes() + b"".join(segments)


def _jpeg_lossless(pixels: NDArray[np.uint8]) -> bytes:
    if pixels.ndim != 2:
        raise ValueError("colour is not sent in JPEG Lossless: decoders do not agree on its colour space")
    # predictor 1 is what First-Order Prediction means (PS3.5 A.4.1)
    return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1))


def _jpeg_ls(pixels: NDArray[np.uint8]) -> bytes:
    # noise does not get smaller, and the encoder's own buffer is as large as the picture
    return bytes(imagecodecs.jpegls_encode(pixels, out=2 * pixels.nbytes + 1024))


def _jpeg_2000(pixels: NDArray[np.uint8]) -> bytes:
    # without the transform of its colours, which would be another Photometric Interpretation
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, level=0, mct=False))


_ENCODERS: Mapping[str, Callable[[NDArray[np.uint8]], bytes]] = {
    str(RLELossless): _rle,
    str(JPEGLosslessSV1): _jpeg_lossless,
    str(JPEGLSLossless): _jpeg_ls,
    str(JPEG2000Lossless): _jpeg_2000,
}
