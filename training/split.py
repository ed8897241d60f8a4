"""Which films are trained on and which are measured on: by patient, the same on every machine."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from training.example import DataError, Example

#: share of the patients that are kept for validation where the publisher of the data names none
VALIDATION = 0.1


def split_of(patient: str, validation: float = VALIDATION) -> str:
    """`train` or `val`, by a hash of the patient alone: more films later on move none of the earlier ones."""
    number = int.from_bytes(hashlib.sha256(f"split {patient}".encode()).digest()[:8])
    return "val" if number < validation * 2**64 else "train"


def check_split(examples: Iterable[Example]) -> None:
    """Raise DataError if films of one patient are in two splits."""
    splits: dict[str, set[str]] = defaultdict(set)
    first: dict[str, str] = {}
    for example in examples:
        splits[example.patient].add(example.split)
        first.setdefault(example.patient, example.id)
    leaking = [patient for patient, names in splits.items() if len(names) > 1]
    if leaking:
        names = " and ".join(sorted(splits[leaking[0]]))
        raise DataError(
            f"{len(leaking):,} patients have films in more than one split, the first is that of film "
            f"{first[leaking[0]]}, in {names}: move all films of a patient into one"
        )
