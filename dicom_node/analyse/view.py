"""From which side an image was taken, by what its header says of it."""

from dataclasses import dataclass
from enum import StrEnum

from pydicom.dataset import Dataset

from dicom_node.analyse.headers import items, quoted, text, values, vocabulary, words


class Projection(StrEnum):
    """A decubitus view is frontal: the patient lies on one side, the beam still goes from front to back."""

    FRONTAL = "frontal"
    LATERAL = "lateral"
    OBLIQUE = "oblique"


@dataclass(frozen=True, kw_only=True)
class View:
    """What the header says of the projection."""

    #: None: it does not say
    projection: Projection | None
    #: which attribute says so
    evidence: str


#: View Position (0018,5101): defined terms of CR (PS3.3 C.8.1.2) and DX (C.8.11.5), and what sites write instead
_POSITIONS = {
    **dict.fromkeys(
        ("AP", "PA", "FRONTAL", "LLD", "RLD", "AP AXIAL", "LORDOTIC", "PA DECUB", "AP DECUB"), Projection.FRONTAL
    ),
    **dict.fromkeys(("LL", "RL", "LAT", "LATERAL", "LM", "ML"), Projection.LATERAL),
    **dict.fromkeys(("RLO", "LLO", "LAO", "RAO", "LPO", "RPO", "OBL", "OBLIQUE"), Projection.OBLIQUE),
}

#: codes of View Code Sequence (PS3.16 CID 4010), SCT and their older SRT form
_CODES = {
    **dict.fromkeys(
        ("399348003", "R-10206", "272479007", "R-10214", "R-40888", "399033003", "R-10202"), Projection.FRONTAL
    ),
    **dict.fromkeys(
        (
            *("399173006", "R-10236", "399198007", "R-10232", "399067008", "R-102CD"),
            *("399260004", "R-10224", "399352003", "R-10228", "30730003", "G-A145"),
        ),
        Projection.LATERAL,
    ),
    **dict.fromkeys(
        (
            *("399182000", "R-102C1", "399160007", "R-10204", "399312000", "R-10208", "399059000", "R-10216"),
            *("399184004", "R-10238", "399236003", "R-10234", "399135007", "R-10220", "399356000", "R-40985"),
            *("399006002", "R-10212", "399038007", "R-10210", "260427002", "R-40783"),
        ),
        Projection.OBLIQUE,
    ),
}

_FRONTAL_WORDS = vocabulary("PA AP FRONTAL ANTEROPOSTERIOR POSTEROANTERIOR DV VD FACE")
_LATERAL_WORDS = vocabulary(
    "LAT LATERAL LATERALE LATERALIS LL RL LLAT RLAT LATL LATR SEITLICH SEITL PROFIL PROFILO PERFIL BOCZNE"
)
_OBLIQUE_WORDS = vocabulary("OBL OBLIQUE OBLIQUES SCHRAG LAO RAO LPO RPO LLO RLO")
#: "LEFT LATERAL DECUBITUS" names how the patient lies, not where the beam comes from
_DECUBITUS_WORDS = vocabulary("DECUB DECUBITUS DECUBITO LLD RLD")

#: the description of the study is left out: "chest PA and lateral" is said of each of its images
_TEXTS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")


def view(header: Dataset) -> View:
    """The first that speaks decides: View Position, View Code Sequence, Patient Orientation, then words."""
    position = text(header, "ViewPosition").upper()
    if (projection := _of_position(position)) is not None:
        return View(projection=projection, evidence=f"ViewPosition is {quoted(position)}")
    for code in items(header, "ViewCodeSequence"):
        projection = _CODES.get(text(code, "CodeValue")) or of_words(text(code, "CodeMeaning"))
        if projection is not None:
            return View(projection=projection, evidence=f"ViewCodeSequence says {projection}")
    if (projection := _of_orientation(values(header, "PatientOrientation"))) is not None:
        return View(projection=projection, evidence=f"PatientOrientation is that of a {projection} view")
    for keyword in _TEXTS:
        if (projection := of_words(text(header, keyword))) is not None:
            return View(projection=projection, evidence=f"{keyword} says {projection}")
    return View(projection=None, evidence="no view is named")


def of_words(free_text: str) -> Projection | None:
    """The projection that a text names; None where it names none, or frontal and lateral both ("PA and lateral")."""
    found = set(words(free_text))
    if {"ANTERO", "POSTERIOR"} <= found or {"POSTERO", "ANTERIOR"} <= found:
        found.add("FRONTAL")
    if found & _DECUBITUS_WORDS:
        return Projection.FRONTAL
    frontal, lateral = bool(found & _FRONTAL_WORDS), bool(found & _LATERAL_WORDS)
    if frontal and lateral:
        return None
    if found & _OBLIQUE_WORDS:
        return Projection.OBLIQUE
    if lateral:
        return Projection.LATERAL
    return Projection.FRONTAL if frontal else None


def _of_position(position: str) -> Projection | None:
    normal = " ".join(words(position))
    return _POSITIONS.get(normal) or of_words(normal)


def _of_orientation(orientation: tuple[str, ...]) -> Projection | None:
    """PS3.3 C.7.6.1.1.1: the way of a row and of a column; the first letter of each is the main one.

    Rows from left to right and columns from head to foot (or the other way round, where the picture is turned)
    make a frontal view; rows from front to back a lateral one.
    """
    if len(orientation) != 2 or not all(orientation):
        return None
    axes = {_AXES.get(direction[0].upper()) for direction in orientation}
    if axes == {"across", "along"}:
        return Projection.FRONTAL
    if axes == {"through", "along"}:
        return Projection.LATERAL
    return None


_AXES = {"L": "across", "R": "across", "H": "along", "F": "along", "A": "through", "P": "through"}
