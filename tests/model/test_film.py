"""From a data set to what a radiologist sees, in every transfer syntax; and what is refused, by which code."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from model.film import FilmError, film_from
from tests.datasets import TRANSFER_SYNTAXES, chest, in_syntax

#: syntaxes that change values; Baseline shows the upper eight bits besides
LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)


def with_pixels(values: np.ndarray, **attributes: object) -> Dataset:
    """A data set of the given stored values; 16 bits allocated unless they are 8-bit."""
    bits = values.dtype.itemsize * 8
    dataset = chest(
        *values.shape,
        **{"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1, "WindowCenter": None, "WindowWidth": None}
        | attributes,
    )
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes()
    return dataset


def ramp(dtype: str = "<u2", low: int = 0, high: int = 4095) -> np.ndarray:
    return np.linspace(low, high, 64 * 48).reshape(64, 48).round().astype(dtype)


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES, ids=lambda uid: UID(uid).name)
def test_every_syntax_shows_the_same_film(syntax: UID) -> None:
    plain = chest(96, 80)
    expected = film_from(plain).pixels.astype(int)
    shown = film_from(in_syntax(plain, syntax)).pixels.astype(int)
    if syntax in LOSSY:
        assert np.abs(shown - expected).mean() < 0.06 * 65535
    else:
        np.testing.assert_array_equal(shown, expected)


def test_signed_values_with_rescale_and_window() -> None:
    values = ramp("<i2", -1000, 1000)
    dataset = with_pixels(values, RescaleSlope=2, RescaleIntercept=100, WindowCenter=100, WindowWidth=4001)
    shown = film_from(dataset).pixels
    expected = np.clip((values * 2.0 + 100 - 99.5) / 4000 + 0.5, 0, 1) * 65535
    np.testing.assert_allclose(shown, expected, atol=1)


def test_bits_outside_bits_stored_are_dropped() -> None:
    values = ramp(high=4095)
    clean = with_pixels(values, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096)
    dirty = with_pixels(values | 0xF000, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096)
    shifted = with_pixels(values << 4, BitsStored=12, HighBit=15, WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_array_equal(film_from(dirty).pixels, film_from(clean).pixels)
    np.testing.assert_array_equal(film_from(shifted).pixels, film_from(clean).pixels)


@pytest.mark.parametrize(
    ("function", "centre_level", "quarter_level"),
    [("LINEAR", 0.5, 0.25), ("LINEAR_EXACT", 0.5, 0.25), ("SIGMOID", 0.5, 1 / (1 + np.e))],
)
def test_voi_functions(function: str, centre_level: float, quarter_level: float) -> None:
    values = np.full((64, 48), 2000, "<u2")
    values[0, :], values[1, :], values[2:8, :] = 1000, 0, 4000
    dataset = with_pixels(values, WindowCenter=[2000, 5], WindowWidth=[4000, 5], VOILUTFunction=function)
    shown = film_from(dataset).pixels / 65535
    assert shown[20, 20] == pytest.approx(centre_level, abs=1e-3)
    assert shown[0, 0] == pytest.approx(quarter_level, abs=1e-3)


def test_a_film_says_its_window_whosever_it_is() -> None:
    said = {"WindowCenter": [2000, 5], "WindowWidth": [4000, 5], "VOILUTFunction": "SIGMOID"}
    assert film_from(with_pixels(ramp(), **said)).window == (2000, 4000, "SIGMOID")
    # a window that shows nothing is not the one that it is displayed with
    for ours in ({}, {"WindowCenter": 60_000, "WindowWidth": 10}):
        film = film_from(with_pixels(ramp(), RescaleSlope=3, RescaleIntercept=-50, **ours))
        assert film.window is not None
        centre, width, function = film.window
        again = film_from(
            with_pixels(
                ramp(),
                RescaleSlope=3,
                RescaleIntercept=-50,
                WindowCenter=f"{centre:.10g}",
                WindowWidth=f"{width:.10g}",
                VOILUTFunction=function,
            )
        )
        np.testing.assert_allclose(again.pixels.astype(int), film.pixels.astype(int), atol=1)
        assert again.window == film.window
    assert film_from(with_pixels(ramp("u1", 9, 90))).window == (128, 256, "LINEAR")


def test_voi_lut_sequence_goes_before_the_window() -> None:
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [4096, 0, 16])
    lut.add_new("LUTData", "OW", ((np.arange(4096) ** 2) // 256).astype("<u2").tobytes())
    dataset = with_pixels(ramp(), WindowCenter=2048, WindowWidth=4096, VOILUTSequence=[lut])
    shown = film_from(dataset).pixels.astype(int)
    np.testing.assert_allclose(shown, (ramp().astype(int) ** 2) // 256, atol=1)
    assert film_from(dataset).window is None


def test_modality_lut_sequence() -> None:
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [256, 0, 16])
    lut.add_new("LUTData", "US", [255 - value for value in range(256)])
    lut.ModalityLUTType = "US"
    values = ramp("u1", 0, 255)
    dataset = with_pixels(values, ModalityLUTSequence=[lut], WindowCenter=128, WindowWidth=256)
    np.testing.assert_allclose(film_from(dataset).pixels, (255 - values.astype(int)) * 257, atol=1)


def test_low_is_bright_in_monochrome1_and_with_an_inverse_presentation() -> None:
    plain = film_from(with_pixels(ramp("u1", 0, 255))).pixels
    once = film_from(with_pixels(ramp("u1", 0, 255), PhotometricInterpretation="MONOCHROME1")).pixels
    both = film_from(
        with_pixels(ramp("u1", 0, 255), PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    ).pixels
    np.testing.assert_array_equal(once, 65535 - plain)
    np.testing.assert_array_equal(both, once)


def test_padding_is_no_picture_and_moves_no_window() -> None:
    values = ramp(low=1000, high=2000)
    padded = values.copy()
    padded[:, :10] = 60000
    film = film_from(with_pixels(padded, PixelPaddingValue=60000))
    assert film.valid is not None
    assert not film.valid[:, :10].any()
    assert film.valid[:, 10:].all()
    assert film.pixels[:, :10].max() == 0
    assert film.pixels[:, 10:].max() == 65535


def test_a_range_of_padding() -> None:
    values = ramp()
    film = film_from(with_pixels(values, PixelPaddingValue=0, PixelPaddingRangeLimit=100))
    assert film.valid is not None
    np.testing.assert_array_equal(film.valid, values > 100)


def test_shutters_combine() -> None:
    dataset = chest(100, 100, ShutterShape=["RECTANGULAR", "CIRCULAR", "POLYGONAL"])
    dataset.ShutterUpperHorizontalEdge, dataset.ShutterLowerHorizontalEdge = 11, 90
    dataset.ShutterLeftVerticalEdge, dataset.ShutterRightVerticalEdge = 21, 80
    dataset.CenterOfCircularShutter, dataset.RadiusOfCircularShutter = [50, 50], 45
    dataset.VerticesOfThePolygonalShutter = [1, 1, 1, 100, 100, 1]
    film = film_from(dataset)
    assert film.valid is not None
    assert film.valid[30, 30]
    assert not film.valid[9, 50]
    assert film.valid[10, 50]
    assert not film.valid[30, 19]
    assert film.valid[30, 20]
    assert not film.valid[89, 79]
    assert not film.valid[10, 20]
    assert film.pixels[~film.valid].max() == 0


def test_a_window_that_shows_nothing_is_not_believed() -> None:
    film = film_from(with_pixels(ramp(), WindowCenter=60000, WindowWidth=10))
    assert film.pixels.std() > 10000


@pytest.mark.parametrize("window", [("", ""), (None, 100), (100, 0)])
def test_no_usable_window_is_a_window_of_the_picture(window: tuple[object, object]) -> None:
    film = film_from(with_pixels(ramp(low=1000, high=1500), WindowCenter=window[0], WindowWidth=window[1]))
    assert film.pixels.min() == 0
    assert film.pixels.max() == 65535


def code_of(dataset: Dataset) -> str:
    with pytest.raises(FilmError) as caught:
        film_from(dataset)
    return caught.value.code


def test_what_is_no_film_says_so() -> None:
    assert code_of(chest(PixelData=None)) == "no_pixels"
    assert code_of(chest(NumberOfFrames=96)) == "multi_frame"
    assert code_of(chest(PhotometricInterpretation="RGB", SamplesPerPixel=3)) == "not_greyscale"
    assert code_of(chest(PhotometricInterpretation="PALETTE COLOR")) == "not_greyscale"
    assert code_of(chest(Rows=65535, Columns=65535)) == "too_large"
    assert code_of(chest(Rows=8, Columns=8)) == "too_small"
    assert code_of(chest(Rows=65)) == "truncated"
    assert code_of(chest(Rows=40)) == "decode_failed"
    assert code_of(chest(BitsAllocated=32, BitsStored=32, HighBit=31)) == "decode_failed"
    assert code_of(chest(HighBit=3)) == "decode_failed"
    assert code_of(chest(Columns=None)) == "decode_failed"


def test_deflated_is_not_ours() -> None:
    dataset = chest()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert code_of(dataset) == "unsupported_transfer_syntax"


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEGLosslessSV1, RLELossless])
def test_a_compressed_picture_that_is_not_what_it_claims(syntax: UID) -> None:
    lied = in_syntax(chest(96, 80), syntax)
    lied.Rows = 95
    assert code_of(lied) in ("decode_failed", "truncated")
    cut = in_syntax(chest(96, 80), syntax)
    cut.PixelData = cut.PixelData[:-64]
    assert code_of(cut) in ("truncated", "decode_failed")
    empty = in_syntax(chest(96, 80), syntax)
    empty.PixelData = b""
    assert code_of(empty) == "no_pixels"
    garbage = in_syntax(chest(96, 80), syntax)
    garbage.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + bytes(range(256)) * 8])
    assert code_of(garbage) in ("truncated", "decode_failed")


def test_eight_bit_words_of_big_endian() -> None:
    values = ramp("u1", 0, 255)
    dataset = with_pixels(values)
    swapped = np.frombuffer(values.tobytes(), "<u2").astype(">u2").tobytes()
    dataset.PixelData = swapped
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    shown = film_from(dataset).pixels
    dataset.PixelData = values.tobytes()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    np.testing.assert_array_equal(shown, film_from(dataset).pixels)


REAL = {
    "cr_chest_headless_nopreamble": (440, 440),
    "cr_chest_mono1_10bit_440": (440, 440),
    "neg_cr_hip_jpegls": (2140, 1760),
    "neg_cr_leg_mono1_rle": (1760, 1760),
    "neg_mg_voilut": (3062, 2394),
    "neg_rf_ercp": (1024, 1024),
    "nih_dx_implicitle_8bit": (1024, 1024),
    "rg1_chest_mono1_jpegls_near": (1955, 1841),
    "siim_cr_pa_jpegbaseline": (1024, 1024),
    "neg_xa_96frames_jpeg": "multi_frame",
    "bad_cr_chest_nopixel_japanese": "no_pixels",
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_real_files(data: Path, name: str) -> None:
    dataset = pydicom.dcmread(data / "dicom" / f"{name}.dcm", force=True)
    expected = REAL[name]
    if isinstance(expected, str):
        assert code_of(dataset) == expected
        return
    film = film_from(dataset)
    assert film.pixels.shape == expected
    assert film.pixels.std() > 3000


@pytest.mark.data
def test_lungs_are_dark_whatever_the_photometric_interpretation(data: Path) -> None:
    for name in ("rg1_chest_mono1_jpegls_near", "siim_cr_pa_jpegbaseline", "cr_chest_mono1_10bit_440"):
        pixels = film_from(pydicom.dcmread(data / "dicom" / f"{name}.dcm", force=True)).pixels.astype(float)
        rows, columns = pixels.shape
        lung = pixels[int(rows * 0.3) : int(rows * 0.5), int(columns * 0.22) : int(columns * 0.32)].mean()
        spine = pixels[int(rows * 0.3) : int(rows * 0.5), int(columns * 0.48) : int(columns * 0.52)].mean()
        assert spine > lung, name
