"""Who made a result: the marks of chexnode, and the equipment behind it."""

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.encode.context import EncodeContext
from dicom_node.encode.elements import CannotCarry, charset_of, element
from dicom_node.encode.identity import tag_of
from dicom_node.encode.marks import MANUFACTURER, MODEL_NAME
from dicom_node.encode.sources import code_item

#: what a source says of the equipment that acquired it
_ACQUISITION = (
    "Manufacturer",
    "InstitutionName",
    "StationName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)


def ascii_text(text: str, most: int = 64) -> str:
    """`text` as it can stand in any character set and in one value of VR LO: our own words are ASCII."""
    plain = text.encode("ascii", "replace").decode("ascii").replace("\\", "/")
    return "".join(c if c.isprintable() else " " for c in plain)[:most].strip()


def software_versions(context: EncodeContext) -> list[str]:
    """Software Versions (0018,1020): chexnode's, the model's."""
    return [
        ascii_text(f"chexnode {context.software_version}"),
        ascii_text(f"{context.algorithm_name} {context.algorithm_version}"),
    ]


def contributing_equipment(header: Dataset, context: EncodeContext, *, when: str) -> list[Dataset]:
    """Items of Contributing Equipment Sequence (0018,A001): who acquired, who marked, `when` (VR DT)."""
    processing = Dataset()
    processing.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.ProcessingEquipment)]
    processing.Manufacturer = MANUFACTURER
    processing.ManufacturerModelName = MODEL_NAME
    processing.SoftwareVersions = software_versions(context)
    processing.DeviceSerialNumber = context.model_digest
    processing.ContributionDateTime = when
    processing.ContributionDescription = "Marked regions that look abnormal; research use only"
    acquisition = _acquisition(header)
    return [processing] if acquisition is None else [acquisition, processing]


def _acquisition(header: Dataset) -> Dataset | None:
    item = Dataset()
    charset = charset_of(header)
    for tag in map(tag_of, _ACQUISITION):
        if tag not in header:
            continue
        try:
            carried = element(header, tag, charset=charset)
        except CannotCarry:
            continue
        if carried.value:
            item[tag] = carried.raw
    # Manufacturer is type 1 here: without it there is nothing to say
    if tag_of("Manufacturer") not in item:
        return None
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.AcquisitionEquipment)]
    return item
