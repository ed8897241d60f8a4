"""Measure a shipped model, a network or a file of predictions on the val split.

`python -m training.evaluate --data ../shared/data/nih` measures the packaged model through the very predictor that
the node uses; `--predictions FILE` what a training left; `--weights FILE` a network before calibration. All figures
come with 95 % intervals, and beside them stands what readers reach against readers on the same films; `--out DIR`
keeps them as markdown, JSON, CSV and PNG, and the predictions to measure again.
"""

import argparse
import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file
from torch import Tensor

from model.contract import Film, Manifest, Prediction
from model.network import Heads, LocalizationUNet
from model.predictor import load_predictor
from model.reading import Looks, Reading, inputs, read
from training import readers
from training.datalist import Box, Example, Status, read_films
from training.dataset import open_film
from training.evaluation import pictures
from training.evaluation.against import against
from training.evaluation.curves import POINTS, false_positives, marked, recall, sensitivity
from training.evaluation.groups import evaluated
from training.evaluation.masks import Cover, cover
from training.evaluation.matching import Floats, one_list
from training.evaluation.measures import image_auroc, pointing, scored
from training.evaluation.report import Measured, report
from training.evaluation.sheet import Sheet
from training.predictions import Predictions, load, of_boxes, save
from training.recipe import read_recipe
from training.tables.card import insert, markdown, write

log = logging.getLogger("training")

#: films read at once
_BATCH = 8
#: one film's boxes as fractions of the film, with scores; and its image score
Marks = tuple[list[tuple[Box, float]], float]
#: figure by name: a number, or numbers by operating point
Figures = dict[str, float | int | dict[str, float]]


def validation(examples: Sequence[Example]) -> list[Example]:
    """The films that a model is calibrated on: localised, or normal to a radiologist."""
    return [e for e in examples if e.split == "val" and e.status in (Status.LOCALISED, Status.NORMAL)]


def chunks(examples: Sequence[Example]) -> Iterator[list[Film]]:
    """The films of `examples` in batches, with a progress bar."""
    for start in track(range(0, len(examples), _BATCH), description="films"):
        yield [open_film(example) for example in examples[start : start + _BATCH]]


def readings(look: Callable[[Tensor], Heads], examples: Sequence[Example], looks: Looks) -> list[Reading]:
    """What a network in eval mode says of each film, before calibration."""
    return [reading for films in chunks(examples) for reading in read(look, inputs(films, looks.sizes), looks)]


def marks_of(reading: Reading) -> Marks:
    """Boxes by their raw score."""
    corners = [(float(a), float(b), float(c), float(d)) for a, b, c, d in reading.boxes.corners]
    return list(zip(corners, map(float, reading.boxes.scores), strict=True)), reading.image


def summary(examples: Sequence[Example], marks: Sequence[Marks], threshold: float | None = None) -> dict[str, Figures]:
    """The figures that a manifest holds, without intervals: for all films and for each size at hand."""
    groups = {"all": list(examples), "fully read": [e for e in examples if e.fully_read]}
    for width in sorted({example.width for example in examples}, reverse=True):
        groups[f"{width}px"] = [e for e in examples if e.width == width]
    predictions = of_boxes([e.id for e in examples], [boxes for boxes, _ in marks], [score for _, score in marks])
    return {name: _figures(members, predictions, threshold) for name, members in groups.items()}


def _figures(examples: Sequence[Example], predictions: Predictions, threshold: float | None) -> Figures:
    once, every = np.ones((1, len(examples))), np.ones(len(examples), bool)
    of = scored(examples, predictions, once, normal=lambda example: example.status is Status.NORMAL)
    figures: Figures = {
        "films": len(examples),
        "findings": len(of.strict.film_of_finding),
        "normals": int(of.normal.sum()),
        "froc": _by_point(of.curve),
        "froc_iou_0.2": _by_point(sensitivity(of.lenient, once)),
        "pointing": _number(pointing(of)),
        "auroc": _number(image_auroc(of)),
    }
    if threshold is not None:
        figures["operating_point"] = {
            "sensitivity": _number(recall(of.strict, once, threshold)),
            "false_per_image": _number(false_positives(of.strict, once, threshold, every)),
            "false_per_normal": _number(false_positives(of.strict, once, threshold, of.normal)),
            "normals_marked": _number(marked(of.strict, once, threshold, of.normal)),
        }
    return figures


def _by_point(curve: Floats) -> dict[str, float]:
    return {str(point): _number(curve[:, index]) for index, point in enumerate(POINTS)}


def _number(rows: Floats) -> float:
    return round(float(rows[0]), 3)


def shipped(folder: Path | None, examples: Sequence[Example]) -> Measured:
    """What the node would say."""
    predictor = load_predictor(folder, device="cpu")
    said = (
        (film.pixels.shape, one)
        for films in chunks(examples)
        for film, one in zip(films, predictor.predict(films), strict=True)
    )
    return measured_of(predictor.manifest, examples, said)


