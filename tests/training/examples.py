"""Films for the tests of the training, and their targets as they are."""

from pathlib import Path

import torch

from training.augment import Views, plain_views
from training.channels import PLANS
from training.datalist import OPACITIES, Box, Example, Polygon, Region, Status
from training.table import Table, table
from training.targets import Targets, targets

GRID = 40


def example(
    *boxes: Box,
    readers: tuple[str, ...] = ("chestx-det",),
    status: Status = Status.LOCALISED,
    polygon: Polygon | None = None,
    labels: tuple[str, ...] = ("Mass",),
) -> Example:
    """A film whose regions take their labels in turn from `labels`."""
    regions = tuple(
        Region(label=labels[number % len(labels)], reader=readers[0], box=box, polygon=polygon)
        for number, box in enumerate(boxes)
    )
    return Example(
        id="1",
        path=Path("1.png"),
        patient="1",
        width=512,
        view="PA",
        split="train",
        status=status,
        readers=frozenset(readers),
        regions=regions,
        looked_for=OPACITIES if set(readers) == {"rsna"} else None,
    )


def tables(*films: Example, plan: str = "dissociated") -> Table:
    """Black films of 160 pixels."""
    return table(list(films), torch.zeros(len(films), 160, 160, dtype=torch.uint8), PLANS[plan])


def wanted(*films: Example, plan: str = "dissociated", views: Views | None = None) -> Targets:
    """Targets of whole films, or of `views` of them."""
    index = torch.arange(len(films))
    return targets(tables(*films, plan=plan), index, views or plain_views(len(films), index.device), GRID)
