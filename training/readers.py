"""What one team of readers reaches against another by the very measure a model is measured by.

`python -m training.readers --data ../shared/data/nih`: ChestX-Det's readers as if they were the model, RSNA's as
the truth, on all adult films that both have read. RSNA's looked for opacities alone, so only regions of
ChestX-Det that show one count.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from training.datalist import Box, Example, Status, merge, read_nih
from training.froc import Marked, at_threshold

#: regions of ChestX-Det that RSNA's readers would have called an opacity
OPACITIES = frozenset({"Consolidation"})


def boxes_by(example: Example, reader: str, labels: frozenset[str] | None = None) -> list[Box]:
    """The findings of one team on a film, those drawn twice merged."""
    drawn = [r.box for r in example.regions if r.reader == reader and (labels is None or r.label in labels)]
    return merge(drawn)


def compare(examples: Sequence[Example], least_iou: float) -> dict[str, float | int]:
    """Sensitivity and false positives of ChestX-Det's readers on RSNA's boxes."""
    both = [
        example
        for example in examples
        if {"chestx-det", "rsna"} <= example.readers and example.status in (Status.LOCALISED, Status.NORMAL)
    ]
    films = [
        Marked(
            predicted=[(box, 1.0) for box in boxes_by(example, "chestx-det", OPACITIES)],
            findings=boxes_by(example, "rsna"),
            normal=example.status is Status.NORMAL,
        )
        for example in both
    ]
    agreed = [film for film in films if film.predicted and film.findings]
    reached = at_threshold(films, 1.0, least_iou)
    return {
        "films": len(films),
        "sensitivity": round(reached.sensitivity, 3),
        "false_per_image": round(reached.false_per_image, 3),
        "films_where_both_drew": len(agreed),
        "sensitivity_where_both_drew": round(at_threshold(agreed, 1.0, least_iou).sensitivity, 3),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with annotations.json")
    arguments = parser.parse_args()
    examples = read_nih(arguments.data)
    print(json.dumps({f"iou_{least}": compare(examples, least) for least in (0.4, 0.2)}, indent=1))


if __name__ == "__main__":
    main()