def measured_of(
    manifest: Manifest, examples: Sequence[Example], said: Iterable[tuple[tuple[int, int], Prediction]]
) -> Measured:
    """Rows and columns of each film and what a predictor says of it, to be measured.

    A film that the node would decline is one without findings, and not abnormal.
    """
    boxes: list[list[tuple[Box, float]]] = []
    logits: list[float] = []
    covers: dict[str, Cover] = {}
    for example, ((rows, columns), prediction) in zip(examples, said, strict=True):
        declined = prediction.frontal_chest < manifest.gate
        candidates = () if declined else prediction.candidates
        boxes.append(
            [
                ((c.box[0] / columns, c.box[1] / rows, c.box[2] / columns, c.box[3] / rows), c.confidence)
                for c in candidates
            ]
        )
        logits.append(-math.inf if declined else _logit(prediction))
        if example.boxes:
            shown = [c for c in candidates if c.confidence >= manifest.operating_point]
            covers[example.id] = cover(example, shown, rows, columns)
    lowest = min((logit for logit in logits if logit > -math.inf), default=0.0) - 1
    images = [max(logit, lowest) for logit in logits]
    predictions = of_boxes([example.id for example in examples], boxes, images)
    return Measured(examples, predictions, manifest.operating_point, covers)


def _logit(prediction: Prediction) -> float:
    score = min(max(prediction.score, 1e-6), 1 - 1e-6)
    return math.log(score / (1 - score))


def network(weights: Path, recipe: Path, sizes: Sequence[int], examples: Sequence[Example]) -> Measured:
    """A stage's weights, looked at in these sizes and mirrored, before calibration."""
    built = LocalizationUNet(**read_recipe(recipe).network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    built.load_state_dict(load_file(weights))
    built.eval()
    looks = Looks(
        sizes=tuple(sizes), mirror=True, box_scale=1.0, quality_power=0.5, same=0.5, suppress=0.35, least=0.01
    )
    marks = [marks_of(reading) for reading in readings(built, examples, looks)]
    ids = [example.id for example in examples]
    return Measured(examples, of_boxes(ids, [boxes for boxes, _ in marks], [image for _, image in marks]))


def left(path: Path, threshold: float | None, examples: Sequence[Example]) -> Measured:
    """Predictions from a file; films that it does not hold are named, and count as films without findings."""
    predictions = one_list(load(path))
    absent = {example.id for example in examples} - set(predictions.ids)
    if absent:
        log.warning("%s holds no prediction of %d films: they count as films without findings", path, len(absent))
    return Measured(examples, predictions, threshold)


def tables(measured: Measured) -> dict[str, Sheet]:
    """All that is told of a model, and the readers beside it: on the same films, and on all that two teams read."""
    sheets = report(measured)
    return {
        "froc": sheets.pop("froc"),
        "against": against(measured.examples, measured.predictions),
        "readers": readers.sheet(measured.everybody or measured.examples),
        **sheets,
    }


def for_card(sheets: Mapping[str, Sheet]) -> list[Sheet]:
    """What a model card holds of it: of the readers all films and those on which both drew."""
    names = ("froc", "against", "readers", "froc_normals", "operating", "recall", "masks", "reliability")
    whole = sheets["readers"]
    short = replace(whole, rows=tuple(row for row in whole.rows if row[1] in ("all", "both drew")))
    return [short if name == "readers" else sheets[name] for name in names if name in sheets]


def told(measured: Measured, out: Path | None = None, card: Path | None = None) -> str:
    """All tables as markdown; also written to the folder `out` and, in short, to the model card `card`."""
    sheets = tables(measured)
    if out:
        write("evaluation", list(sheets.values()), out)
        save(measured.predictions, out / "predictions.npz")
        pictures.evaluation(sheets, out)
    if card:
        insert("evaluation", markdown(for_card(sheets)), card)
    return markdown(list(sheets.values()))


def main(words: Sequence[str] | None = None) -> int:
    """The command line; 1 and a sentence on stderr where nothing can be measured."""
    arguments = _parser().parse_args(words)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        everybody = read_films(arguments.data)
        examples = evaluated(everybody, arguments.split)
        if arguments.predictions:
            measured = left(arguments.predictions, arguments.threshold, examples)
        elif arguments.weights:
            measured = network(arguments.weights, arguments.recipe, arguments.sizes, examples)
        else:
            measured = shipped(arguments.model, examples)
        print(told(measured._replace(everybody=everybody), arguments.out, arguments.card))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="datalist, or folder with annotations.json")
    parser.add_argument("--split", default="val", help="the split that is measured on")
    parser.add_argument("--model", type=Path, help="folder of weights; without it the packaged ones")
    parser.add_argument("--predictions", type=Path, help="measure this file instead of a model")
    parser.add_argument("--threshold", type=float, help="of --predictions; without it found on other folds of patients")
    parser.add_argument("--weights", type=Path, help="a stage's weights, measured before calibration")
    default = Path(__file__).parent / "configs" / "recipe.json"
    parser.add_argument("--recipe", type=Path, default=default, help="that --weights were trained by")
    parser.add_argument("--sizes", type=int, nargs="+", default=[320], help="looks at --weights")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, help="folder for markdown, JSON, CSV, PNG and the predictions")
    parser.add_argument("--card", type=Path, help="put the tables between their markers in this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
