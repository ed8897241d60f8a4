"""Renditions: one exposure is often sent several times, with bones suppressed, edges enhanced, greys inverted.

The model was made for the primary image; its companions would only repeat its findings, or invent others.
"""

import re

from pydicom.dataset import Dataset

from dicom_node.analyse.headers import text, values, words

#: what a text says of a rendition; matched against its words in upper case, one blank between them
_RENDITIONS = (
    ("bone suppressed", re.compile(r"\b(BONES?|RIBS?) ?(SUPP\w*|SUBTRACT\w*|REMOV\w*|FREE)\b")),
    ("bone suppressed", re.compile(r"\bSUPPRESSED (BONES?|RIBS?)\b|\bCLEARREAD\b|\bBSI\b")),
    ("bone image", re.compile(r"\bBONES? (ONLY|IMAGE)\b|\b(DE|ENERGY) BONES?\b")),
    ("soft tissue", re.compile(r"\bSOFT ?TISSUES?\b(?! NECK)|\b(DE|ENERGY) SOFT\b")),
    ("dual energy", re.compile(r"\bDUAL ?ENERGY\b")),
    ("subtracted", re.compile(r"\bSUBTRACT(ED|ION)\b")),
    ("inverted", re.compile(r"\bINVERT(ED)?\b|\bINVERSE\b|\bINVERSION\b")),
    ("visualisation", re.compile(r"\b(TUBES?|LINES?|CATHETER|PICC|PTX|PNEUMOTHORAX|NODULE) VISUALI[SZ]ATION\b")),
    ("enhanced", re.compile(r"\bENHANCED\b|\b(EDGE|LINE|TUBE|CATHETER|PICC|PTX|NODULE|PNEUMOTHORAX) ENHANC\w*")),
)

#: words that mark the ordinary image of a dual energy exposure
_ORDINARY = frozenset({"STANDARD", "ORIGINAL", "PRIMARY", "UNPROCESSED"})
#: what stands before a rendition that the image is not
_NEGATED = re.compile(r"\b(NON|NOT|NO|WITHOUT) $")

#: values of Image Type from the third on (the maker's own, PS3.3 C.7.6.1.1.2) that are a rendition by themselves
_IMAGE_TYPES = {
    "BONE": "bone image",
    "SOFT": "soft tissue",
    "TISSUE": "soft tissue",
    "SUPPRESSED": "bone suppressed",
    "INVERTED": "inverted",
    "ENHANCED": "enhanced",
    "SUBTRACTED": "subtracted",
    "SUBTRACTION": "subtracted",
}


def rendition(header: Dataset) -> str | None:
    """How the image differs from the primary one and which attribute says so, or None: it is the primary one.

    DERIVED\\SECONDARY alone is no sign: archives write it when they compress. Nor is the protocol's "dual energy": that
    names the exposure, and its ordinary image has the same protocol.
    """
    image_type = values(header, "ImageType")
    for word in words(" ".join(image_type[2:])):
        if word in _IMAGE_TYPES:
            return f"{_IMAGE_TYPES[word]} (ImageType)"
    for keyword in ("ImageType", "SeriesDescription", "DerivationDescription", "ProtocolName"):
        found = words(" ".join(image_type[2:]) if keyword == "ImageType" else text(header, keyword))
        said = " ".join(found)
        for name, pattern in _RENDITIONS:
            if name == "dual energy" and (keyword == "ProtocolName" or _ORDINARY & set(found)):
                continue
            match = pattern.search(said)
            if match and not _NEGATED.search(said[: match.start()]):
                return f"{name} ({keyword})"
    return None
