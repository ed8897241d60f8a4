"""What is descended on: a network with the heads that only its training needs, and the weighted terms of its loss."""

from collections.abc import Callable, Mapping

import torch
from monai.inferers import SimpleInferer
from monai.losses import ContrastiveLoss
from torch import Tensor, nn

from model.encoder import EfficientNetLite, channels_of
from model.network import STRIDE, Heads, LocalizationUNet
from model.preprocess import standardise
from training import augment, losses
from training.contrastive import RegionContrast
from training.projection import projection
from training.table import Table
from training.targets import Targets, targets

#: names of the terms that a recipe may weigh
TERMS = frozenset({"heat", "box", "quality", "outline", "filled", "projection", "contrast", "image"})


class Localization(nn.Module):
    """The localization network under its loss."""

    def __init__(self, network: LocalizationUNet, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.network = network
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.contrast = RegionContrast() if "contrast" in self.weights else None
        #: runs the network; a bundle may name another
        self.inferer: Callable[..., Heads] = SimpleInferer()

    def forward(self, films: Tensor, wanted: Targets, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The weighted terms of one batch of (N, 1, H, W) standardised films: scalars, by name."""
        heads = self.inferer(films, self.network)
        terms: dict[str, Tensor] = {}
        if "heat" in self.weights:
            terms["heat"] = losses.heat_term(heads.heat, wanted)
            terms["box"], terms["quality"] = losses.box_terms(heads.distances, heads.quality, wanted)
        if "outline" in self.weights:
            terms["outline"] = losses.outline_term(heads.mask, wanted)
        if "filled" in self.weights:
            terms["filled"] = losses.filled_term(heads.mask, wanted)
        if "projection" in self.weights:
            # where a reader drew the outline and it is taught, its box has nothing to add
            counts = 1 - wanted.outlined if "outline" in self.weights else None
            terms["projection"] = projection(heads.mask, wanted, counts).total()
        if self.contrast is not None:
            terms["contrast"] = self.contrast(heads.features, wanted, generator)
        terms["image"] = losses.image_term(heads, wanted)
        return {name: self.weights[name] * term for name, term in terms.items() if name in self.weights}

    def batch(
        self, films: Table, index: Tensor, blur: tuple[float, tuple[int, ...]], generator: torch.Generator | None
    ) -> tuple[Tensor, Targets]:
        """The films at `index` (N,) as the network sees them, and what it should say."""
        views = augment.random_views(len(index), index.device, generator)
        targeted = targets(films, index, views, films.films.shape[-1] // STRIDE)
        return augmented(films, index, views, blur, generator), targeted


def augmented(
    films: Table,
    index: Tensor,
    views: augment.Views,
    blur: tuple[float, tuple[int, ...]],
    generator: torch.Generator | None,
) -> Tensor:
    """(N, 1, S, S) standardised random views."""
    x = augment.look(films.films[index][:, None].float() / 255, views)
    x = augment.regrade(augment.blur(x, *blur, generator), generator)
    return augment.jitter(standardise(x), generator)


class SelfSupervised(nn.Module):
    """An encoder that tells one film's two views from all other films (SimCLR, arXiv 2002.05709; MONAI's loss)."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.encoder = EfficientNetLite(variant)
        width = channels_of(variant)[-1]
        self.project = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 64))
        self.loss = ContrastiveLoss(temperature=0.2)
        #: runs the encoder; a bundle may name another
        self.inferer: Callable[..., list[Tensor]] = SimpleInferer()

    def forward(self, films: Tensor, _: Tensor | None, __: torch.Generator | None) -> dict[str, Tensor]:
        """The loss of 2 N films (2 N, 1, H, W), the second half other views of the first."""
        first, second = self.project(self.inferer(films, self.encoder)[-1].mean((2, 3))).float().chunk(2)
        return {"contrast": self.loss(first, second)}

    def batch(
        self, films: Table, index: Tensor, blur: tuple[float, tuple[int, ...]], generator: torch.Generator | None
    ) -> tuple[Tensor, None]:
        """Two views of each film."""
        twice = torch.cat([index, index])
        views = augment.random_views(len(twice), index.device, generator)
        return augmented(films, twice, views, blur, generator), None
