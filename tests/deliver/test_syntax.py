"""Another lossless syntax at send is the same result."""

import subprocess
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from dicom_node.deliver.syntax import alternatives, in_syntax
from tests.datasets import chest, file_bytes
from tests.peers import program

#: what results are compressed into
SMALLER = (str(RLELossless), str(JPEGLosslessSV1), str(JPEGLSLossless), str(JPEG2000Lossless))
KEPT = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEGLSLossless)


def overlay(syntax: UID) -> Dataset:
    """A colour Secondary Capture of noise, in `syntax`."""
    dataset = chest(
        SOPClassUID=SecondaryCaptureImageStorage,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
    )
    dataset.PixelData = np.random.default_rng(1).integers(0, 256, (64, 48, 3), dtype=np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    if syntax in (RLELossless, JPEGLSLossless):
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("sent", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_identity_and_pixels_stay(kept: UID, sent: str) -> None:
    original = overlay(kept)
    changed = dcmread(BytesIO(in_syntax(file_bytes(original), sent)))
    assert changed.file_meta.TransferSyntaxUID == sent
    assert (changed.pixel_array == original.pixel_array).all()
    for element in original:
        if element.keyword != "PixelData":
            assert changed[element.tag] == element, element.keyword
    assert {element.tag for element in changed} == {element.tag for element in original}


def test_refuses_a_syntax_that_may_lose_something() -> None:
    with pytest.raises(ValueError, match="not one of the lossless"):
        in_syntax(file_bytes(overlay(ExplicitVRLittleEndian)), JPEG2000)


def test_the_syntax_that_it_is_kept_in_comes_first() -> None:
    assert alternatives(RLELossless)[0] == RLELossless
    assert alternatives(ImplicitVRLittleEndian) == (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


@st.composite
def pictures(draw: st.DrawFn) -> Dataset:
    """A Secondary Capture of 8 bits, grey or in colour, of any small size: flat, noisy, or half of each."""
    rows, columns = draw(st.integers(1, 70)), draw(st.integers(1, 300))
    samples = draw(st.sampled_from((1, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    pixels = rng.integers(0, 256, (rows, columns, samples), dtype=np.uint8)
    pixels[: draw(st.integers(0, rows))] = draw(st.integers(0, 255))
    dataset = overlay(ExplicitVRLittleEndian)
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, samples
    if samples == 1:
        dataset.PhotometricInterpretation = "MONOCHROME2"
        del dataset.PlanarConfiguration
    dataset.PixelData = pixels.tobytes() + bytes(pixels.size % 2)
    dataset["PixelData"].VR = "OB"
    return dataset


def _column() -> Dataset:
    """One column in colour: what numpy calls contiguous is not so to every encoder."""
    dataset = overlay(ExplicitVRLittleEndian)
    dataset.Rows, dataset.Columns = 5, 1
    dataset.PixelData = dataset.PixelData[:15] + b"\0"
    return dataset


@example(original=_column(), syntax=str(RLELossless))
@given(original=pictures(), syntax=st.sampled_from(SMALLER))
def test_compression_keeps_every_value_of_every_picture(original: Dataset, syntax: str) -> None:
    if syntax == JPEGLosslessSV1 and original.SamplesPerPixel == 3:
        with pytest.raises(ValueError, match="colour"):
            in_syntax(file_bytes(original), syntax)
        return
    compressed = dcmread(BytesIO(in_syntax(file_bytes(original), syntax)))
    assert compressed.file_meta.TransferSyntaxUID == syntax
    shape = (original.Rows, original.Columns, 3)[: 3 if original.SamplesPerPixel == 3 else 2]
    assert np.array_equal(decoded(compressed).reshape(shape), original.pixel_array.reshape(shape))
    assert compressed.PhotometricInterpretation == original.PhotometricInterpretation
    back = dcmread(BytesIO(in_syntax(file_bytes(original), ExplicitVRLittleEndian)))
    assert back == original


def decoded(dataset: Dataset) -> NDArray[np.uint8]:
    """The picture as other libraries than the one that encoded it read it."""
    if dataset.file_meta.TransferSyntaxUID == JPEG2000Lossless:
        return np.asarray(Image.open(BytesIO(get_frame(dataset.PixelData, 0, number_of_frames=1))))
    if dataset.file_meta.TransferSyntaxUID == JPEGLosslessSV1:
        return np.asarray(imagecodecs.jpegsof3_decode(get_frame(dataset.PixelData, 0, number_of_frames=1)))
    return np.asarray(dataset.pixel_array)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("syntax", "decoder", "samples"),
    [
        (RLELossless, "dcmdrle", 1),
        (RLELossless, "dcmdrle", 3),
        (JPEGLSLossless, "dcmdjpls", 1),
        (JPEGLSLossless, "dcmdjpls", 3),
        (JPEGLosslessSV1, "dcmdjpeg", 1),
    ],
)
def test_dcmtk_reads_the_same_values(syntax: UID, decoder: str, samples: int, tmp_path: Path) -> None:
    original = overlay(ExplicitVRLittleEndian)
    if samples == 1:
        original.SamplesPerPixel, original.PhotometricInterpretation = 1, "MONOCHROME2"
        del original.PlanarConfiguration
        original.PixelData = original.PixelData[: 64 * 48]
    (tmp_path / "in.dcm").write_bytes(in_syntax(file_bytes(original), syntax))
    command = [program(decoder), str(tmp_path / "in.dcm"), str(tmp_path / "out.dcm")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert np.array_equal(dcmread(tmp_path / "out.dcm").pixel_array, original.pixel_array)


def test_a_single_bit_a_pixel_is_not_compressed() -> None:
    seg = overlay(ExplicitVRLittleEndian)
    seg.BitsAllocated = seg.BitsStored = 1
    with pytest.raises(ValueError, match="8 bits a sample"):
        in_syntax(file_bytes(seg), RLELossless)


def test_jpeg_lossless_predicts_from_the_left() -> None:
    """Selection value 1, which the transfer syntax promises, stands in the header of the scan (ITU-T T.81 B.2.3)."""
    grey = overlay(ExplicitVRLittleEndian)
    grey.SamplesPerPixel, grey.PhotometricInterpretation = 1, "MONOCHROME2"
    del grey.PlanarConfiguration
    grey.PixelData = grey.PixelData[: 64 * 48]
    frame = get_frame(dcmread(BytesIO(in_syntax(file_bytes(grey), JPEGLosslessSV1))).PixelData, 0, number_of_frames=1)
    scan = frame.index(b"\xff\xda")
    assert frame[scan + 4] == 1
    assert frame[scan + 7 : scan + 10] == bytes([1, 0, 0])


def test_the_smaller_syntaxes_come_before_the_one_that_it_is_kept_in() -> None:
    wanted = (str(JPEG2000), str(JPEGLSLossless), str(RLELossless))
    kept, implicit = str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)
    # nothing here encodes a lossy one
    assert alternatives(kept, wanted) == (str(JPEGLSLossless), str(RLELossless), kept, implicit)
