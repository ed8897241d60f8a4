"""Which films are trained on and which are measured on: by patient, the same on every machine."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence

from training.data.example import DataError, Example

log = logging.getLogger(__name__)

#: children are left out: thymus and growth plates are not abnormal
MIN_AGE = 16
#: share of the patients that are kept for validation where the publisher of the data names none
VALIDATION = 0.1


def adults(examples: Sequence[Example]) -> list[Example]:
    """The films of those who are 16 or older, or of an age that is not known."""
    old = [example for example in examples if example.age is None or example.age >= MIN_AGE]
    if len(old) < len(examples):
        log.info("%d films of children are left out", len(examples) - len(old))
    return old


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
