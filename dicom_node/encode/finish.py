"""What every result has in common: identity, times, marks, and the source's own defects."""

from contextlib import suppress
from datetime import datetime

from pydicom.dataset import Dataset

from dicom_node.encode.context import EncodeContext
from dicom_node.encode.elements import CannotCarry, element
from dicom_node.encode.equipment import contributing_equipment, software_versions
from dicom_node.encode.identity import copy_identity, read_text, tag_of
from dicom_node.encode.marks import MANUFACTURER, MODEL_NAME
from dicom_node.encode.sources import referenced_series, result_instance_number, source_image
from dicom_node.encode.times import ResultTimes

_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def sign(result: Dataset, header: Dataset, context: EncodeContext, times: ResultTimes) -> None:
    """Give `result` the identity of `header`, our marks, and the moment that was handed in."""
    left_out = copy_identity(header, result)
    if left_out:
        result.ImageComments = f"Not copied from the source, whose values cannot be written: {', '.join(left_out)}"
    result.Manufacturer = MANUFACTURER
    result.ManufacturerModelName = MODEL_NAME
    result.DeviceSerialNumber = context.model_digest
    result.SoftwareVersions = software_versions(context)
    result.ContentQualification = "RESEARCH"
    result.InstanceNumber = result_instance_number(header)
    result.BodyPartExamined = "CHEST"
    result.InstanceCreationDate, result.InstanceCreationTime = date_and_time(times.created)
    result.ContributingEquipmentSequence = contributing_equipment(header, context, when=times.created_dt)


def finish(result: Dataset, header: Dataset, context: EncodeContext, times: ResultTimes) -> None:
    """`sign` a `result` that is an image, and say which image it was made from; overwrites what highdicom made up."""
    sign(result, header, context, times)
    result.ContentDate, result.ContentTime = date_and_time(times.content)
    result.SourceImageSequence = [source_image(header)]
    result.ReferencedSeriesSequence = [referenced_series(header)]
    _keep_orientation(result, header)
    _keep_compression(result, header)


def date_and_time(moment: datetime) -> tuple[str, str]:
    """VR DA and TM (PS3.5 6.2)."""
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")


def _keep_orientation(result: Dataset, header: Dataset) -> None:
    """Patient Orientation is type 2C where there is no plane in the patient: the source's, or empty; never a guess."""
    tag = tag_of("PatientOrientation")
    if tag in result:
        del result[tag]
    values = read_text(header, "PatientOrientation").split("\\")
    if len(values) == 2 and all(value.strip() and set(value.strip()) <= set("APRLHF") for value in values):
        result.PatientOrientation = [value.strip() for value in values]
    else:
        result.PatientOrientation = None


def _keep_compression(result: Dataset, header: Dataset) -> None:
    """What was once compressed with loss says so for ever (PS3.3 C.7.6.1.1.5)."""
    for keyword in _LOSSY:
        if keyword in result:
            delattr(result, keyword)
    if read_text(header, "LossyImageCompression") != "01":
        result.LossyImageCompression = "00"
        return
    result.LossyImageCompression = "01"
    for keyword in _LOSSY[1:]:
        if read_text(header, keyword):
            with suppress(CannotCarry):
                result[tag_of(keyword)] = element(header, tag_of(keyword), charset=["iso8859"]).raw
