"""What is written into each object, found out by making it: once, of another image, and with other settings."""

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from io import BytesIO
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID, ComputedRadiographyImageStorage

from dicom_node import __version__
from dicom_node.config import Settings
from dicom_node.doctor import specimen
from dicom_node.domain import EncodedResult, Finding, Kind, Profile, RejectionTitle
from dicom_node.encode.identity import IDENTITY_KEYWORDS, header_of, tag_of
from dicom_node.encode.kos import build_rejection_note
from dicom_node.encode.sr_context import Place
from model.contract import Manifest

_IDENTITY = frozenset(map(tag_of, IDENTITY_KEYWORDS))
#: their items follow a template of PS3.16, not a table of attributes
_TEMPLATES = frozenset({"ContentSequence"})
#: values that are no text
_OCTETS = frozenset({"OB", "OW", "UN"})


class Origin(StrEnum):
    """Where a value comes from."""

    FIXED = "fixed"
    SETTINGS = "settings"
    MODEL = "model"
    #: from the image, its findings, or the moment
    GENERATED = "generated"


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One attribute of one kind of object."""

    #: 0 at the top, 1 in an item of a sequence, and so on
    depth: int
    keyword: str
    tag: str
    vr: str
    origin: Origin
    #: of those that are fixed; empty where there is none
    value: str
    #: in whose objects it stands
    profiles: tuple[Profile, ...]


@dataclass(frozen=True, kw_only=True)
class Made:
    """One kind of object of one SOP class, as it is made."""

    kind: Kind
    sop_class_uid: str
    profiles: tuple[Profile, ...]
    #: in the order of the data set; those that every result copies of its image are left out
    attributes: tuple[Attribute, ...]


_MUCH_LATER = specimen.TAKEN + timedelta(days=40, hours=3, minutes=7, seconds=5)

#: tags from the top down to one element
_Path = tuple[int, ...]


def made(profiles: Sequence[Profile], settings: Settings, manifest: Manifest) -> tuple[Made, ...]:
    """Every kind of object of `profiles`, and the rejection note that withdraws them."""
    by_class: dict[tuple[Kind, str], dict[Profile, list[Dataset]]] = {}
    for profile in profiles:
        for variants in zip(*_variants(profile, settings, manifest), strict=True):
            datasets: list[Dataset] = [dcmread(BytesIO(variant.data)) for variant in variants]
            by_class.setdefault((variants[0].kind, variants[0].sop_class_uid), {})[profile] = datasets
    order = list(Kind)
    return tuple(_made(*key, by_class[key]) for key in sorted(by_class, key=lambda key: (order.index(key[0]), key[1])))


def _variants(profile: Profile, settings: Settings, manifest: Manifest) -> Iterator[list[EncodedResult]]:
    """The same objects as they are, of another image, under other settings, by another model."""
    image, found = specimen.source(), specimen.findings()
    yield _objects(profile, settings, manifest, image, found)
    yield _objects(profile, settings, manifest, _another(image), found[1:], when=_MUCH_LATER)
    yield _objects(profile, _other_settings(settings), manifest, image, found)
    another = replace(manifest, name="another", version="0", digest="f" * 64)
    yield _objects(profile, settings, another, image, found)


def _objects(
    profile: Profile,
    settings: Settings,
    manifest: Manifest,
    image: Dataset,
    found: Sequence[Finding],
    when: datetime = specimen.TAKEN,
) -> list[EncodedResult]:
    results = list(specimen.results(profile, settings, manifest, image, found=found, when=when))
    places = [
        Place(
            study_instance_uid=str(image.StudyInstanceUID),
            series_instance_uid=result.series_instance_uid,
            sop_class_uid=result.sop_class_uid,
            sop_instance_uid=result.sop_instance_uid,
        )
        for result in results
    ]
    note = build_rejection_note(
        RejectionTitle.QUALITY if when is specimen.TAKEN else RejectionTitle.PATIENT_SAFETY,
        profile,
        header=header_of(image),
        rejected=places,
        content_time=when,
        software_version=__version__,
    )
    return [*results, note]


def _another(image: Dataset) -> Dataset:
    """Another picture by another modality: whatever results take from an image is different."""
    other = copy.deepcopy(image)
    other.SOPClassUID = ComputedRadiographyImageStorage
    other.SOPInstanceUID, other.SeriesInstanceUID, other.StudyInstanceUID = "2.25.11", "2.25.12", "2.25.13"
    other.InstanceNumber, other.SeriesNumber = 7, 3
    other.PatientOrientation = ["R", "F"]
    other.Rows, other.Columns = image.Rows + 40, image.Columns + 60
    pixels = np.pad(np.flip(image.pixel_array, axis=1), ((0, 40), (60, 0)), mode="edge")
    other.PixelData = pixels.astype("<u2").tobytes()
    other.PixelSpacing = other.ImagerPixelSpacing = [0.2, 0.1]
    other.RescaleSlope, other.WindowCenter, other.WindowWidth = 2, 4000, 6000
    other.LossyImageCompression, other.LossyImageCompressionRatio = "01", 10
    other.LossyImageCompressionMethod = "ISO_10918_1"
    for keyword in ("Manufacturer", "ManufacturerModelName", "StationName", "DeviceSerialNumber", "InstitutionName"):
        setattr(other, keyword, "OTHER")
    other.SoftwareVersions = "OTHER"
    return other


def _other_settings(settings: Settings) -> Settings:
    """Every text and number of [results] changed."""
    results = settings.results.model_dump()
    changed = {
        key: value + 50 if isinstance(value, int) else f"{value} other"
        for key, value in results.items()
        if isinstance(value, int) or key.endswith("_description")
    }
    return settings.model_copy(update={"results": settings.results.model_copy(update=changed)})


def _made(kind: Kind, sop_class_uid: str, by_profile: Mapping[Profile, Sequence[Dataset]]) -> Made:
    seen: dict[_Path, list[tuple[Profile, Origin, _Element]]] = {}
    for profile, (base, *others) in by_profile.items():
        elements, compared = _flat(base), [_flat(other) for other in others]
        # what stands in the other image's object alone is there where an image gives it reason
        for path, element in {**compared[0], **elements}.items():
            origin = _origin(elements.get(path), [other.get(path) for other in compared])
            seen.setdefault(path, []).append((profile, origin, element))
    attributes = tuple(_attribute(path, seen[path]) for path in sorted(seen))
    return Made(kind=kind, sop_class_uid=sop_class_uid, profiles=tuple(by_profile), attributes=attributes)


def _origin(element: "_Element | None", others: Sequence["_Element | None"]) -> Origin:
    """By the first of the other objects in which it is not the same."""
    for other, because in zip(others, (Origin.GENERATED, Origin.SETTINGS, Origin.MODEL), strict=True):
        if other != element:
            return because
    return Origin.FIXED


def _attribute(path: _Path, seen: Sequence[tuple[Profile, Origin, "_Element"]]) -> Attribute:
    tag = Tag(path[-1])
    origins = {origin for _, origin, _ in seen}
    fixed = origins == {Origin.FIXED}
    values = dict.fromkeys(value for _, _, element in seen for value in element.values if value)
    text = " or ".join(values) if fixed and seen[0][2].vr not in _OCTETS else ""
    return Attribute(
        depth=len(path) - 1,
        keyword=keyword_for_tag(tag),
        tag=f"({tag.group:04X},{tag.element:04X})",
        vr=seen[0][2].vr,
        origin=Origin.FIXED if fixed else min(origins - {Origin.FIXED}, key=list(Origin).index),
        value=text,
        profiles=tuple(profile for profile, _, _ in seen),
    )


@dataclass(frozen=True, kw_only=True)
class _Element:
    vr: str
    #: of several items those of each, once, sorted: in what order items stand may hang on their UIDs, which say nothing
    values: tuple[str, ...]


def _flat(dataset: Dataset, above: _Path = ()) -> dict[_Path, _Element]:
    """Every element, and those of the items below it; what every result copies of its image is left out."""
    elements: dict[_Path, _Element] = {}
    for element in dataset:
        if not above and element.tag in _IDENTITY:
            continue
        path = (*above, int(element.tag))
        values: tuple[str, ...] = ()
        if element.VR != "SQ":
            values = (_text(element),)
        elements[path] = _joined(elements.get(path), str(element.VR), values)
        if element.VR == "SQ" and element.keyword not in _TEMPLATES:
            for item in element.value:
                for below, inner in _flat(item, path).items():
                    elements[below] = _joined(elements.get(below), inner.vr, inner.values)
    return elements


def _joined(held: _Element | None, vr: str, values: tuple[str, ...]) -> _Element:
    return _Element(vr=vr, values=tuple(sorted({*(held.values if held else ()), *values})))


def _text(element: DataElement) -> str:
    value: Any = element.value
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, UID):
        return value.name
    if isinstance(value, MultiValue | list):
        return "\\".join(map(str, value))
    return "" if value is None else str(value)
