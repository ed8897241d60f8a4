"""The marks by which any chexnode recognises its own results."""

#: Manufacturer (0008,0070) of everything that chexnode writes
MANUFACTURER = "chexnode"
#: Manufacturer's Model Name (0008,1090)
MODEL_NAME = "chexnode"
#: Implementation Class UID (0002,0012): the writer of the files, PS3.7 D.3.3.2
IMPLEMENTATION_CLASS_UID = "2.25.12427373979577603450830615480893543041"
#: Implementation Version Name (0002,0013), at most 16 characters
IMPLEMENTATION_VERSION_NAME = "CHEXNODE"
#: changes whenever the same inputs would give other bytes; part of every UID
ENCODER_VERSION = "2"


def is_result(manufacturer: str, manufacturer_model_name: str) -> bool:
    """Whether an object with these two attributes was written by a chexnode, this one or another."""
    return manufacturer.strip(" \0") == MANUFACTURER and manufacturer_model_name.strip(" \0") == MODEL_NAME
