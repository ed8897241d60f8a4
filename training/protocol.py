"""The protocol of the disease never seen: which films a training may see, and which it is measured on.

The films are cut in two by patient. A network trained on one half is measured on the other, so that every film with
the disease is measured on once, also by the network that saw the disease. Three trainings are compared on each
target: `seen` has all films of its half; `left_out` has none that shows *or reports* the target, since an unmarked
effusion on a film drawn for its nodule would be seen all the same; `control` has as many films as `left_out`, of the
same status and size, taken at random, so that a loss through fewer films is not mistaken for one through the disease.

What no list can exclude: a film that shows the target and neither its readers nor its report says so.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from training.datalist import NEGATIVE, OPACITIES, Example, Status

#: name of a target → labels of the regions (and of the reports) that are it
TARGETS: Mapping[str, frozenset[str]] = {
    "Effusion": frozenset({"Effusion"}),
    "Pleural Thickening": frozenset({"Pleural Thickening"}),
    "Fibrosis": frozenset({"Fibrosis"}),
    "Nodule": frozenset({"Nodule"}),
    "Fracture": frozenset({"Fracture"}),
    "Pneumothorax": frozenset({"Pneumothorax"}),
    "pleural": frozenset({"Effusion", "Pleural Thickening", "Pneumothorax"}),
    "nodule-like": frozenset({"Nodule", "Mass", "Diffuse Nodule"}),
}
#: labels that the mined reports do not know: whether an unread film shows one is not known
UNREPORTED = frozenset({"Fracture", "Calcification", "Diffuse Nodule"})


def labels_of(target: str) -> frozenset[str]:
    """The labels of a target. Raises ValueError naming those there are."""
    if target not in TARGETS:
        raise ValueError(f"target {target!r} is unknown: use one of {', '.join(TARGETS)}")
    return TARGETS[target]


def fold_of(patient: str, folds: int = 2) -> int:
    """The fold that a patient is measured in; independent of the split and of the folds of the calibration."""
    return zlib.crc32(f"unseen {patient}".encode()) // 2**8 % folds


def involves(example: Example, labels: frozenset[str]) -> bool:
    """Whether a film shows one of `labels`, however small, or its report or RSNA's word for it names one.

    What is an opacity to some readers is a consolidation, a pneumonia or an infiltrate to others: all of them go
    together.
    """
    wanted = labels | OPACITIES if labels & OPACITIES else labels
    shown = {region.label for region in example.regions}
    return bool(wanted & (shown | example.reported | {example.rsna_class}))


def seen(examples: Iterable[Example], fold: int, target: str) -> list[Example]:
    """All films that a training whose `fold` is held out may have.

    Where the target has no report label only films that somebody looked at for it: ChestX-Det's readers, or a
    radiologist who called all of the film normal.
    """
    known = NEGATIVE | {Status.LOCALISED}
    films = [e for e in examples if e.status in known and fold_of(e.patient) != fold]
    if labels_of(target) <= UNREPORTED:
        films = [e for e in films if e.fully_read and e.status is not Status.NORMAL_REPORT]
    return films


def left_out(examples: Iterable[Example], fold: int, target: str) -> list[Example]:
    """Those of `seen` that do not involve the target."""
    return [e for e in seen(examples, fold, target) if not involves(e, labels_of(target))]


def control(examples: Iterable[Example], fold: int, target: str, seed: int = 0) -> list[Example]:
    """Of `seen` as many films of each status and width as `left_out` has, whatever they show."""
    films = seen(examples, fold, target)
    rng = np.random.default_rng([seed, fold, zlib.crc32(target.encode())])
    strata: dict[tuple[str, int], list[int]] = defaultdict(list)
    removed: dict[tuple[str, int], int] = defaultdict(int)
    for index, example in enumerate(films):
        stratum = (example.status.value, example.width)
        strata[stratum].append(index)
        removed[stratum] += involves(example, labels_of(target))
    dropped = {
        int(index)
        for stratum in sorted(strata)
        for index in rng.choice(strata[stratum], removed[stratum], replace=False)
    }
    return [example for index, example in enumerate(films) if index not in dropped]


def clean_normal(example: Example) -> bool:
    """Normal to all who looked: to RSNA's radiologists and by report, or without a mark of ChestX-Det's readers."""
    if "chestx-det" in example.readers:
        return not example.regions and example.status in NEGATIVE
    return example.status is Status.NORMAL and not example.reported


def shows(example: Example, labels: frozenset[str]) -> bool:
    """Whether one of `labels` is drawn large enough to be scored."""
    return any(finding.labels & labels for finding in example.findings)


def measured(examples: Sequence[Example], fold: int, target: str) -> tuple[list[Example], list[Example]]:
    """The held-out films that show the target, and the clean normals that neither show nor report it."""
    held_out = [e for e in examples if fold_of(e.patient) == fold]
    labels = labels_of(target)
    with_target = [e for e in held_out if shows(e, labels)]
    normals = [e for e in held_out if clean_normal(e) and not involves(e, labels)]
    return with_target, normals
