"""What a training does, as its configuration says it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.channels import PLANS
from training.datalist import FULL_SIZE, Example, Status
from training.objective import TERMS


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some epochs at one input size; each stage starts from the averaged weights of the one before."""

    name: str
    #: side of the square input, pixels; a multiple of 32
    size: int
    epochs: int
    #: films a step
    batch: int
    #: peak of one cycle; the encoder learns at half of it
    learning_rate: float
    #: share of the films called normal by their report alone that one epoch sees
    report_share: float
    #: share of the abnormal films on which nobody drew that one epoch sees
    undrawn_share: float = 0.0
    #: share of the films smaller than 512 px that one epoch sees
    small_share: float
    #: share of films blurred, and the sides they are brought down to
    blur_share: float
    blur_sides: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training."""

    seed: int
    #: a name of `model.encoder.VARIANTS`
    encoder: str = "efficientnet-lite0"
    #: a name of `training.channels.PLANS`
    channels: str = "dissociated"
    #: one mask for all channels, or one each
    mask_per_channel: bool = False
    #: weight of each term of the loss; a term without one is not computed
    losses: Mapping[str, float] = field(
        default_factory=lambda: {"heat": 1.0, "box": 2.0, "quality": 0.5, "outline": 1.0, "image": 0.5}
    )
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if self.channels not in PLANS:
            raise ValueError(f"no channels {self.channels!r}: choose one of {', '.join(PLANS)}")
        if unknown := self.losses.keys() - TERMS:
            raise ValueError(f"no loss {sorted(unknown)}: choose from {', '.join(sorted(TERMS))}")

    @property
    def network(self) -> dict[str, Any]:
        """Arguments of `model.network.LocalizationUNet`."""
        count = len(PLANS[self.channels])
        return {"encoder": self.encoder, "channels": count, "masks": count if self.mask_per_channel else 1}


def recipe_of(content: Mapping[str, Any]) -> Recipe:
    """The recipe of a configuration. Raises TypeError or ValueError naming an unknown or missing key."""
    stages = [Stage(**{**stage, "blur_sides": tuple(stage["blur_sides"])}) for stage in content["stages"]]
    return Recipe(**{**content, "stages": tuple(stages)})


def read_recipe(path: Path) -> Recipe:
    """The recipe of a JSON file. Raises TypeError or ValueError naming an unknown or missing key."""
    return recipe_of(json.loads(path.read_text()))


def trainable(examples: Sequence[Example]) -> list[Example]:
    """The films of the train split."""
    return [example for example in examples if example.split == "train"]


def order(examples: Sequence[Example], recipe: Recipe, stage: int, epoch: int) -> list[int]:
    """The films of one epoch in their order: a pure function, so that a resumed epoch goes on where it was."""
    rng = np.random.default_rng([recipe.seed, stage, epoch])
    plan = recipe.stages[stage]
    by_status = {
        Status.NORMAL_REPORT: plan.report_share,
        Status.UNLOCALISED: plan.undrawn_share,
        Status.ABNORMAL_REPORT: plan.undrawn_share,
    }
    share = np.array(
        [
            (plan.small_share if example.width < FULL_SIZE else 1.0) * by_status.get(example.status, 1.0)
            for example in examples
        ]
    )
    chosen = np.flatnonzero(rng.random(len(examples)) < share)
    rng.shuffle(chosen)
    whole = len(chosen) // plan.batch * plan.batch
    return [int(index) for index in chosen[:whole]]
