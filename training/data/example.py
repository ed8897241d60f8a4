"""The nouns of the training: a film, who read it, what they looked for, what they drew, what is taken for true."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from training.data.boxes import Box, Polygon, area, grouped, iou

#: regions below this share of the film are too small to be scored, and never trained as background
MIN_AREA = 0.001

#: columns of a film that counts as full-size
FULL_SIZE = 512

#: what readers who look for pneumonia would call an opacity of the lung
OPACITIES = frozenset({"Lung Opacity", "Consolidation", "Pneumonia", "Infiltrate"})
#: readers of whom it is known that they do not look for everything, and the kinds that they look for everywhere
#: on a film. `nih-bbox` drew what a report had named, which says nothing of the rest; `nlp` is a report, mined.
LOOKS_ONLY_FOR: dict[str, frozenset[str]] = {"rsna": OPACITIES, "nih-bbox": frozenset(), "nlp": frozenset()}


class DataError(ValueError):
    """Data that cannot be used as they are; the message names the file and the row, and what to do."""


class Status(StrEnum):
    """What is known of a film as a whole."""

    LOCALISED = "abnormal_localised"
    UNLOCALISED = "abnormal_unlocalised"
    ABNORMAL_REPORT = "abnormal_nlp"
    NORMAL = "normal"
    NORMAL_REPORT = "normal_nlp"
    NORMAL_WEAK = "normal_weak"
    #: nothing was found of the kinds that were looked for; of the rest nothing is known
    PARTLY_NORMAL = "partly_normal"


#: films without regions whose background may be trained as background
NEGATIVE = frozenset({Status.NORMAL, Status.NORMAL_REPORT, Status.NORMAL_WEAK})


@dataclass(frozen=True, kw_only=True)
class Region:
    """One drawn region; all coordinates are fractions of the film, origin top left."""

    label: str
    reader: str
    #: x0, y0, x1, y1
    box: Box
    #: the outline, where the reader drew one
    polygon: Polygon | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the readers of a film together take for one abnormal place."""

    #: x0, y0, x1, y1 as fractions of the film, origin top left
    box: Box
    #: the kinds that its readers called it; they need not agree
    labels: frozenset[str]
    #: share of those readers who looked for it that drew it, above 0 and up to 1
    agreement: float


#: stands for: make them of the regions. An empty tuple does not: readers may have drawn and nothing be left of it
_MERGED: tuple[Finding, ...] = (Finding(box=(0.0, 0.0, 0.0, 0.0), labels=frozenset(), agreement=0.0),)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One film and what its readers said."""

    id: str
    path: Path
    patient: str
    #: columns of the picture at hand
    width: int
    view: str
    split: str
    status: Status
    readers: frozenset[str]
    regions: tuple[Region, ...]
    #: years
    age: int | None = None
    #: M, F, or empty: not known
    sex: str = ""
    #: kinds that a report or an image-level reading names, in the words of the regions' labels
    reported: frozenset[str] = frozenset()
    #: RSNA's word for the whole film; empty where RSNA did not read it
    rsna_class: str = ""
    #: kinds that somebody looked for on all of the film; None: everything
    looked_for: frozenset[str] | None = None
    #: large enough to be scored; made of `regions` (see `merged`) where nothing else is given
    findings: tuple[Finding, ...] = _MERGED

    def __post_init__(self) -> None:
        if self.findings is _MERGED:
            object.__setattr__(self, "findings", merged(self.regions, self.readers))

    @property
    def boxes(self) -> list[Box]:
        """The findings' boxes."""
        return [finding.box for finding in self.findings]

    @property
    def too_small(self) -> list[Box]:
        """Regions that are neither trained as findings nor as background: tiny ones, and those no finding touches."""
        return [
            region.box
            for region in self.regions
            if area(region.box) < MIN_AREA or not any(iou(region.box, finding.box) > 0 for finding in self.findings)
        ]

    @property
    def fully_read(self) -> bool:
        """Somebody looked for everything on all of the film, or it is a normal film."""
        if self.status in NEGATIVE:
            return True
        return self.looked_for is None and not self.readers <= LOOKS_ONLY_FOR.keys()


def merged(regions: Sequence[Region], readers: Iterable[str]) -> tuple[Finding, ...]:
    """Findings by boxes around what overlaps, whatever its label; regions below MIN_AREA are left out."""
    large = [region for region in regions if area(region.box) >= MIN_AREA]
    groups = grouped([region.box for region in large])
    return tuple(_finding(box, [large[index] for index in members], readers) for box, members in groups)


def _finding(box: Box, members: Sequence[Region], readers: Iterable[str]) -> Finding:
    labels = frozenset(region.label for region in members)
    drew = {region.reader for region in members}
    return Finding(box=box, labels=labels, agreement=agreement(labels, drew, readers))


def agreement(labels: frozenset[str], drew: set[str], readers: Iterable[str]) -> float:
    """The share of the readers who looked for something of these kinds that drew it.

    Who does not look for such kinds has not disagreed by drawing nothing.
    """
    looked = {r for r in readers if r not in LOOKS_ONLY_FOR or LOOKS_ONLY_FOR[r] & labels}
    return len(drew) / len(drew | looked)
