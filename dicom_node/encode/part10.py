"""From a data set to the octets of a file (PS3.10), with nothing of the writer's moment in them."""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.encode.elements import element
from dicom_node.encode.marks import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


def part10(result: Dataset) -> bytes:
    """`result` as a complete file in Explicit VR Little Endian.

    Elements that are still octets are written as they are, whatever Specific Character Set says of them: pydicom's
    own `dcmwrite` would decode and encode them, and stumble over those that are malformed. Our own texts are ASCII.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = result.SOPClassUID
    meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    out = DicomBytesIO()
    out.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(out, meta)

    for tag in sorted(result.keys()):
        carried = element(result, tag, charset=["iso8859"])
        out.write(carried.head)
        out.write(carried.value)
    return out.getvalue()
