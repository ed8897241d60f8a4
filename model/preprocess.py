"""Film to network input: the one way, for training and for inference alike.

Resize to the square that the network was trained at (the training films were squashed to squares by their
publisher, so a film's aspect is not kept), then intensities by what the film itself shows: any linear window
gives the same input.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.contract import Film

#: shares of pixels clipped as darkest and lightest: markers, collimator edges, burnt-in letters
_CLIP = (0.005, 0.995)
#: percentiles are taken from every fourth row and column: the same within a grey level, sixteen times faster
_SUBSAMPLE = 4
#: rows of a film that are brought down at a time: as floats they fit a core's cache
_STRIP = 32


class _Strip(NamedTuple):
    """Some rows of a picture, and what they give to rows of a smaller one."""

    start: int
    stop: int
    #: the rows that they give to
    first: int
    last: int
    #: (last - first, stop - start)
    weights: Tensor


def resize(film: Film, size: int) -> tuple[Tensor, Tensor | None]:
    """(1, size, size) float32 in 0..1 and, where the film has one, its valid mask, (1, size, size) bool.

    Antialiased: a film of 2,500 px and the same at 512 px come out alike. What is not picture is black.
    """
    valid, held = None, None
    if film.valid is not None and not film.valid.all():
        held = film.valid
        valid = _antialiased(held, size) > 0.5
    return _antialiased(film.pixels, size, held) / 65535.0, valid


def _antialiased(picture: NDArray[np.uint16 | np.bool_], size: int, held: NDArray[np.bool_] | None = None) -> Tensor:
    """(1, size, size) float32: what `interpolate(mode="bilinear", antialias=True)` gives, to the sixth digit.

    That wants floats, and writes and reads four bytes for each of seven million pixels several times over. Here each
    pixel is read once, a strip of rows at a time that stays in the cache. What is not `held` counts as 0.
    """
    lower = _fewer_rows(picture, size, held)
    return _fewer_rows(lower.numpy().T, size).T[None]


def _fewer_rows(
    picture: NDArray[np.uint16 | np.bool_ | np.float32], size: int, held: NDArray[np.bool_] | None = None
) -> Tensor:
    """(size, columns) float32 of (rows, columns)."""
    rows, columns = picture.shape
    fewer = torch.zeros(size, columns)
    floats = np.empty((_STRIP, columns), np.float32)
    for strip in _strips(rows, size):
        part = floats[: strip.stop - strip.start]
        np.copyto(part, picture[strip.start : strip.stop])
        if held is not None:
            part *= held[strip.start : strip.stop]
        fewer[strip.first : strip.last].addmm_(strip.weights, torch.from_numpy(part))
    return fewer


@lru_cache(maxsize=32)
def _strips(rows: int, size: int) -> tuple[_Strip, ...]:
    """How `rows` become `size`: each a mean of those around it, weighted by a triangle of twice their distance."""
    scale = rows / size
    reach = max(scale, 1.0)
    centres = scale * (np.arange(size) + 0.5)
    begin = np.maximum((centres - reach + 0.5).astype(int), 0)
    end = np.minimum((centres + reach + 0.5).astype(int), rows)
    near = begin[:, None] + np.arange((end - begin).max())
    weights = np.clip(1 - np.abs(near + 0.5 - centres[:, None]) / reach, 0, None) * (near < end[:, None])
    weights /= weights.sum(1, keepdims=True)

    starts = np.arange(0, rows, _STRIP)
    first, last = np.searchsorted(end, starts, side="right"), np.searchsorted(begin, starts + _STRIP)
    # those beyond its end have no weight: added to its last row they change nothing
    of, place = np.divmod(np.minimum(near, end[:, None] - 1), _STRIP)
    table = np.zeros((len(starts), (last - first).max(), _STRIP), np.float32)
    np.add.at(table, (of, np.arange(size)[:, None] - first[of], place), weights)
    return tuple(
        _Strip(start, stop, int(a), int(b), torch.from_numpy(table[number, : b - a, : stop - start]).contiguous())
        for number, (start, a, b) in enumerate(zip(starts.tolist(), first, last, strict=True))
        for stop in [min(start + _STRIP, rows)]
    )


def standardise(films: Tensor, valid: Sequence[Tensor | None] | None = None) -> Tensor:
    """(N, 1, H, W) of any linear grey scale: clipped at its 0.5 and 99.5 percentiles, mean 0, deviation 1.

    `valid` names for each film the (1, H, W) pixels that count; what does not count becomes black.
    """
    if valid is None or all(mask is None for mask in valid):
        ordered = films[:, :, ::_SUBSAMPLE, ::_SUBSAMPLE].flatten(1).sort(1).values
        low, high = (_quantile(ordered, share) for share in _CLIP)
        clipped = films.clamp(low[:, None, None, None], high[:, None, None, None])
        mean, deviation = clipped.mean((1, 2, 3), keepdim=True), clipped.std((1, 2, 3), keepdim=True)
        return (clipped - mean) / (deviation + 1e-3)
    return torch.stack([_standardise_part(film, mask) for film, mask in zip(films, valid, strict=True)])


def _quantile(ordered: Tensor, share: float) -> Tensor:
    """(N,) quantiles of (N, K) values in rising order: torch's own sorts anew for each share."""
    place = share * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    return torch.lerp(ordered[:, below], ordered[:, above], place - below)


def _standardise_part(film: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None or not mask.any():
        return standardise(film[None])[0]
    seen = film[mask]
    low, high = torch.quantile(seen[:: _SUBSAMPLE**2], torch.tensor(_CLIP))
    seen = seen.clamp(low, high)
    clipped = torch.where(mask, film.clamp(low, high), low)
    return (clipped - seen.mean()) / (seen.std() + 1e-3)


def network_input(films: Sequence[Film], size: int) -> Tensor:
    """(N, 1, size, size) float32: what the network was trained on."""
    resized = [resize(film, size) for film in films]
    return standardise(torch.stack([pixels for pixels, _ in resized]), [valid for _, valid in resized])


def film_of_bytes(grey: NDArray[np.uint8]) -> Film:
    """A film from an 8-bit grey picture (rows, columns) that is already as displayed."""
    return Film(pixels=grey.astype(np.uint16) * np.uint16(257))
