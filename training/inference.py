"""Films through the node's own predictor: the pieces of `configs/inference.json` and `configs/evaluate.json`.

MONAI's Evaluator runs the loop, so that its handlers and its data loader's workers serve as anywhere in MONAI.
What it is spared is its own forward pass: a film is read at several sizes, mirrored, fused and calibrated, and all
of this stands once, in `model.predictor`.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from monai.inferers import Inferer
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from torch.utils.data import Dataset

from model.contract import Film, FilmError, Manifest, Prediction, Predictor
from training.data.headers import BROKEN, lenient
from training.datalist import Example, read_films
from training.dataset import open_film, open_picture
from training.evaluate import measured_of, told
from training.evaluation.groups import evaluated

log = logging.getLogger("training")

_MARK = (255, 170, 0)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One file of a folder."""

    path: Path
    #: None where no film can be made of the file
    film: Film | None
    #: why there is no film; empty where there is one
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Read:
    """One file, and what the predictor says of its film."""

    opened: Opened
    #: None where there is no film
    prediction: Prediction | None


def films_in(folder: str | Path, leave_out: str | Path | None = None) -> list[Path]:
    """The files below `folder` in order, hidden ones and those below `leave_out` apart. Raises FileNotFoundError."""
    folder, out = Path(folder), None if leave_out is None else Path(leave_out).resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: name one that holds DICOM files or pictures by --dataset_dir")
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    kept = [path for path in found if out is None or out not in path.resolve().parents]
    if not kept:
        raise FileNotFoundError(f"no file in {folder}: it should hold DICOM files or pictures")
    return kept


def open_file(path: Path) -> Opened:
    """The film of a DICOM file or of a picture, or why there is none."""
    try:
        with lenient():
            return Opened(path=path, film=open_picture(path))
    except FilmError as error:
        return Opened(path=path, film=None, reason=f"{error.code}: {error}")
    except (OSError, Image.DecompressionBombError, *BROKEN) as error:
        return Opened(path=path, film=None, reason=f"neither DICOM nor a picture: {error}")


class FilmFiles(Dataset):  # type: ignore[type-arg]  # torch's stub
    """Files as films; `data` lists their paths."""

    def __init__(self, data: Sequence[Path]) -> None:
        self.data = list(data)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Opened:
        return open_file(self.data[index])


def examples_of(dataset_dir: str | Path, split: str) -> list[Example]:
    """The films of one split that a model is measured on. Raises DataError."""
    return evaluated(read_films(Path(dataset_dir)), split)


class ExampleFilms(Dataset):  # type: ignore[type-arg]  # torch's stub
    """The films of a datalist; `data` are its examples. A film that cannot be read ends the evaluation."""

    def __init__(self, data: Sequence[Example]) -> None:
        self.data = list(data)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Opened:
        return Opened(path=self.data[index].path, film=open_film(self.data[index]))


class PredictorInferer(Inferer):  # type: ignore[misc]  # MONAI is untyped
    """MONAI's Inferer around the contract's predictor: films of any size in, predictions out."""

    def __call__(self, inputs: Sequence[Film], network: Predictor, *_: Any, **__: Any) -> list[Prediction]:
        """One prediction a film, in order. Raises ModelError when the device fails for good."""
        return network.predict(inputs)


class Iteration:
    """One step of the Evaluator: a batch of opened files becomes what was read of them."""

    def __init__(self, inferer: Inferer, predictor: Predictor) -> None:
        self.inferer, self.predictor = inferer, predictor

    def __call__(self, _: Engine, batch: Sequence[Opened]) -> list[Read]:
        predictions = iter(self.inferer([each.film for each in batch if each.film is not None], self.predictor))
        return [Read(opened=each, prediction=None if each.film is None else next(predictions)) for each in batch]


class ResultWriter:
    """Handler: a PNG for each film that was read, named after its file, and at the end OUT/findings.json."""

    def __init__(self, manifest: Manifest, output_dir: str | Path, dataset_dir: str | Path) -> None:
        self.manifest, self.out, self.source = manifest, Path(output_dir), Path(dataset_dir)
        self.entries: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Part of ignite's handlers."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._batch)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _start(self, _: Engine) -> None:
        self.entries = []
        self.out.mkdir(parents=True, exist_ok=True)

    def _batch(self, engine: Engine) -> None:
        for read in engine.state.output:
            name = read.opened.path.relative_to(self.source)
            entry = {"file": str(name), **entry_of(read, self.manifest)}
            if entry["status"] == "analysed":
                picture = self.out / name.with_name(name.name + ".png")
                picture.parent.mkdir(parents=True, exist_ok=True)
                overlay(read.opened.film, read.prediction, self.manifest.operating_point).save(picture)
                entry["overlay"] = str(picture.relative_to(self.out))
            self.entries.append(entry)

    def _end(self, _: Engine) -> None:
        model = {"name": self.manifest.name, "version": self.manifest.version, "digest": self.manifest.digest}
        content = {"model": model, "operating_point": self.manifest.operating_point, "films": self.entries}
        (self.out / "findings.json").write_text(json.dumps(content, indent=1) + "\n")


class Evaluation:
    """Handler: all tables of `training.evaluate` to OUT, and to the log."""

    def __init__(self, manifest: Manifest, data: Sequence[Example], output_dir: str | Path) -> None:
        self.manifest, self.data, self.out = manifest, data, Path(output_dir)
        self.said: list[tuple[tuple[int, int], Prediction]] = []

    def attach(self, engine: Engine) -> None:
        """Part of ignite's handlers."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._batch)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _start(self, _: Engine) -> None:
        self.said = []

    def _batch(self, engine: Engine) -> None:
        self.said += [(read.opened.film.pixels.shape, read.prediction) for read in engine.state.output]

    def _end(self, _: Engine) -> None:
        log.info("%s", told(measured_of(self.manifest, self.data, self.said), self.out))


def entry_of(read: Read, manifest: Manifest) -> dict[str, Any]:
    """What findings.json says of one file; boxes in pixels of the film, x0, y0, x1, y1."""
    film, prediction = read.opened.film, read.prediction
    if film is None or prediction is None:
        return {"status": "unreadable", "reason": read.opened.reason}
    rows, columns = film.pixels.shape
    known = {"rows": rows, "columns": columns, "frontal_chest": round(prediction.frontal_chest, 4)}
    if prediction.frontal_chest < manifest.gate:
        return {"status": "declined", "reason": "not an upright frontal chest", **known}
    findings = [
        {
            "box": [round(edge, 1) for edge in candidate.box],
            "confidence": round(candidate.confidence, 4),
            "shown": candidate.confidence >= manifest.operating_point,
        }
        for candidate in prediction.candidates
    ]
    return {"status": "analysed", **known, "score": round(prediction.score, 4), "findings": findings}


def overlay(film: Film, prediction: Prediction, threshold: float) -> Image.Image:
    """The film at its native size with the outline and confidence of each finding from `threshold` on."""
    grey = (film.pixels >> 8).astype(np.uint8)
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    shown = [candidate for candidate in prediction.candidates if candidate.confidence >= threshold]
    width = max(1, round(max(grey.shape) / 400))
    for candidate in shown:
        top, left = candidate.mask_origin
        rows, columns = candidate.mask.shape
        picture[top : top + rows, left : left + columns][_edge(candidate.mask, width)] = _MARK
    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    for candidate in shown:
        pen.text(candidate.box[:2], f"{candidate.confidence:.2f}", fill=_MARK, font_size=12 * width, anchor="lb")
    return drawn


def _edge(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = ndimage.binary_erosion(mask, iterations=width)
    return mask & ~inside
