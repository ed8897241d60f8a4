"""What a training does, as its configuration says it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.datalist import NEGATIVE, Example, Status

#: columns of a film that counts as full-size
FULL_SIZE = 512


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
    #: share of the films smaller than 512 px that one epoch sees
    small_share: float
    #: share of films blurred, and the sides they are brought down to
    blur_share: float
    blur_sides: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training."""

    seed: int
    stages: tuple[Stage, ...]


def read_recipe(path: Path) -> Recipe:
    """The recipe of a JSON file. Raises TypeError naming an unknown or missing key."""
    content = json.loads(path.read_text())
    stages = [Stage(**{**stage, "blur_sides": tuple(stage["blur_sides"])}) for stage in content["stages"]]
    return Recipe(seed=content["seed"], stages=tuple(stages))


def trainable(examples: Sequence[Example]) -> list[Example]:
    """The train split's films of which it is known what is background: localised or normal."""
    wanted = NEGATIVE | {Status.LOCALISED}
    return [example for example in examples if example.split == "train" and example.status in wanted]


def order(examples: Sequence[Example], recipe: Recipe, stage: int, epoch: int) -> list[int]:
    """The films of one epoch in their order: a pure function, so that a resumed epoch goes on where it was."""
    rng = np.random.default_rng([recipe.seed, stage, epoch])
    plan = recipe.stages[stage]
    share = np.array(
        [
            (plan.small_share if example.width < FULL_SIZE else 1.0)
            * (plan.report_share if example.status is Status.NORMAL_REPORT else 1.0)
            for example in examples
        ]
    )
    chosen = np.flatnonzero(rng.random(len(examples)) < share)
    rng.shuffle(chosen)
    whole = len(chosen) // plan.batch * plan.batch
    return [int(index) for index in chosen[:whole]]
