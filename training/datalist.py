"""Films of every source in one list, and the one file that keeps it."""

from training.boxes import SAME_FINDING, Box, Polygon, area, iou, merge
from training.example import LOOKS_ONLY_FOR, MIN_AREA, NEGATIVE, OPACITIES, DataError, Example, Finding, Region, Status
from training.nih import MIN_AGE, read_nih

__all__ = [
    "LOOKS_ONLY_FOR",
    "MIN_AGE",
    "MIN_AREA",
    "NEGATIVE",
    "OPACITIES",
    "SAME_FINDING",
    "Box",
    "DataError",
    "Example",
    "Finding",
    "Polygon",
    "Region",
    "Status",
    "area",
    "iou",
    "merge",
    "read_nih",
]
