"""Content items of an SR (PS3.3 C.17.3), as plain data sets: no clock, and no opinion on what a source wrote."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import format_number_as_ds

from dicom_node.encode.sources import code_item


class Relationship(StrEnum):
    """How an item belongs to the one that holds it (PS3.3 C.17.3.2.4), those of A.35.3 that are used here."""

    CONTAINS = "CONTAINS"
    HAS_OBS_CONTEXT = "HAS OBS CONTEXT"
    HAS_ACQ_CONTEXT = "HAS ACQ CONTEXT"
    HAS_CONCEPT_MOD = "HAS CONCEPT MOD"
    HAS_PROPERTIES = "HAS PROPERTIES"
    INFERRED_FROM = "INFERRED FROM"
    SELECTED_FROM = "SELECTED FROM"


def container(name: Code, items: Sequence[Dataset], *, template: str = "", root: bool = False) -> Dataset:
    """A heading with what stands below it; `template`: the TID of DCMR that it follows."""
    item = _item("CONTAINER", None if root else Relationship.CONTAINS, name)
    item.ContinuityOfContent = "SEPARATE"
    if template:
        identification = Dataset()
        identification.MappingResource = "DCMR"
        identification.TemplateIdentifier = template
        item.ContentTemplateSequence = [identification]
    if items:
        item.ContentSequence = list(items)
    return item


def text(name: Code, value: str, *below: Dataset, how: Relationship = Relationship.CONTAINS) -> Dataset:
    """A text (VR UT), of ASCII, for it is read in whatever character set the patient's name is written in."""
    item = _item("TEXT", how, name, below)
    item.TextValue = value
    return item


def code(name: Code, value: Code, *below: Dataset, how: Relationship = Relationship.CONTAINS) -> Dataset:
    """A coded answer."""
    item = _item("CODE", how, name, below)
    item.ConceptCodeSequence = [code_item(value)]
    return item


def uid(name: Code, value: str, *, how: Relationship) -> Dataset:
    """A UID."""
    item = _item("UIDREF", how, name)
    item.UID = value
    return item


def number(name: Code, value: float, unit: Code, *below: Dataset) -> Dataset:
    """A measured value in `unit` (UCUM), in full as Floating Point Value, and as VR DS of 16 characters."""
    measured = Dataset()
    measured.NumericValue = format_number_as_ds(value)
    measured.FloatingPointValue = value
    measured.MeasurementUnitsCodeSequence = [code_item(unit)]
    item = _item("NUM", Relationship.CONTAINS, name, below)
    item.MeasuredValueSequence = [measured]
    return item


def polygon(name: Code, points: NDArray[Any], image_item: Dataset) -> Dataset:
    """A closed line through `points` (n, 2) of (x, y), the first one repeated at the end, on an image."""
    item = _item("SCOORD", Relationship.CONTAINS, name, (image_item,))
    item.GraphicType = "POLYLINE"
    item.GraphicData = [float(value) for value in points.ravel()]
    return item


def image(sop_class_uid: str, sop_instance_uid: str, *below: Dataset, how: Relationship) -> Dataset:
    """A reference to an image of one frame."""
    item = _item("IMAGE", how, None, below)
    item.ReferencedSOPSequence = [reference(sop_class_uid, sop_instance_uid)]
    return item


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """One item of the SOP Instance Reference Macro (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _item(value_type: str, how: Relationship | None, name: Code | None, below: Sequence[Dataset] = ()) -> Dataset:
    item = Dataset()
    if how is not None:
        item.RelationshipType = how.value
    item.ValueType = value_type
    if name is not None:
        item.ConceptNameCodeSequence = [code_item(name)]
    if below:
        item.ContentSequence = list(below)
    return item
