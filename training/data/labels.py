"""One name for one kind of finding, whichever data set it comes from."""

#: what a data set writes, in lower case and with spaces → our name. Kinds that a data set does not keep apart
#: (nodule or mass, VinDr-CXR) keep a name of their own.
_NAMES = {
    "clavicle fracture": "Fracture",
    "infiltration": "Infiltrate",
    "interstitial lung disease": "ILD",
    "lung opacity": "Lung Opacity",
    "other disease": "Other diseases",
    "pleural effusion": "Effusion",
    "pleural thickening": "Pleural Thickening",
    "pulmonary fibrosis": "Fibrosis",
    "rib fracture": "Fracture",
}
_NOTHING = "no finding"


def label_of(written: str) -> str | None:
    """Our name of a kind; None for "No finding". What we have no name for keeps its own."""
    words = written.strip().replace("_", " ")
    return None if words.lower() == _NOTHING else _NAMES.get(words.lower(), words)
