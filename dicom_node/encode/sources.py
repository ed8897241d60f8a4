"""How a result names the image that it was made from."""

import math

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_node.encode.identity import read_text

#: the largest value of VR IS
_IS_MOST = 2**31 - 1


def code_item(code: Code) -> Dataset:
    """One item of a code sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def source_image(header: Dataset) -> Dataset:
    """An item of Source Image Sequence (0008,2112): pixels were processed, orientation and place kept."""
    item = referenced_image(header)
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SourceImageForImageProcessingOperation)]
    return item


def derivation_image(header: Dataset) -> Dataset:
    """An item of Derivation Image Sequence (0008,9124), PS3.3 C.7.6.16.2.6."""
    source = source_image(header)
    source.SpatialLocationsPreserved = "YES"
    item = Dataset()
    item.SourceImageSequence = [source]
    item.DerivationCodeSequence = [code_item(codes.DCM.SegmentationImageDerivation)]
    return item


def referenced_series(header: Dataset) -> Dataset:
    """An item of Referenced Series Sequence (0008,1115), PS3.3 C.12.2."""
    item = Dataset()
    item.SeriesInstanceUID = read_text(header, "SeriesInstanceUID")
    item.ReferencedInstanceSequence = [referenced_image(header)]
    return item


def referenced_image(header: Dataset) -> Dataset:
    """An item that names the source (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = read_text(header, "SOPClassUID")
    item.ReferencedSOPInstanceUID = read_text(header, "SOPInstanceUID")
    return item


def result_instance_number(header: Dataset) -> int:
    """Instance Number of the result: in the order of the source's series number, then of its instance number.

    A study's overlays lie in one series, its films seldom do: two films with Instance Number 1 must not collide.
    """
    series = _positive(read_text(header, "SeriesNumber"))
    instance = _positive(read_text(header, "InstanceNumber"))
    return max(1, min(series, _IS_MOST // 1000 - 1) * 1000 + min(instance, 999))


def pixel_spacing(header: Dataset) -> tuple[float, float] | None:
    """(between rows, between columns) in mm: Pixel Spacing or Imager Pixel Spacing; None where neither makes sense."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        pair = _pair(read_text(header, keyword))
        # beyond 1 cm or below 1 µm nothing is a radiograph
        if pair is not None and all(1e-3 < value < 10 for value in pair):
            return pair
    return None


def pixel_aspect(header: Dataset) -> float:
    """Height of a pixel over its width; 1 where the source does not say, or says nonsense."""
    pair = pixel_spacing(header) or _pair(read_text(header, "PixelAspectRatio"))
    if pair is None or not 0.2 <= pair[0] / pair[1] <= 5:
        return 1.0
    return pair[0] / pair[1]


def _pair(text: str) -> tuple[float, float] | None:
    try:
        first, second = (float(part) for part in text.split("\\"))
    except ValueError:
        return None
    if not (math.isfinite(first) and math.isfinite(second) and first > 0 and second > 0):
        return None
    return first, second


def _positive(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0
