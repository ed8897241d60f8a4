"""Films decoded once: one uint8 array a size, kept in the run folder and mapped into memory."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from model.contract import Film
from model.preprocess import film_of_bytes, resize
from training.datalist import Example


def open_film(example: Example) -> Film:
    """The film in its native size. Raises OSError when the picture cannot be read."""
    return open_picture(example.path)


def open_picture(path: Path) -> Film:
    """An 8-bit picture, as displayed. Raises OSError when it cannot be read."""
    with Image.open(path) as picture:
        return film_of_bytes(np.asarray(picture.convert("L")))


def cached(examples: Sequence[Example], size: int, folder: Path) -> NDArray[np.uint8]:
    """(N, size, size): the films by the node's own resize; read from `folder` where they were made before."""
    ids = hashlib.sha256("\n".join(example.id for example in examples).encode()).hexdigest()[:12]
    path = folder / f"films-{size}-{ids}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        films = np.empty((len(examples), size, size), np.uint8)
        for index, example in enumerate(track(examples, description=f"films at {size} px")):
            pixels, _ = resize(open_film(example), size)
            films[index] = (pixels[0] * 255).round().to(torch.uint8).numpy()
        partial = path.with_suffix(".part.npy")
        np.save(partial, films)
        partial.rename(path)
    films_on_disk: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    return films_on_disk
