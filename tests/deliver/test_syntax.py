"""Another lossless syntax at send is the same result."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from dicom_node.deliver.syntax import alternatives, in_syntax
from tests.datasets import chest

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


def as_file(dataset: Dataset) -> bytes:
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("sent", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_identity_and_pixels_stay(kept: UID, sent: str) -> None:
    original = overlay(kept)
    changed = dcmread(BytesIO(in_syntax(as_file(original), sent)))
    assert changed.file_meta.TransferSyntaxUID == sent
    assert (changed.pixel_array == original.pixel_array).all()
    for element in original:
        if element.keyword != "PixelData":
            assert changed[element.tag] == element, element.keyword
    assert {element.tag for element in changed} == {element.tag for element in original}


def test_refuses_a_syntax_that_may_lose_something() -> None:
    with pytest.raises(ValueError, match="not one of the uncompressed"):
        in_syntax(as_file(overlay(ExplicitVRLittleEndian)), JPEG2000)


def test_the_syntax_that_it_is_kept_in_comes_first() -> None:
    assert alternatives(RLELossless)[0] == RLELossless
    assert alternatives(ImplicitVRLittleEndian) == (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
