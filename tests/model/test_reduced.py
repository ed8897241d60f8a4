"""Less of a picture: on the scale of the full one, and never where that would show something else."""

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
)

from model.contract import Film
from model.film import FilmError, film_from
from model.pixels import layout_of
from model.reduced import brought_down, halvings, reduced_cells
from tests.datasets import chest, film, in_syntax

#: what a codestream of each syntax is made by, of values of so many bits
ENCODERS = {
    JPEG2000Lossless: lambda values, bits: imagecodecs.jpeg2k_encode(
        values, codecformat="j2k", reversible=True, bitspersample=bits
    ),
    JPEG2000: lambda values, bits: imagecodecs.jpeg2k_encode(values, codecformat="j2k", level=60, bitspersample=bits),
    HTJ2KLossless: lambda values, _: imagecodecs.htj2k_encode(values, reversible=True),
    HTJ2K: lambda values, _: imagecodecs.htj2k_encode(values, reversible=False),
    JPEGBaseline8Bit: lambda values, _: imagecodecs.jpeg8_encode(values, level=98),
}
#: syntaxes and depths of which a lower resolution is decoded alone; these encoders of HTJ2K know 8 and 16 bits only
REDUCED = [
    (JPEG2000Lossless, 8), (JPEG2000Lossless, 12), (JPEG2000Lossless, 16), (JPEG2000, 12),
    (HTJ2KLossless, 8), (HTJ2KLossless, 16), (HTJ2K, 16), (JPEGBaseline8Bit, 8),
]  # fmt: skip


def holding(stream: bytes, values: NDArray[np.integer], bits: int, syntax: UID) -> Dataset:
    """A data set around a codestream, displayed as its values are."""
    dataset = chest(
        BitsAllocated=8 * values.itemsize,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=int(values.dtype.kind == "i"),
        WindowCenter=(1 << bits) / 2 - (values.dtype.kind == "i") * (1 << (bits - 1)),
        WindowWidth=1 << bits,
    )
    dataset.Rows, dataset.Columns = values.shape
    dataset.PixelData = encapsulate([bytes(stream)])
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def smooth(rows: int, columns: int, bits: int) -> NDArray[np.unsignedinteger]:
    """Waves over most of the grey scale, none of them steep."""
    y, x = np.mgrid[0:rows, 0:columns]
    shown = 0.5 + 0.2 * np.sin(x / 9) + 0.2 * np.cos(y / 7)
    return np.rint(shown * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize(("shape", "times"), [((2047, 9), 0), ((4095, 4095), 0), ((9, 4096), 1), ((8192, 9), 2)])
def test_how_often_a_film_is_halved(shape: tuple[int, int], times: int) -> None:
    assert halvings(shape, 2048) == times


def test_a_film_is_brought_down_by_means_of_four() -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (200, 134)).astype(np.uint16)
    down = brought_down(Film(pixels=pixels, window=(1.0, 2.0, "LINEAR")), 50)
    assert down.native == down.shape == (200, 134)
    assert down.window == (1.0, 2.0, "LINEAR")
    once = pixels.reshape(100, 2, 67, 2).mean((1, 3))
    twice = np.pad(once, ((0, 0), (0, 1)), "edge").reshape(50, 2, 34, 2).mean((1, 3))
    assert np.abs(down.pixels - twice).max() <= 1


def test_a_film_that_has_no_more_than_enough_stays_as_it_is() -> None:
    small = Film(pixels=film(99, 60))
    assert brought_down(small, 50) is small
    assert small.native is None
    assert small.shape == (99, 60)


def test_what_is_no_picture_in_part_is_none() -> None:
    valid = np.ones((101, 61), np.bool_)
    valid[:3] = valid[:, :5] = valid[100] = False
    pixels = np.where(valid, 60000, 0).astype(np.uint16)
    down = brought_down(Film(pixels=pixels, valid=valid), 50)
    assert down.valid is not None
    assert down.valid.shape == down.pixels.shape == (51, 31)
    expected = np.zeros((51, 31), np.bool_)
    expected[2:50, 3:] = True
    np.testing.assert_array_equal(down.valid, expected)
    assert set(np.unique(down.pixels[down.valid])) == {60000}
    assert not down.pixels[~down.valid].any()


@pytest.mark.parametrize(
    ("syntax", "bits"), REDUCED, ids=lambda value: UID(value).name if len(str(value)) > 2 else value
)
@pytest.mark.parametrize("shape", [(200, 160), (201, 161)])
def test_a_lower_resolution_is_the_same_picture(syntax: UID, bits: int, shape: tuple[int, int]) -> None:
    values = smooth(*shape, bits)
    dataset = holding(ENCODERS[syntax](values, bits), values, bits, syntax)
    less = film_from(dataset, enough=100)
    assert less.pixels.shape == ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    assert less.native == less.shape == shape
    full = film_from(dataset)
    assert full.native is None
    expected = brought_down(full, 100)
    difference = less.pixels.astype(int) - expected.pixels
    # a sample of a wavelet lies half a pixel beside the mean of four, which on these waves is a fortieth, and rounded
    assert np.abs(difference).max() < 0.035 * 65535
    # the reversible transform rounds to whole stored values
    assert abs(difference.mean()) < max(0.002 * 65535, 65535 / ((1 << bits) - 1)), "on the same scale"


