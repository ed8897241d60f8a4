"""What a model got wrong, as contact sheets: to be looked at, since no figure says why.

`python -m training.tables gallery --data ../shared/data/nih --predictions FILE --out DIR`. The sheets show patients'
X-rays: they stay on the machine that has the data, and are never committed or published.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from training.datalist import Box, Example
from training.evaluation.bootstrap import draws
from training.evaluation.groups import by_size
from training.evaluation.matching import Outcomes, corners
from training.evaluation.measures import Scored, scored
from training.predictions import Predictions

#: pictures a sheet
_PICTURES = 20
_COLUMNS = 5
#: drawn by readers, by the model
_TRUE, _SAID = "#00C0FF", "#FFB000"


class Case(NamedTuple):
    """One picture of a sheet."""

    example: Example
    title: str
    said: Sequence[Box]


def gallery(examples: Sequence[Example], predictions: Predictions, threshold: float, folder: Path) -> list[Path]:
    """One sheet a kind of failure, their paths; `threshold` is the confidence from which boxes are shown."""
    of = scored(examples, predictions, draws([e.patient for e in examples], 0))
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {f"missed-{name}": cases for name, cases in missed(of, threshold).items()}
    sheets |= {"false-on-normals": false_on_normals(of), "abnormal-scored-low": low(of), "normal-scored-high": high(of)}
    written = []
    for name, cases in sheets.items():
        if cases:
            path = folder / f"{name}.png"
            _sheet(name.replace("-", " "), cases).savefig(path, dpi=100)
            written.append(path)
    return written


def missed(of: Scored, threshold: float) -> dict[str, list[Case]]:
    """Findings that no box from `threshold` on hit, a few of each size, drawn at random."""
    strict = of.strict
    pairs = [(index, finding) for index, example in enumerate(of.examples) for finding in example.findings]
    gone = strict.found_at < threshold
    rng = np.random.default_rng(0)
    cases = {}
    for band, members in by_size(corners([finding.box for _, finding in pairs])).items():
        chosen = rng.permutation(np.flatnonzero(gone & members))[:_PICTURES]
        words = band.split(" of")[0].replace(" %", "").replace("–", "-to-")
        cases[f"{words}-percent"] = [
            Case(of.examples[film], ", ".join(sorted(finding.labels)), _shown(of, film, threshold))
            for film, finding in (pairs[index] for index in chosen)
        ]
    return cases


def false_on_normals(of: Scored) -> list[Case]:
    """The boxes on normal films that the model is surest of, one a film."""
    return [
        Case(of.examples[film], f"{score:.2f}", [_box(of, film, 0)]) for film, score in _best(of.strict, of)[:_PICTURES]
    ]


def _best(strict: Outcomes, of: Scored) -> list[tuple[int, float]]:
    normal = of.normal[strict.film]
    films, first = np.unique(strict.film[normal], return_index=True)
    scores = strict.score[normal][first]
    order = np.argsort(-scores, kind="stable")
    return [(int(films[index]), float(scores[index])) for index in order]


def low(of: Scored) -> list[Case]:
    """The films with findings that look most normal to the model."""
    films = np.flatnonzero(of.abnormal)
    return [_film(of, int(film)) for film in films[np.argsort(of.predictions.images[films])][:_PICTURES]]


def high(of: Scored) -> list[Case]:
    """The normal films that look most abnormal to it."""
    films = np.flatnonzero(of.normal)
    return [_film(of, int(film)) for film in films[np.argsort(-of.predictions.images[films])][:_PICTURES]]


def _film(of: Scored, film: int) -> Case:
    said = [_box(of, film, index) for index in range(min(len(of.predictions.boxes[film]), 3))]
    return Case(of.examples[film], f"{of.predictions.images[film]:+.1f}", said)


def _shown(of: Scored, film: int, threshold: float) -> list[Box]:
    return [_box(of, film, int(index)) for index in np.flatnonzero(of.predictions.scores[film] >= threshold)]


def _box(of: Scored, film: int, index: int) -> Box:
    x0, y0, x1, y1 = map(float, of.predictions.boxes[film][index])
    return x0, y0, x1, y1


def _sheet(title: str, cases: Sequence[Case]) -> Figure:
    rows = -(-len(cases) // _COLUMNS)
    figure = Figure(figsize=(2.6 * _COLUMNS, 2.8 * rows + 0.5), layout="constrained")
    figure.suptitle(
        f"{title}: blue by readers, orange by the model. Patients' X-rays: not to be published.", fontsize=9
    )
    for axes, case in zip(figure.subplots(rows, _COLUMNS, squeeze=False).flat, cases, strict=False):
        with Image.open(case.example.path) as picture:
            axes.imshow(np.asarray(picture.convert("L")), cmap="gray", extent=(0, 1, 1, 0))
        for boxes, colour in ((case.example.boxes, _TRUE), (case.said, _SAID)):
            for x0, y0, x1, y1 in boxes:
                axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1))
        axes.set_title(f"{case.title} ({case.example.width} px)", fontsize=7)
    for axes in figure.axes:
        axes.axis("off")
    return figure
