"""One name for one kind of finding, whichever data set it comes from."""

#: our names, each written in any case
_OURS = (
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "Diffuse Nodule",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Fracture",
    "ILD",
    "Infiltrate",
    "Lung Opacity",
    "Mass",
    "Nodule",
    "Nodule/Mass",
    "Pleural Thickening",
    "Pneumonia",
    "Pneumothorax",
)
#: what data sets write instead, in lower case and with spaces. Kinds that a data set does not keep apart (nodule or
#: mass, VinDr-CXR) keep a name of their own
_NAMES = {name.lower(): name for name in _OURS} | {
    "clavicle fracture": "Fracture",
    "infiltration": "Infiltrate",
    "interstitial lung disease": "ILD",
    "other disease": "Other diseases",
    "pleural effusion": "Effusion",
    "pulmonary fibrosis": "Fibrosis",
    "rib fracture": "Fracture",
}
_NOTHING = "no finding"


def label_of(written: str) -> str | None:
    """Our name of a kind; None for "No finding". What we have no name for keeps its own."""
    words = written.strip().replace("_", " ")
    return None if words.lower() == _NOTHING else _NAMES.get(words.lower(), words)