def test_signed_values_keep_their_sign() -> None:
    values = (smooth(200, 160, 16).astype(np.int32) - (1 << 15)).astype(np.int16)
    stream = imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, bitspersample=16)
    dataset = holding(stream, values, 16, JPEG2000Lossless)
    less, full = film_from(dataset, enough=100), brought_down(film_from(dataset), 100)
    assert less.native == (200, 160)
    assert np.abs(less.pixels.astype(int) - full.pixels).max() < 0.035 * 65535


def low_pass(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """One reversible 5/3 step along the rows (T.800 F.3.8.2, by its equations): the low-pass half."""
    last = len(values) - 1

    def at(index: int) -> NDArray[np.int64]:
        return values[last - abs(last - abs(index))]  # mirrored at both ends

    def high(index: int) -> NDArray[np.int64]:
        return at(index) - (at(index - 1) + at(index + 1)) // 2

    return np.stack([at(n) + (high(n - 1) + high(n + 1) + 2) // 4 for n in range(0, len(values), 2)])


def test_the_lower_resolution_is_the_standards_bit_by_bit() -> None:
    values = np.random.default_rng(3).integers(1000, 3000, (75, 64)).astype(np.uint16)
    dataset = holding(ENCODERS[JPEG2000Lossless](values, 12), values, 12, JPEG2000Lossless)
    expected = low_pass(low_pass(values.astype(np.int64)).T).T
    np.testing.assert_array_equal(reduced_cells(dataset, layout_of(dataset), 1), expected)


def test_twice_as_low() -> None:
    values = smooth(402, 320, 12)
    less = film_from(holding(ENCODERS[JPEG2000Lossless](values, 12), values, 12, JPEG2000Lossless), enough=100)
    assert less.pixels.shape == (101, 80)
    assert less.native == (402, 320)


def test_a_picture_that_is_no_larger_than_enough_is_read_in_full() -> None:
    values = smooth(199, 160, 12)
    dataset = holding(ENCODERS[JPEG2000Lossless](values, 12), values, 12, JPEG2000Lossless)
    assert film_from(dataset, enough=100).native is None


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless])
def test_a_syntax_that_holds_no_lower_resolution_is_read_in_full(syntax: UID) -> None:
    dataset = in_syntax(chest(200, 160), syntax)
    less = film_from(dataset, enough=100)
    assert less.native is None
    np.testing.assert_array_equal(less.pixels, film_from(dataset).pixels)


def made(**attributes: object) -> Dataset:
    values = smooth(200, 160, 12)
    dataset = holding(ENCODERS[JPEG2000Lossless](values, 12), values, 12, JPEG2000Lossless)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_padding_shutters_and_foreign_bits_are_read_in_full() -> None:
    assert film_from(made(), enough=100).native == (200, 160)
    padded = made()
    padded.add_new("PixelPaddingValue", "US", 0)
    shutter = made(
        ShutterShape="RECTANGULAR",
        ShutterUpperHorizontalEdge=10,
        ShutterLowerHorizontalEdge=190,
        ShutterLeftVerticalEdge=10,
        ShutterRightVerticalEdge=150,
    )
    # an overlay in the bits above the picture's: mixed with its neighbours it would be taken for picture
    foreign = made(BitsStored=10, HighBit=9)
    shifted = made(BitsStored=10, HighBit=11)
    misread = made(PixelRepresentation=1)
    for dataset in (padded, shutter, foreign, shifted, misread):
        less, full = film_from(dataset, enough=100), film_from(dataset)
        assert less.native is None
        np.testing.assert_array_equal(less.pixels, full.pixels)
    assert film_from(shutter, enough=100).valid is not None


def test_a_stream_without_levels_is_read_in_full() -> None:
    values = smooth(200, 160, 12)
    stream = imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, bitspersample=12, resolutions=1)
    less = film_from(holding(stream, values, 12, JPEG2000Lossless), enough=100)
    assert less.native is None
    assert less.pixels.shape == (200, 160)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless, JPEGBaseline8Bit])
def test_what_cannot_be_read_is_refused_for_the_same_reason(syntax: UID) -> None:
    bits = 8 if syntax == JPEGBaseline8Bit else 16
    values = smooth(200, 160, bits)
    whole = bytes(ENCODERS[syntax](values, bits))
    lying, cut = holding(whole, values, bits, syntax), holding(whole[: len(whole) // 2], values, bits, syntax)
    lying.Rows = 201
    garbage = holding(whole[:90] + b"\x12\x34" * 500 + b"\xff\xd9", values, bits, syntax)
    for dataset in (lying, cut, garbage):
        codes = []
        for enough in (None, 100):
            try:
                film_from(dataset, enough=enough)
                codes.append("read")
            except FilmError as error:
                codes.append(error.code)
        assert codes[0] == codes[1]
    assert codes[0] != "read" or syntax == JPEGBaseline8Bit, "of a JPEG what is left is shown"
