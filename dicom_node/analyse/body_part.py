"""Which part of the body an image shows, by what its header says of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_node.analyse.headers import items, quoted, text, vocabulary, words

#: values of BodyPartExamined that say nothing
_SAYS_NOTHING = frozenset({"", "UNKNOWN", "OTHER", "NONE", "UNSPECIFIED", "DEFAULT", "GENERAL", "ANY", "NA", "N A"})

#: codes of AnatomicRegionSequence that mean a chest, SCT and its older SRT form (PS3.16 CID 4031, CID 4)
_CHEST_CODES = frozenset({"816094009", "51185008", "T-D3000", "39607008", "T-28000", "43799004", "T-D3200"})

#: words of free text that mean a chest, in the languages of Europe and the Americas
_CHEST_WORDS = vocabulary(
    "CHEST CHST CXR THORAX TORAX THORACIC LUNG LUNGS LUNGE LUNGEN LUNGAUFNAHME PULMO POUMON POUMONS PULMON PULMAO "
    "POLMONE POLMONI TORACE KLATKA KLATKI PLUCA BORST"
)

#: words of free text that mean another part; a thoracic spine or a rib view is one, though it names the chest too
_OTHER_WORDS = vocabulary(
    "SPINE WIRBELSAULE WIRBELSAEULE TSPINE CSPINE LSPINE BWS HWS LWS RACHIS COLUMNA "
    "ABDOMEN ABDOMINAL KUB PELVIS BECKEN BASSIN HIP HUFTE HUEFTE FEMUR KNEE KNIE LEG TIBIA FIBULA CALF ANKLE FOOT FUSS "
    "FEET HEEL TOE CALCANEUS SHOULDER SCHULTER CLAVICLE SCAPULA HUMERUS ELBOW FOREARM WRIST HAND FINGER THUMB ARM "
    "EXTREMITY SKULL SCHADEL HEAD KOPF JAW MANDIBLE DENTAL TOOTH SINUS SINUSES NOSE FACIAL ORBIT NECK HALS "
    "BREAST BRUST MAMMA MAMMO STERNUM ESOPHAGUS OESOPHAGUS SWALLOW BARIUM ERCP"
)

#: where free text names the part, the nearest to the image first
_TEXTS = (
    "AcquisitionDeviceProcessingDescription",
    "ProtocolName",
    "SeriesDescription",
    "PerformedProcedureStepDescription",
    "StudyDescription",
)


@dataclass(frozen=True, kw_only=True)
class BodyPart:
    """What the header says of the part."""

    #: True: a chest. False: something else. None: it does not say
    chest: bool | None
    #: which attribute says so, and what
    evidence: str


def body_part(header: Dataset, chest_values: Sequence[str]) -> BodyPart:
    """Body Part Examined decides; else Anatomic Region Sequence; else the words of protocol and descriptions.

    `chest_values` are the values of Body Part Examined that mean a chest: each is looked for as a phrase, so that
    CHEST also finds CHEST_PA.
    """
    examined = text(header, "BodyPartExamined").upper()
    named = " ".join(words(examined))
    if named not in _SAYS_NOTHING:
        exact = examined in {value.upper() for value in chest_values}
        chest = exact or (_has_phrase(named, chest_values) and not set(words(named)) & _OTHER_WORDS)
        return BodyPart(chest=chest, evidence=f"BodyPartExamined is {quoted(examined)}")
    for region in items(header, "AnatomicRegionSequence"):
        code = text(region, "CodeValue")
        if code:
            chest = code in _CHEST_CODES or bool(set(words(text(region, "CodeMeaning"))) & {"CHEST", "THORAX"})
            return BodyPart(
                chest=chest, evidence=f"AnatomicRegionSequence {'names' if chest else 'does not name'} a chest"
            )
    return _by_words(header)


def _by_words(header: Dataset) -> BodyPart:
    for keyword in _TEXTS:
        found = words(text(header, keyword))
        other = [word for word in found if word in _OTHER_WORDS]
        chest = [word for word in found if word in _CHEST_WORDS]
        # "chest and abdomen" in a study's description covers both; "thoracic spine" is no chest
        spine = set(other) & {"SPINE", "TSPINE", "BWS", "RACHIS", "COLUMNA", "STERNUM"}
        if chest and not spine:
            return BodyPart(chest=True, evidence=f"{keyword} says {chest[0]}")
        if other:
            return BodyPart(chest=False, evidence=f"{keyword} says {other[0]}")
    return BodyPart(chest=None, evidence="no body part is named")


def _has_phrase(named: str, phrases: Sequence[str]) -> bool:
    return any(f" {' '.join(words(phrase))} " in f" {named} " for phrase in phrases)
