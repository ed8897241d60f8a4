"""Which images are ours to read: rules over the header, judged before a pixel is touched. Pure."""

import re
from dataclasses import dataclass
from datetime import date

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.analyse.age import age_in_years, study_date
from dicom_node.analyse.body_part import body_part
from dicom_node.analyse.companion import rendition
from dicom_node.analyse.headers import number, quoted, text
from dicom_node.analyse.view import Projection, view
from dicom_node.domain import Reason
from dicom_node.sections import SelectSection

#: radiographs, though never of a chest: mammography and intra-oral, for presentation and for processing
_OF_OTHER_PARTS = {
    "1.2.840.10008.5.1.4.1.1.1.2": "mammography",
    "1.2.840.10008.5.1.4.1.1.1.2.1": "mammography",
    "1.2.840.10008.5.1.4.1.1.1.3": "an intra-oral radiograph",
    "1.2.840.10008.5.1.4.1.1.1.3.1": "an intra-oral radiograph",
}
_DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
#: the class itself says that the picture is a digital or computed radiograph, whatever Modality lacks
_RADIOGRAPHS = frozenset({"1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", _DX_FOR_PROCESSING})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one image, and why."""

    #: None: it is read
    reason: Reason | None
    #: what was missing or decided the matter; never an identifier, never free text of the header
    detail: str


class _Declined(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.verdict = Verdict(reason=reason, detail=detail)


def select(header: Dataset, rules: SelectSection, *, calling_ae_title: str, arrived: date) -> Verdict:
    """Judge one image by `header`; `arrived` is the day on which the node got it.

    What the header does not say does not decline it, unless a rule says so: the detail of the verdict then names what
    was missing.
    """
    try:
        _by_sender(rules, calling_ae_title)
        notes = [_by_class(header, rules), _by_form(header)]
        _by_description(header, rules)
        notes += [
            _by_body_part(header, rules),
            _by_view(header, rules),
            _by_rendition(header),
            _by_age(header, rules, arrived),
            _by_study_date(header, rules, arrived),
        ]
    except _Declined as declined:
        return declined.verdict
    return Verdict(reason=None, detail="; ".join(note for note in notes if note))


def _by_sender(rules: SelectSection, calling_ae_title: str) -> None:
    if calling_ae_title and calling_ae_title.strip() in rules.exclude_calling_ae_titles:
        raise _Declined(Reason.EXCLUDED_BY_RULE, "select.exclude_calling_ae_titles names its sender")


def _by_class(header: Dataset, rules: SelectSection) -> str:
    sop_class = text(header, "SOPClassUID")
    modality = text(header, "Modality").upper()
    if sop_class in _OF_OTHER_PARTS or modality in ("MG", "IO"):
        raise _Declined(Reason.NOT_A_CHEST, f"it is {_OF_OTHER_PARTS.get(sop_class, f'of modality {modality}')}")
    if sop_class and sop_class not in rules.sop_classes:
        known = UID(sop_class, validation_mode=IGNORE)
        name = known.name if known.name != sop_class else "one that the standard does not have"
        raise _Declined(Reason.NOT_A_RADIOGRAPH, f"its SOP class is {name}, which select.sop_classes does not name")
    if modality and modality not in rules.modalities:
        raise _Declined(
            Reason.NOT_A_RADIOGRAPH, f"Modality is {quoted(modality)}, which select.modalities does not name"
        )
    if not modality and sop_class not in _RADIOGRAPHS:
        raise _Declined(Reason.NOT_A_RADIOGRAPH, "neither Modality nor SOP class says that it is a radiograph")
    return "" if modality else "Modality is missing, the SOP class is a radiograph's"


def _by_form(header: Dataset) -> str:
    intent = text(header, "PresentationIntentType").upper()
    if intent == "FOR PROCESSING" or (not intent and text(header, "SOPClassUID") == _DX_FOR_PROCESSING):
        raise _Declined(Reason.FOR_PROCESSING, "raw data, not meant to be looked at (PresentationIntentType)")
    frames = number(header, "NumberOfFrames")
    if frames is not None and frames > 1:
        raise _Declined(Reason.MULTI_FRAME, f"NumberOfFrames is {frames}")
    photometric = text(header, "PhotometricInterpretation").upper()
    if (samples := number(header, "SamplesPerPixel")) is not None and samples != 1:
        raise _Declined(Reason.NOT_GREYSCALE, f"SamplesPerPixel is {samples}")
    if photometric and photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise _Declined(Reason.NOT_GREYSCALE, f"PhotometricInterpretation is {quoted(photometric)}")
    return ""


def _by_description(header: Dataset, rules: SelectSection) -> None:
    for keyword in ("StudyDescription", "SeriesDescription", "ProtocolName"):
        described = text(header, keyword)
        for pattern in rules.exclude_descriptions:
            if described and re.search(pattern, described, re.IGNORECASE):
                raise _Declined(Reason.EXCLUDED_BY_RULE, f"{keyword} matches select.exclude_descriptions: {pattern}")


def _by_body_part(header: Dataset, rules: SelectSection) -> str:
    part = body_part(header, rules.body_parts)
    if part.chest is False or (part.chest is None and rules.unknown_body_part == "decline"):
        raise _Declined(Reason.NOT_A_CHEST, part.evidence)
    return "" if part.chest else part.evidence


def _by_view(header: Dataset, rules: SelectSection) -> str:
    seen = view(header)
    if seen.projection in (Projection.LATERAL, Projection.OBLIQUE):
        raise _Declined(Reason.LATERAL_VIEW, f"{seen.evidence}: {seen.projection}, not frontal")
    if seen.projection is None and rules.unknown_view == "decline":
        raise _Declined(Reason.LATERAL_VIEW, f"{seen.evidence}, and select.unknown_view is decline")
    return "" if seen.projection else seen.evidence


def _by_rendition(header: Dataset) -> str:
    if (how := rendition(header)) is not None:
        raise _Declined(Reason.COMPANION_IMAGE, f"a rendition of the primary image: {how}")
    return ""


def _by_age(header: Dataset, rules: SelectSection, arrived: date) -> str:
    if rules.min_age == 0:
        return ""
    age = age_in_years(header, arrived=arrived)
    if age is None and rules.unknown_age == "decline":
        raise _Declined(Reason.AGE_UNKNOWN, "neither PatientAge nor PatientBirthDate says a believable age")
    if age is not None and age < rules.min_age:
        raise _Declined(Reason.UNDER_AGE, f"younger than select.min_age, {rules.min_age} years")
    return "the age is unknown" if age is None else ""


def _by_study_date(header: Dataset, rules: SelectSection, arrived: date) -> str:
    if rules.max_study_age == 0:
        return ""
    day = study_date(header)
    if day is not None and (arrived - day).days > rules.max_study_age:
        raise _Declined(Reason.STUDY_TOO_OLD, f"older than select.max_study_age, {rules.max_study_age} days")
    return "the date of the study is unknown" if day is None else ""
