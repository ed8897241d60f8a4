"""Small valid data sets for every room's tests: a DX, a CR or an SC of a chest, in any transfer syntax."""

import copy
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite, write_dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
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
    SecondaryCaptureImageStorage,
    generate_uid,
)

#: every transfer syntax that the node takes; `chest(...)` can be put into each by `in_syntax`
TRANSFER_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    HTJ2KLossless,
    HTJ2K,
    RLELossless,
)


def film(rows: int, columns: int, bits: int = 12) -> NDArray[np.uint16]:
    """A crude frontal chest, (rows, columns): bright body, two dark lungs, a smooth gradient; no randomness."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    body = 0.75 - 0.15 * np.abs(x)
    for centre in (-0.45, 0.45):
        lung = ((x - centre) / 0.32) ** 2 + (y / 0.7) ** 2 < 1
        body = np.where(lung, 0.25 + 0.1 * (y + 1) / 2, body)
    pixels: NDArray[np.uint16] = (body * ((1 << bits) - 1)).astype(np.uint16)
    return pixels


def chest(rows: int = 64, columns: int = 48, **attributes: Any) -> Dataset:
    """A valid frontal chest DX in Explicit VR Little Endian, 12 bits in 16, with its file meta.

    `attributes` (by keyword) replace or add; None removes. UIDs are fresh at each call unless they are given.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = "20250304"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = "101500"
    dataset.AccessionNumber = "A-1001"
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Manufacturer = "Loopback Radiography"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "Chest PA"
    dataset.SeriesDescription = "PA"
    dataset.PatientName = "Probe^Petra"
    dataset.PatientID = "P-2002"
    dataset.IssuerOfPatientID = "LOOPBACK"
    dataset.PatientBirthDate = "19600501"
    dataset.PatientSex = "F"
    dataset.PatientAge = "064Y"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.StudyID = "1"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImageLaterality = "U"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = rows
    dataset.Columns = columns
    dataset.ImagerPixelSpacing = [0.15, 0.15]
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1
    dataset.RescaleIntercept = 0
    dataset.RescaleSlope = 1
    dataset.RescaleType = "US"
    dataset.WindowCenter = 2048
    dataset.WindowWidth = 4096
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.add_new("PixelData", "OW", film(rows, columns).tobytes())
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return _with_meta(dataset, ExplicitVRLittleEndian)


def computed_radiography(rows: int = 64, columns: int = 48, **attributes: Any) -> Dataset:
    """The same film as a CR; see `chest`."""
    return chest(
        rows,
        columns,
        **{"SOPClassUID": ComputedRadiographyImageStorage, "Modality": "CR", "PresentationIntentType": None}
        | attributes,
    )


def secondary_capture(rows: int = 64, columns: int = 48, **attributes: Any) -> Dataset:
    """The same film wrapped in a Secondary Capture, as real sites do; see `chest`."""
    return chest(
        rows,
        columns,
        **{
            "SOPClassUID": SecondaryCaptureImageStorage,
            "ConversionType": "WSD",
            "PresentationIntentType": None,
            "ImagerPixelSpacing": None,
        }
        | attributes,
    )


def in_syntax(dataset: Dataset, transfer_syntax: UID) -> Dataset:
    """`dataset` (uncompressed, 12 bits in 16) in `transfer_syntax`; the lossy 8-bit one shows the upper 8 bits."""
    transfer_syntax = UID(transfer_syntax)
    changed = _read_back(dataset)
    if transfer_syntax.is_compressed:
        pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(dataset.Rows, dataset.Columns)
        if transfer_syntax == JPEGBaseline8Bit:
            pixels = (pixels >> 4).astype(np.uint8)
            changed.BitsAllocated = changed.BitsStored = 8
            changed.HighBit = 7
            changed.WindowCenter, changed.WindowWidth = 128, 256
        changed.add_new("PixelData", "OB", encapsulate([_ENCODERS[transfer_syntax](pixels)]))
        changed["PixelData"].is_undefined_length = True
        if transfer_syntax in (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K):
            changed.LossyImageCompression = "01"
            changed.LossyImageCompressionRatio = 10
    elif transfer_syntax == ExplicitVRBigEndian:
        changed.PixelData = np.frombuffer(dataset.PixelData, np.uint16).byteswap().tobytes()
    return _with_meta(changed, transfer_syntax)


def data_set_bytes(dataset: Dataset) -> bytes:
    """The data set alone, as it goes over the wire in the transfer syntax of its file meta."""
    syntax = dataset.file_meta.TransferSyntaxUID
    buffer = BytesIO()
    write_dataset(_writer(buffer, syntax), dataset)
    return buffer.getvalue()


def file_bytes(dataset: Dataset) -> bytes:
    """A PS3.10 file."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def write(dataset: Dataset, folder: Path, name: str = "") -> Path:
    """Write a PS3.10 file into `folder`, called `name` or by its SOP Instance UID."""
    path = folder / (name or f"{dataset.SOPInstanceUID}.dcm")
    path.write_bytes(file_bytes(dataset))
    return path


def _with_meta(dataset: Dataset, transfer_syntax: UID) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    dataset.file_meta = meta
    return dataset


def _read_back(dataset: Dataset) -> Dataset:
    """A deep copy that remembers no encoding, so that it may be written in another."""
    copied = Dataset()
    for element in dataset:
        copied[element.tag] = copy.deepcopy(element)
    return copied


def _writer(buffer: BytesIO, syntax: UID) -> Any:
    from pydicom.filebase import DicomIO

    writer = DicomIO(buffer)
    writer.is_little_endian = syntax.is_little_endian
    writer.is_implicit_VR = syntax.is_implicit_VR
    return writer


def _imagecodecs(name: str, **options: Any) -> Callable[[NDArray[Any]], bytes]:
    def encode(pixels: NDArray[Any]) -> bytes:
        import imagecodecs

        return bytes(getattr(imagecodecs, name)(pixels, **options))

    return encode


def _rle(pixels: NDArray[Any]) -> bytes:
    """PS3.5 G: one segment a byte plane, most significant first; literal runs only, row by row."""
    planes = [(pixels >> 8).astype(np.uint8), (pixels & 0xFF).astype(np.uint8)]
    segments = []
    for plane in planes:
        packed = bytearray()
        for row in plane:
            for start in range(0, len(row), 128):
                run = row[start : start + 128].tobytes()
                packed += bytes([len(run) - 1]) + run
        segments.append(bytes(packed) + b"\0" * (len(packed) % 2))
    offsets = np.zeros(16, "<u4")
    offsets[:3] = (2, 64, 64 + len(segments[0]))
    return offsets.tobytes() + b"".join(segments)


_ENCODERS: dict[str, Callable[[NDArray[Any]], bytes]] = {
    JPEGBaseline8Bit: _imagecodecs("jpeg8_encode", level=95),
    JPEGExtended12Bit: _imagecodecs("jpeg_encode", level=95, bitspersample=12),
    JPEGLosslessSV1: _imagecodecs("ljpeg_encode", bitspersample=12),
    JPEGLSLossless: _imagecodecs("jpegls_encode"),
    JPEGLSNearLossless: _imagecodecs("jpegls_encode", level=3),
    JPEG2000Lossless: _imagecodecs("jpeg2k_encode", codecformat="j2k", reversible=True, bitspersample=12),
    JPEG2000: _imagecodecs("jpeg2k_encode", codecformat="j2k", level=50, bitspersample=12),
    HTJ2KLossless: _imagecodecs("htj2k_encode"),
    HTJ2K: _imagecodecs("htj2k_encode"),
    RLELossless: _rle,
}
