"""Film to network input: the one way, for training and for inference alike.

Resize to the square that the network was trained at (the training films were squashed to squares by their
publisher, so a film's aspect is not kept), then intensities by what the film itself shows: any linear window
gives the same input.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.contract import Film

#: shares of pixels clipped as darkest and lightest: markers, collimator edges, burnt-in letters
_CLIP = (0.005, 0.995)
#: percentiles are taken from every fourth row and column: the same within a grey level, sixteen times faster
_SUBSAMPLE = 4


def resize(film: Film, size: int) -> tuple[Tensor, Tensor | None]:
    """(1, size, size) float32 in 0..1 and, where the film has one, its valid mask, (1, size, size) bool.

    Antialiased: a film of 2,500 px and the same at 512 px come out alike. What is not picture is black.
    """
    pixels = torch.from_numpy(film.pixels.astype(np.float32)) / 65535.0
    valid = None
    if film.valid is not None and not film.valid.all():
        held = torch.from_numpy(film.valid.astype(np.float32))
        pixels = pixels * held
        valid = _antialiased(held, size) > 0.5
    return _antialiased(pixels, size), valid


def _antialiased(picture: Tensor, size: int) -> Tensor:
    shrunk = functional.interpolate(picture[None, None], (size, size), mode="bilinear", antialias=True)
    return shrunk[0]


def standardise(films: Tensor, valid: Sequence[Tensor | None] | None = None) -> Tensor:
    """(N, 1, H, W) of any linear grey scale: clipped at its 0.5 and 99.5 percentiles, mean 0, deviation 1.

    `valid` names for each film the (1, H, W) pixels that count; what does not count becomes black.
    """
    if valid is None or all(mask is None for mask in valid):
        sample = films[:, :, ::_SUBSAMPLE, ::_SUBSAMPLE].flatten(1)
        low, high = (torch.quantile(sample, share, dim=1) for share in _CLIP)
        clipped = films.clamp(low[:, None, None, None], high[:, None, None, None])
        mean, deviation = clipped.mean((1, 2, 3), keepdim=True), clipped.std((1, 2, 3), keepdim=True)
        return (clipped - mean) / (deviation + 1e-3)
    return torch.stack([_standardise_part(film, mask) for film, mask in zip(films, valid, strict=True)])


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
