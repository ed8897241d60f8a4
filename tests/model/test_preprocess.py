"""A film is brought down as torch would do it, without its floats."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.contract import Film
from model.preprocess import resize, standardise

#: rows, columns, side of the result: down, up, not at all, by more than a strip, in one direction only
SHAPES = [
    (3000, 2500, 288),
    (1955, 1841, 224),
    (100, 77, 288),
    (288, 288, 288),
    (9000, 40, 32),
    (31, 700, 64),
    (1, 1, 64),
]


def by_torch(picture: NDArray[np.uint16], size: int) -> Tensor:
    grey = torch.from_numpy(picture.astype(np.float32))[None, None]
    return functional.interpolate(grey, (size, size), mode="bilinear", antialias=True)[0]


def noise(rows: int, columns: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 65536, (rows, columns), dtype=np.uint16)


@pytest.mark.parametrize(("rows", "columns", "size"), SHAPES)
def test_a_film_is_brought_down_as_torch_would_do_it(rows: int, columns: int, size: int) -> None:
    """To less than one of the film's 65,536 grey levels."""
    pixels = noise(rows, columns)
    brought, valid = resize(Film(pixels=pixels), size)
    assert brought.shape == (1, size, size)
    assert brought.dtype == torch.float32
    assert valid is None
    assert (brought * 65535 - by_torch(pixels, size)).abs().max() < 1


@pytest.mark.parametrize(("rows", "columns", "size"), SHAPES[:-1])
def test_what_is_no_picture_is_black_and_named(rows: int, columns: int, size: int) -> None:
    pixels = noise(rows, columns)
    picture = np.random.default_rng(1).random((rows, columns)) > 0.3
    brought, valid = resize(Film(pixels=pixels, valid=picture), size)
    assert (brought * 65535 - by_torch(pixels * picture, size)).abs().max() < 1
    share = by_torch(picture.astype(np.uint16), size)
    assert valid is not None
    # one that is half picture may fall on either side
    assert torch.equal(valid | ((share - 0.5).abs() < 1e-5), (share > 0.5) | ((share - 0.5).abs() < 1e-5))


def test_a_film_may_lie_in_memory_as_it_likes() -> None:
    """Read-only, mapped from a file, turned or mirrored by numpy: none of it is copied or written to."""
    pixels = noise(200, 150)
    wanted = resize(Film(pixels=pixels), 64)[0]
    locked = pixels.copy()
    locked.flags.writeable = False
    for same in (locked, pixels[::-1].copy()[::-1], np.asfortranarray(pixels)):
        assert torch.equal(resize(Film(pixels=same), 64)[0], wanted)


def test_percentiles_are_those_of_torch() -> None:
    films = torch.rand(3, 1, 160, 160, generator=torch.Generator().manual_seed(0)) ** 3
    standard = standardise(films)
    for film, said in zip(films, standard, strict=True):
        sample = film[:, ::4, ::4].flatten()
        low, high = torch.quantile(sample, 0.005), torch.quantile(sample, 0.995)
        clipped = film.clamp(low, high)
        torch.testing.assert_close(said, (clipped - clipped.mean()) / (clipped.std() + 1e-3))
