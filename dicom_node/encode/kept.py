"""A header as it is kept beside an image until its study is reported: octets in, the same octets out."""

import base64
import json

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node.encode.identity import IDENTITY_KEYWORDS, header_of, tag_of

#: what a report wants of a source besides its identity: where it lies, what made it, when, and its spacing
_BESIDE = """
SOPClassUID SOPInstanceUID SeriesInstanceUID Modality PixelSpacing SeriesDate SeriesTime AcquisitionDate AcquisitionTime
AcquisitionDateTime ContentDate ContentTime InstanceCreationDate InstanceCreationTime Manufacturer ManufacturerModelName
DeviceSerialNumber SoftwareVersions StationName
"""
_TAGS = frozenset(map(tag_of, (*IDENTITY_KEYWORDS, *_BESIDE.split())))


def pack(header: Dataset) -> bytes:
    """What a report wants of `header`, for `unpack`; nothing is decoded."""
    told = [
        (int(element.tag), element.VR, base64.b64encode(element.value or b"").decode())
        for element in header_of(header).values()
        if isinstance(element, RawDataElement) and element.tag in _TAGS
    ]
    return json.dumps(told, separators=(",", ":")).encode()


def unpack(packed: bytes) -> Dataset:
    """The header that was packed. Raises ValueError for anything else."""
    header = Dataset()
    try:
        for number, vr, encoded in json.loads(packed):
            octets = base64.b64decode(encoded, validate=True)
            tag = Tag(int(number))
            header[tag] = RawDataElement(tag, str(vr), len(octets), octets, 0, False, True)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"these {len(packed)} bytes are no kept header") from error
    return header
