"""Which films and which findings a figure is about."""

from collections.abc import Sequence

import numpy as np

from training.datalist import Example, Status, iou
from training.evaluation.matching import Bools, Floats, corners
from training.protocol import clean_normal

#: years, first and last of each band
AGES = ((16, 39), (40, 59), (60, 120))
#: share of the film that a finding's box takes, in percent: lower ends of the bands
SIZES = (0.1, 0.5, 2.0, 8.0)


def evaluated(examples: Sequence[Example], split: str = "val") -> list[Example]:
    """The films that are measured on: with regions drawn, or called normal by somebody who looked at the film."""
    known = (Status.LOCALISED, Status.NORMAL, Status.NORMAL_WEAK)
    return [e for e in examples if e.split == split and e.status in known]


def primary(example: Example) -> bool:
    """Fully read with regions, or a clean normal: here a box that hits nothing is a false one."""
    return clean_normal(example) or (example.status is Status.LOCALISED and example.fully_read)


def comparable(example: Example) -> bool:
    """Localised, or normal to a radiologist: the films that earlier figures were measured on."""
    return example.status in (Status.LOCALISED, Status.NORMAL)


def comparable_normal(example: Example) -> bool:
    """Normal to a radiologist, or without a mark of those who looked for everything."""
    return example.status is Status.NORMAL or clean_normal(example)


def films_by(examples: Sequence[Example]) -> dict[str, Bools]:
    """(N,) members of each group: by source resolution, view, age and by who read the film."""
    width, age = (np.array([value or 0 for value in values]) for values in _columns(examples))
    view = np.array([e.view for e in examples])
    groups = {f"{side} px": width == side for side in sorted({*width.tolist()}, reverse=True)}
    groups |= {name: view == name for name in sorted({*view.tolist()})}
    groups |= {_years(low, high): (age >= low) & (age <= high) for low, high in AGES}
    for reader in sorted({reader for e in examples for reader in e.readers}):
        groups[f"read by {reader}"] = np.array([reader in e.readers for e in examples], bool)
    return {name: members for name, members in groups.items() if members.any()}


def findings_by(examples: Sequence[Example]) -> dict[str, dict[str, Bools]]:
    """(G,) members of each group of findings, in the order of the films and of their findings."""
    pairs = [(example, finding) for example in examples for finding in example.findings]
    labels = sorted({label for _, finding in pairs for label in finding.labels})
    films = films_by(examples)
    owner = np.repeat(np.arange(len(examples)), [len(e.findings) for e in examples])
    return {
        "disease": {label: np.array([label in finding.labels for _, finding in pairs], bool) for label in labels},
        "size": by_size(corners([finding.box for _, finding in pairs])),
        "film": {name: members[owner] for name, members in films.items() if not name.startswith("read by")},
        "reader": {
            reader: np.array([reader in _drawn_by(example, finding.box) for example, finding in pairs], bool)
            for reader in sorted({region.reader for example, _ in pairs for region in example.regions})
        },
    }


def by_size(boxes: Floats) -> dict[str, Bools]:
    """(G,) members of each band of size of (G, 4) boxes."""
    share = 100 * (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return {_band(low, high): (share >= low) & (share < high) for low, high in _bands()}


def _columns(examples: Sequence[Example]) -> tuple[list[int | None], list[int | None]]:
    return [e.width for e in examples], [e.age for e in examples]


def _years(low: int, high: int) -> str:
    return f"{low} years and more" if high >= AGES[-1][1] else f"{low}–{high} years"


def _bands() -> list[tuple[float, float]]:
    return list(zip(SIZES, (*SIZES[1:], np.inf), strict=True))


def _band(low: float, high: float) -> str:
    return f"{low:g} % of the film and more" if np.isinf(high) else f"{low:g}–{high:g} % of the film"


def _drawn_by(example: Example, box: tuple[float, float, float, float]) -> set[str]:
    """The readers of the regions that lie in this finding more than in any other."""
    readers = set()
    for region in example.regions:
        best = max(example.boxes, key=lambda other: iou(region.box, other), default=None)
        if best == box and iou(region.box, box) > 0:
            readers.add(region.reader)
    return readers
