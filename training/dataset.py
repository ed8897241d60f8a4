"""Films as the node would see them, decoded once: one store a size, mapped into memory."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from rich.progress import track

from model.contract import Film, FilmError
from model.film import film_from
from model.preprocess import film_of_bytes, resize
from training.data.example import DataError, Example
from training.data.headers import BROKEN, is_dicom, lenient
from training.data.store import FilmStore, identity


def open_film(example: Example) -> Film:
    """The film in its native size. Raises DataError naming the file and the film."""
    with lenient():
        return _film(example)


def open_picture(path: Path) -> Film:
    """A picture or a DICOM file, as displayed: DICOM by the very chain that the node runs in its child.

    A picture of more than 8 bits is taken to span its own darkest to its own lightest level. Raises OSError where the
    file cannot be read, FilmError where it is DICOM and no film can be made of it.
    """
    if is_dicom(path):
        return _dicom(path)
    with Image.open(path) as picture:
        if picture.mode[0] in "IF":
            return _spread(np.asarray(picture).astype(np.float64))
        return film_of_bytes(np.asarray(picture.convert("L")))


def cached(examples: Sequence[Example], size: int, folder: Path, *, workers: int | None = None) -> NDArray[np.uint8]:
    """(N, size, size): the films by the node's own resize; those decoded before are read from `folder`.

    0 is no picture (padding, beyond the shutter); what is picture is 1 to 255, so `films > 0` is the mask that
    `model.preprocess.standardise` asks for. Films are told apart by the content of their files, so that a changed
    file is decoded again, a moved one is not, and any choice of films shares one store. Stopped at any minute it
    goes on from there; `workers` threads decode. Mapped from disk where the films lie there in the order asked for,
    else a copy. Raises DataError naming the film that cannot be read.
    """
    store = FilmStore(folder, size)
    names = [_identity(example) for example in examples]
    with store.writing():
        known = store.rows()
        new = {name: example for name, example in zip(names, examples, strict=True) if name not in known}
        if new:
            _decode(new, size, store, workers or min(8, os.cpu_count() or 1))
    return store.films(names)


def _decode(new: dict[str, Example], size: int, store: FilmStore, workers: int) -> None:
    with lenient(), ThreadPoolExecutor(workers) as pool:
        films = pool.map(lambda example: _shrunk(example, size), new.values())
        try:
            for name, film in zip(new, track(films, f"films at {size} px", len(new)), strict=True):
                store.add(name, film)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _shrunk(example: Example, size: int) -> NDArray[np.uint8]:
    pixels, valid = resize(_film(example), size)
    levels = (pixels[0] * 255).round().clamp(1, 255).to(torch.uint8)
    if valid is not None:
        levels[~valid[0]] = 0
    return levels.numpy()


def _film(example: Example) -> Film:
    try:
        return open_picture(example.path)
    except FilmError as error:
        raise DataError(f"{example.path} (film {example.id}): {error.code}, {error}") from error
    except (OSError, *BROKEN) as error:
        raise DataError(f"{example.path} (film {example.id}) cannot be read: {error}") from error


def _dicom(path: Path) -> Film:
    return film_from(dcmread(path, force=True))


def _spread(levels: NDArray[np.float64]) -> Film:
    low, high = float(levels.min()), float(levels.max())
    return Film(pixels=np.rint((levels - low) * (65535.0 / max(high - low, 1.0))).astype(np.uint16))


def _identity(example: Example) -> str:
    try:
        return identity(example.path)
    except OSError as error:
        raise DataError(f"{example.path} (film {example.id}) cannot be read: {error.strerror}") from error
