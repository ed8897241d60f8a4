"""From a network to predictions of many films, batch by batch on the device that trained it.

One look and its mirror image, their maps averaged: enough to compare trainings with each other. What ships looks
more often (`model.reading`).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from model.network import Heads, LocalizationUNet
from model.preprocess import standardise
from training.losses import boxes_of
from training.predictions import Predictions

#: of one film: boxes (K, 4) as fractions, scores (K,), channels (K,)
Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

#: boxes of a film at most
_MOST = 30
#: of boxes that overlap this much (IoU) only the best remains
_SUPPRESS = 0.35
#: scores below this are dropped
_LEAST = 0.02
#: power of the expected quality in a score
_QUALITY = 0.5
#: components are sought above each of these probabilities, and hold this many cells at least
_LEVELS = (0.15, 0.3, 0.5)
_CELLS = 4


def predict(
    network: LocalizationUNet, films: Tensor, ids: Sequence[str], *, batch: int = 64, components: bool = False
) -> Predictions:
    """Predictions of (N, S, S) uint8 films, on their device.

    Boxes are those of the instance heads, or the connected `components` of the mask where there are no such heads.
    """
    network.eval()
    rows: list[Found] = []
    images: list[Tensor] = []
    for heads in _heads(network, films, batch):
        rows += _components(heads) if components else _instances(heads)
        images.append(heads.image.float().cpu())
    return Predictions(
        ids=tuple(ids),
        boxes=tuple(boxes.astype(np.float32) for boxes, _, _ in rows),
        scores=tuple(scores.astype(np.float32) for _, scores, _ in rows),
        channels=tuple(channels.astype(np.int8) for _, _, channels in rows),
        images=torch.cat(images).numpy(),
    )


@torch.inference_mode()
def _heads(network: LocalizationUNet, films: Tensor, batch: int) -> Iterator[Heads]:
    device = films.device.type
    for start in range(0, len(films), batch):
        x = standardise(films[start : start + batch][:, None].float() / 255)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device, torch.bfloat16, device == "cuda"):
            plain, mirrored = network(x), network(x.flip(3))
        yield Heads(
            mask=_both(plain.mask.float().sigmoid(), mirrored.mask.float().sigmoid()),
            heat=_both(plain.heat.float().sigmoid(), mirrored.heat.float().sigmoid()),
            distances=_both(plain.distances.float(), mirrored.distances.float()[:, :, [2, 1, 0, 3]]),
            quality=_both(plain.quality.float().sigmoid(), mirrored.quality.float().sigmoid()),
            image=(plain.image + mirrored.image) / 2,
            pooled=plain.pooled,
            features=plain.features,
        )


def _both(plain: Tensor, mirrored: Tensor) -> Tensor:
    return (plain + mirrored.flip(-1)) / 2


def _instances(heads: Heads) -> list[Found]:
    """Boxes at the maxima of the heat, of each film the best, suppressed across channels."""
    n, grid = len(heads.heat), heads.heat.shape[-1]
    score = heads.heat * heads.quality**_QUALITY
    score = torch.where(heads.heat == functional.max_pool2d(heads.heat, 3, 1, 1), score, 0.0)
    values, places = score.flatten(1).topk(min(_MOST, score[0].numel()))
    corners = boxes_of(heads.distances).transpose(2, 3).transpose(3, 4).reshape(n, -1, 4)
    boxes = (corners.gather(1, places[..., None].expand(-1, -1, 4)) / grid).clamp(0, 1)
    kept = suppressed(boxes, _SUPPRESS) & (values >= _LEAST) & ((boxes[..., 2:] - boxes[..., :2]).amin(-1) > 1e-3)
    of_channel = (places // grid**2).cpu().numpy()
    found, keep = (part.cpu().numpy() for part in (torch.cat([boxes, values[..., None]], -1), kept))
    return [(f[k, :4], f[k, 4], c[k]) for f, k, c in zip(found, keep, of_channel, strict=True)]


def suppressed(boxes: Tensor, overlap: float) -> Tensor:
    """(N, K) True for boxes (N, K, 4), best first, that overlap no better one that stays by `overlap` or more."""
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    inner = (high - low).clamp(min=0).prod(-1)
    size = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    iou = inner / (size[:, :, None] + size[:, None] - inner).clamp(min=1e-9)
    stays = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for index in range(1, boxes.shape[1]):
        stays[:, index] = ~((iou[:, index, :index] >= overlap) & stays[:, :index]).any(1)
    return stays


def _components(heads: Heads) -> list[Found]:
    masks = heads.mask.cpu().numpy()
    return [_components_of(film) for film in masks]


def _components_of(masks: NDArray[np.float32]) -> Found:
    """The connected components of (M, h, w) probabilities at several levels, by their mean, overlaps suppressed."""
    rows = []
    for channel, mask in enumerate(masks):
        grid = mask.shape[0]
        for level in _LEVELS:
            labels, _ = ndimage.label(mask > level)
            for number, place in enumerate(ndimage.find_objects(labels), 1):
                inside = mask[place][labels[place] == number]
                if len(inside) >= _CELLS:
                    y, x = place
                    edges = (x.start / grid, y.start / grid, x.stop / grid, y.stop / grid)
                    rows.append((*edges, float(inside.mean()), channel))
    rows.sort(key=lambda row: -row[4])
    found = np.array(rows[:_MOST], np.float32).reshape(-1, 6)
    if len(found):
        found = found[suppressed(torch.from_numpy(found[None, :, :4]), _SUPPRESS)[0].numpy()]
    return found[:, :4], found[:, 4], found[:, 5]
