"""The contrastive stage: what is abnormal in one disease looks like what is abnormal in another, not like tissue at
the same place of a normal film.

Supervised contrastive learning (arXiv 2004.11362, eq. 2) over regions pooled from boxes. With z the projected,
normalised features of a region and t the temperature, an abnormal region i is pulled to the regions P(i) of *other*
diseases on other films and pushed from the regions M at boxes' places on normal films:

    L(i) = -1/|P(i)| sum over p in P(i) of log( exp(z_i z_p / t) / (exp(z_i z_p / t) + sum over m in M of exp(z_i z_m / t)) )

Regions of the same disease neither attract nor repel: what is to be learnt is what diseases have in common.
"""  # noqa: E501  # a formula is one line

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network import WIDTH
from training.losses import filled_boxes
from training.targets import Targets

_TEMPERATURE = 0.1
_PROJECTED = 64
#: similarity of what is not there: finite, so that a batch without any region has a gradient of zero
_NOTHING = -1e4


class RegionContrast(nn.Module):
    """Projection head and loss; it is dropped when the training is done."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, _PROJECTED))

    def forward(self, features: Tensor, targets: Targets, generator: torch.Generator | None = None) -> Tensor:
        """The loss of one batch from (N, 64, h, w) features: a scalar, 0 where nothing can be compared.

        Each abnormal region is matched with the same place on a normal film, drawn from the batch.
        """
        films, boxes = targets.seen.shape
        area = filled_boxes(targets).flatten(0, 1)
        area = area / area.sum((1, 2), keepdim=True).clamp(min=1)
        of_film = torch.arange(films, device=features.device).repeat_interleave(boxes)
        normal_film = self._normal_films(targets, films * boxes, generator)
        means = torch.einsum("nchw,rhw->nrc", features.float(), area)
        region = torch.arange(films * boxes, device=features.device)
        abnormal = functional.normalize(self.project(means[of_film, region]), dim=1)
        matched = functional.normalize(self.project(means[normal_film, region]), dim=1)
        valid = targets.seen.flatten() > 0
        disease = targets.disease.flatten()
        pairs = valid[:, None] & valid[None] & (of_film[:, None] != of_film[None])
        pairs &= disease[:, None] != disease[None]
        attract = abnormal @ abnormal.T / _TEMPERATURE
        repel = (abnormal @ matched.T / _TEMPERATURE).masked_fill(~valid[None], _NOTHING)
        against = torch.logsumexp(repel, 1, keepdim=True)
        lost = functional.softplus(against - attract)
        partners = pairs.sum(1)
        each = torch.where(pairs, lost, 0.0).sum(1) / partners.clamp(min=1)
        counts = (partners > 0).float() * (targets.normal.sum() > 0)
        return (each * counts).sum() / counts.sum().clamp(min=1)

    @staticmethod
    def _normal_films(targets: Targets, count: int, generator: torch.Generator | None) -> Tensor:
        """(count,) indices of normal films, in turn from a random order; any film where none is normal."""
        draw = torch.rand(len(targets.normal), device=targets.normal.device, generator=generator)
        order = (draw + 2 * (1 - targets.normal)).argsort()
        available = targets.normal.sum().clamp(min=1).long()
        return order[torch.arange(count, device=order.device) % available]
