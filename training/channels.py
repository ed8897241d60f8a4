"""Instance channels: which regions a channel is to find, and on which films its silence is to be believed.

A region's class is dissociated from it by giving all regions one channel. Two channels tell apart what readers
looked for: on a film read for opacities alone nothing is known of nodules, yet all is known of opacities. One
channel a disease is what the paper argues against; it is here to be measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from training.datalist import MIN_AREA, NEGATIVE, OPACITIES, Box, Example, Region, Status, area, merge

#: a film's regions whose readers may have left others undrawn: how far its background is believed
PARTLY_READ = 0.6

_DISEASES = (
    "Atelectasis", "Calcification", "Cardiomegaly", "Diffuse Nodule", "Effusion", "Emphysema", "Fibrosis",
    "Fracture", "Mass", "Nodule", "Pleural Thickening", "Pneumothorax",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What one channel of the instance heads is to find."""

    name: str
    #: labels of the regions that belong to it; None: every
    labels: frozenset[str] | None = None
    #: readers whose regions belong to it; None: every
    readers: frozenset[str] | None = None
    #: kinds that whoever reads for it must have looked for; None: everything
    kinds: frozenset[str] | None = None

    def holds(self, region: Region) -> bool:
        """The region is one that this channel is to find."""
        return (self.labels is None or region.label in self.labels) and (
            self.readers is None or region.reader in self.readers
        )

    def boxes(self, example: Example) -> list[Box]:
        """What the channel is to find on a film, each finding once."""
        if self.labels is None and self.readers is None:
            return example.boxes
        return merge([r.box for r in example.regions if self.holds(r) and area(r.box) >= MIN_AREA])

    def background(self, example: Example) -> float:
        """How far this channel's silence on the rest of a film is believed: 0 where nobody looked."""
        if example.status in NEGATIVE:
            return 1.0
        if self.readers is not None and not self.readers & example.readers:
            return 0.0
        looked = example.looked_for
        if self.kinds is not None and looked is not None and self.kinds <= looked:
            return 1.0
        if example.status in (Status.UNLOCALISED, Status.ABNORMAL_REPORT):
            return 0.0
        if example.fully_read:
            return 1.0
        return PARTLY_READ if self.labels is None else 0.0


#: the name of a plan to its channels
PLANS: Mapping[str, Sequence[Channel]] = MappingProxyType(
    {
        "dissociated": (Channel(name="abnormal"),),
        "protocols": (
            Channel(name="everything"),
            Channel(name="opacities", readers=frozenset({"rsna"}), kinds=OPACITIES),
        ),
        "diseases": (
            Channel(name="Opacity", labels=OPACITIES, kinds=OPACITIES),
            *(Channel(name=label, labels=frozenset({label})) for label in _DISEASES),
        ),
    }
)
