"""What one network said of many films, kept in a file so that it can be measured again without the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Channels = NDArray[np.int8]

_KEYS = ("ids", "counts", "boxes", "scores", "channels", "images")


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Of N films. Raises ValueError, naming the film, where the parts do not belong together."""

    #: N ids of `training.datalist.Example`, each once
    ids: tuple[str, ...]
    #: per film (K, 4) x0, y0, x1, y1 as fractions of the film, by falling score
    boxes: tuple[Floats, ...]
    #: per film (K,) falling; only their order is used, unless they are said to be confidences
    scores: tuple[Floats, ...]
    #: per film (K,) the channel of the instance head that a box comes from
    channels: tuple[Channels, ...]
    #: (N,) logit of the film being abnormal
    images: Floats

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.boxes), len(self.scores), len(self.channels), len(self.images)}
        if len(lengths) != 1:
            raise ValueError(f"predictions of {len(self.ids)} films hold parts of other lengths: {sorted(lengths)}")
        if len(set(self.ids)) != len(self.ids):
            twice = next(name for name in self.ids if self.ids.count(name) > 1)
            raise ValueError(f"film {twice} is predicted twice: keep one prediction a film")
        for name, boxes, scores, channels in zip(self.ids, self.boxes, self.scores, self.channels, strict=True):
            if boxes.shape != (len(scores), 4) or channels.shape != scores.shape or scores.ndim != 1:
                raise ValueError(
                    f"film {name}: boxes {boxes.shape}, scores {scores.shape} and channels {channels.shape} do not"
                    " belong together: (K, 4), (K,) and (K,) are needed"
                )
            if not np.isfinite(boxes).all() or not np.isfinite(scores).all():
                raise ValueError(f"film {name}: a box or a score is not finite")
            if (np.diff(scores) > 0).any():
                raise ValueError(f"film {name}: boxes must come by falling score")

    def on(self, ids: Sequence[str]) -> "Predictions":
        """The same for the films named, in that order; a film without prediction has no box and the lowest logit.

        That is what a declined or missing film is to those who count: one in which nothing was found.
        """
        place = {name: index for index, name in enumerate(self.ids)}
        rows = [place.get(name) for name in ids]
        lowest = self.images.min(initial=0) - 1
        return Predictions(
            ids=tuple(ids),
            boxes=tuple(np.zeros((0, 4), np.float32) if row is None else self.boxes[row] for row in rows),
            scores=tuple(np.zeros(0, np.float32) if row is None else self.scores[row] for row in rows),
            channels=tuple(np.zeros(0, np.int8) if row is None else self.channels[row] for row in rows),
            images=np.array([lowest if row is None else self.images[row] for row in rows], np.float32),
        )


def of_boxes(
    ids: Sequence[str], boxes: Sequence[Sequence[tuple[Sequence[float], float]]], images: Sequence[float] | None = None
) -> Predictions:
    """Predictions of one channel from boxes with their scores in any order, and from logits where there are any."""
    ranked = [sorted(film, key=lambda item: -item[1]) for film in boxes]
    return Predictions(
        ids=tuple(ids),
        boxes=tuple(np.array([box for box, _ in film], np.float32).reshape(-1, 4) for film in ranked),
        scores=tuple(np.array([score for _, score in film], np.float32) for film in ranked),
        channels=tuple(np.zeros(len(film), np.int8) for film in ranked),
        images=np.zeros(len(ids), np.float32) if images is None else np.array(images, np.float32),
    )


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Predictions on several sets of films as one: the folds of a cross-validation, say."""
    return Predictions(
        ids=tuple(name for part in parts for name in part.ids),
        boxes=tuple(boxes for part in parts for boxes in part.boxes),
        scores=tuple(scores for part in parts for scores in part.scores),
        channels=tuple(channels for part in parts for channels in part.channels),
        images=np.concatenate([np.zeros(0, np.float32), *(part.images for part in parts)]),
    )


def save(predictions: Predictions, path: Path) -> None:
    """Write an .npz of plain arrays, replacing `path` in one step."""
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            ids=np.array(predictions.ids, np.str_),
            counts=np.array([len(scores) for scores in predictions.scores], np.int32),
            boxes=np.concatenate([np.zeros((0, 4), np.float32), *predictions.boxes]).astype(np.float32),
            scores=np.concatenate([np.zeros(0, np.float32), *predictions.scores]).astype(np.float32),
            channels=np.concatenate([np.zeros(0, np.int8), *predictions.channels]).astype(np.int8),
            images=np.asarray(predictions.images, np.float32),
        )
    partial.replace(path)


def load(path: Path) -> Predictions:
    """What `save` wrote. Raises ValueError naming the file when it is something else, OSError when it is not there."""
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, counts, boxes, scores, channels, images = (file[key] for key in _KEYS)
    except (KeyError, ValueError, BadZipFile, EOFError) as error:
        raise ValueError(
            f"{path} is no file of predictions ({error}): it needs the arrays {', '.join(_KEYS)}"
        ) from error
    ends = np.cumsum(counts)[:-1]
    try:
        return Predictions(
            ids=tuple(map(str, ids)),
            boxes=tuple(np.split(boxes, ends)) if len(counts) else (),
            scores=tuple(np.split(scores, ends)) if len(counts) else (),
            channels=tuple(np.split(channels, ends)) if len(counts) else (),
            images=images,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
