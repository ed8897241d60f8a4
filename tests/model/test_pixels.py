"""Every decoder is exact: lossless comes back bit by bit, and dcmtk reads the same of real files."""

import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from model.pixels import cells, layout_of
from tests.datasets import chest
from tests.peers import program

#: bits stored, and whether the values are signed
DEPTHS = ((8, False), (10, False), (12, False), (14, True), (16, False), (16, True))
#: each lossless syntax and the encoder that makes it; JPEG Lossless has no negative numbers: their bits are its samples
LOSSLESS = {
    JPEGLossless: lambda values, bits: imagecodecs.ljpeg_encode(values, bitspersample=bits),
    JPEGLosslessSV1: lambda values, bits: imagecodecs.ljpeg_encode(values, bitspersample=bits),
    JPEGLSLossless: lambda values, _: imagecodecs.jpegls_encode(values),
    JPEG2000Lossless: lambda values, bits: imagecodecs.jpeg2k_encode(
        values, codecformat="j2k", reversible=True, bitspersample=bits
    ),
    HTJ2KLossless: lambda values, _: imagecodecs.htj2k_encode(values, reversible=True),
    HTJ2KLosslessRPCL: lambda values, _: imagecodecs.htj2k_encode(values, reversible=True),
}


def noise(bits: int, shape: tuple[int, int] = (77, 65)) -> NDArray[np.unsignedinteger]:
    """Every value as likely as any other, and both extremes: the hardest picture for a predictor."""
    values = np.random.default_rng(bits).integers(0, 1 << bits, shape, endpoint=False)
    values[0, 0], values[-1, -1] = 0, (1 << bits) - 1
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def holding(stream: bytes, values: NDArray[np.unsignedinteger], bits: int, syntax: UID, *, signed: bool) -> Dataset:
    """A data set around a codestream."""
    rows, columns = values.shape
    dataset = chest(
        BitsAllocated=8 * values.itemsize, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=int(signed)
    )
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelData = encapsulate([stream])
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


@pytest.mark.parametrize(("bits", "signed"), DEPTHS)
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: UID(uid).name)
def test_what_was_encoded_without_loss_comes_back_bit_by_bit(syntax: UID, bits: int, signed: bool) -> None:
    values = noise(bits)
    dataset = holding(LOSSLESS[syntax](values, bits), values, bits, syntax, signed=signed)
    np.testing.assert_array_equal(cells(dataset, layout_of(dataset)), values)


@pytest.mark.parametrize("bits", [8, 16])
def test_rle_as_pydicom_writes_it(bits: int) -> None:
    values = np.sort(noise(bits), axis=1)  # with runs
    plain = chest(BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1)
    plain.Rows, plain.Columns = values.shape
    plain.PixelData = values.tobytes()
    plain.compress(RLELossless, encoding_plugin="pydicom")
    np.testing.assert_array_equal(cells(plain, layout_of(plain)), values)


def test_signed_jpeg_2000() -> None:
    values = noise(16).view(np.int16)
    stream = imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, bitspersample=16)
    dataset = holding(stream, values.view(np.uint16), 16, JPEG2000Lossless, signed=True)
    np.testing.assert_array_equal(cells(dataset, layout_of(dataset)), values.view(np.uint16))


@pytest.mark.parametrize("near", [1, 3, 7])
def test_near_lossless_is_no_further_off_than_it_says(near: int) -> None:
    values = noise(12)
    stream = imagecodecs.jpegls_encode(values, level=near)
    dataset = holding(stream, values, 12, JPEGLSNearLossless, signed=False)
    assert np.abs(cells(dataset, layout_of(dataset)).astype(int) - values).max() <= near


#: real files, dcmtk's decoder of each, and by how much theirs may differ: two inverse DCTs may round apart (T.83)
REAL = {
    "neg_cr_hip_jpegls": ("dcmdjpls", 0),
    "neg_cr_leg_mono1_rle": ("dcmdrle", 0),
    "neg_mg_voilut": ("dcmdjpeg", 0),
    "rg1_chest_mono1_jpegls_near": ("dcmdjpls", 0),
    "siim_cr_fake_mono1": ("dcmdjpeg", 1),
    "siim_cr_pa_jpegbaseline": ("dcmdjpeg", 1),
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_dcmtk_reads_the_same_of_real_files(data: Path, tmp_path: Path, name: str) -> None:
    decoder, tolerance = REAL[name]
    plain = tmp_path / "plain.dcm"
    subprocess.run([program(decoder), data / "dicom" / f"{name}.dcm", plain], check=True)
    ours, theirs = pydicom.dcmread(data / "dicom" / f"{name}.dcm"), pydicom.dcmread(plain)
    layout = layout_of(ours)
    difference = cells(ours, layout).astype(int) - cells(theirs, layout)
    assert np.abs(difference).max() <= tolerance


def test_dcmtks_jpeg_lossless_with_every_predictor(tmp_path: Path) -> None:
    values = noise(12)
    dataset = chest()
    dataset.Rows, dataset.Columns = values.shape
    dataset.PixelData = values.tobytes()
    dataset.save_as(tmp_path / "plain.dcm", enforce_file_format=True)
    for predictor in range(1, 8):
        made = tmp_path / f"{predictor}.dcm"
        said = ["+el", "+sv", str(predictor), tmp_path / "plain.dcm", made]
        subprocess.run([program("dcmcjpeg"), *said], check=True)
        compressed = pydicom.dcmread(made)
        assert compressed.file_meta.TransferSyntaxUID == JPEGLossless
        np.testing.assert_array_equal(cells(compressed, layout_of(compressed)), values)
