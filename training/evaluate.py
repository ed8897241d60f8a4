"""Measure a network or a shipped model on the val split.

`python -m training.evaluate --data ../shared/data/nih` measures the packaged model through the very predictor
that the node uses; `--weights runs/first/stage-320.safetensors` a network before calibration.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from safetensors.torch import load_file

from model.contract import Film
from model.network import LocalizationUNet
from model.predictor import load_predictor
from model.reading import Looks, Reading, inputs, read
from training.datalist import Box, Example, Status, read_nih
from training.dataset import open_film
from training.froc import Marked, at_threshold, auroc, froc, pointing_hits

#: films read at once
_BATCH = 8
#: one film's boxes as fractions of the film, with scores; and its image score
Marks = tuple[list[tuple[Box, float]], float]
#: figure by name: a number, or numbers by operating point
Figures = dict[str, Any]


def validation(examples: Sequence[Example]) -> list[Example]:
    """The films that are measured on: localised, or normal to a radiologist."""
    return [e for e in examples if e.split == "val" and e.status in (Status.LOCALISED, Status.NORMAL)]


def chunks(examples: Sequence[Example]) -> Iterator[list[Film]]:
    """The films of `examples` in batches, with a progress bar."""
    for start in track(range(0, len(examples), _BATCH), description="films"):
        yield [open_film(example) for example in examples[start : start + _BATCH]]


def readings(network: LocalizationUNet, examples: Sequence[Example], looks: Looks) -> list[Reading]:
    """What the network says of each film, before calibration."""
    network.eval()
    return [reading for films in chunks(examples) for reading in read(network, inputs(films, looks.sizes), looks)]


def marks_of(reading: Reading) -> Marks:
    """Boxes by their raw score."""
    corners = [(float(a), float(b), float(c), float(d)) for a, b, c, d in reading.boxes.corners]
    return list(zip(corners, map(float, reading.boxes.scores), strict=True)), reading.image


def report(examples: Sequence[Example], marks: Sequence[Marks], threshold: float | None = None) -> dict[str, Figures]:
    """The figures, for all films and for each size at hand."""
    rows = list(zip(examples, marks, strict=True))
    groups = {"all": rows, "fully read": [row for row in rows if row[0].fully_read]}
    for width in sorted({example.width for example in examples}, reverse=True):
        groups[f"{width}px"] = [row for row in rows if row[0].width == width]
    return {
        name: _figures([e for e, _ in members], [m for _, m in members], threshold) for name, members in groups.items()
    }


def _figures(examples: Sequence[Example], marks: Sequence[Marks], threshold: float | None) -> Figures:
    films = [
        Marked(predicted=boxes, findings=example.boxes, normal=example.status is Status.NORMAL)
        for example, (boxes, _) in zip(examples, marks, strict=True)
    ]
    scores = [score for _, score in marks]
    positive = [s for s, film in zip(scores, films, strict=True) if film.findings]
    negative = [s for s, film in zip(scores, films, strict=True) if film.normal]
    figures: Figures = {
        "films": len(films),
        "findings": sum(len(film.findings) for film in films),
        "normals": len(negative),
        "froc": {str(point): round(value, 3) for point, value in froc(films).items()},
        "froc_iou_0.2": {str(point): round(value, 3) for point, value in froc(films, least_iou=0.2).items()},
        "pointing": round(pointing_hits(films), 3),
        "auroc": round(auroc(positive, negative), 3),
    }
    if threshold is not None:
        reached = vars(at_threshold(films, threshold))
        figures["operating_point"] = {name: round(value, 3) for name, value in reached.items()}
    return figures


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with annotations.json")
    parser.add_argument("--model", type=Path, help="folder of weights; without it the packaged ones")
    parser.add_argument("--weights", type=Path, help="a stage's weights, measured before calibration")
    parser.add_argument("--sizes", type=int, nargs="+", default=[320], help="looks at --weights")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    examples = validation(read_nih(arguments.data))
    if arguments.weights:
        network = LocalizationUNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        network.load_state_dict(load_file(arguments.weights))
        looks = Looks(
            sizes=tuple(arguments.sizes),
            mirror=True,
            box_scale=1.0,
            quality_power=0.5,
            same=0.5,
            suppress=0.35,
            least=0.01,
        )
        marks, threshold = [marks_of(reading) for reading in readings(network, examples, looks)], None
    else:
        marks, threshold = _shipped(arguments.model, examples)
    figures = report(examples, marks, threshold)
    print(json.dumps(figures, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=1) + "\n")


def _shipped(folder: Path | None, examples: Sequence[Example]) -> tuple[list[Marks], float]:
    """What the node would say, declined films counting as films without findings."""
    predictor = load_predictor(folder, device="cpu")
    marks: list[Marks] = []
    for films in chunks(examples):
        for film, prediction in zip(films, predictor.predict(films), strict=True):
            rows, columns = film.pixels.shape
            declined = prediction.frontal_chest < predictor.manifest.gate
            boxes = [
                ((c.box[0] / columns, c.box[1] / rows, c.box[2] / columns, c.box[3] / rows), c.confidence)
                for c in ([] if declined else prediction.candidates)
            ]
            marks.append((boxes, prediction.score))
    return marks, predictor.manifest.operating_point


if __name__ == "__main__":
    main()
