"""Films as the datalist holds them, for tests that need no pixels."""

from pathlib import Path

from training.datalist import Box, Example, Polygon, Region, Status


def example(
    *boxes: Box,
    readers: tuple[str, ...] = ("chestx-det",),
    status: Status = Status.LOCALISED,
    polygon: Polygon | None = None,
    label: str = "Mass",
) -> Example:
    """A film on which the first of `readers` drew."""
    regions = tuple(Region(label=label, reader=readers[0], box=box, polygon=polygon) for box in boxes)
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
    )
