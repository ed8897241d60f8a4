"""The arms of the two studies: what each training does differently, and nothing else."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from training.recipe import Recipe, Stage

#: what an encoder starts from
SCRATCH, IMAGENET, SELF_SUPERVISED = "scratch", "imagenet", "self-supervised"

_FILLED = {"filled": 1.0, "image": 0.5}
_PROJECTED = {"projection": 1.0, "image": 0.5}
_INSTANCES = {"heat": 1.0, "box": 2.0, "quality": 0.5}
_CONTRAST = {"contrast": 0.1}


class Arm(NamedTuple):
    """One kind of training."""

    start: str
    #: a name of `training.channels.PLANS`
    channels: str
    losses: Mapping[str, float]
    #: one mask a channel
    masks: bool = False
    #: share of the abnormal films on which nobody drew that an epoch sees
    undrawn: float = 0.0

    @property
    def components(self) -> bool:
        """Its boxes are the connected components of its mask: it has no instance heads."""
        return "heat" not in self.losses


#: each adds to the one before, but for the last two, which undo one thing
ABLATION: Mapping[str, Arm] = MappingProxyType(
    {
        "plain": Arm(SCRATCH, "dissociated", _FILLED),
        "self_supervised": Arm(SELF_SUPERVISED, "dissociated", _FILLED),
        "transfer": Arm(IMAGENET, "dissociated", _FILLED),
        "contrastive": Arm(IMAGENET, "dissociated", _FILLED | _CONTRAST),
        "box_loss": Arm(IMAGENET, "dissociated", _PROJECTED | _CONTRAST),
        "instances": Arm(IMAGENET, "dissociated", _PROJECTED | _CONTRAST | _INSTANCES),
        "all": Arm(
            IMAGENET, "protocols", {"outline": 1.0, "image": 0.5} | _CONTRAST | _INSTANCES | {"projection": 0.5},
            undrawn=0.6,
        ),
        #: `instances` with a channel a disease instead of one for all
        "diseases": Arm(IMAGENET, "diseases", _PROJECTED | _CONTRAST | _INSTANCES),
        #: `transfer` with a mask a disease instead of one for all
        "disease_masks": Arm(IMAGENET, "diseases", _FILLED, masks=True),
        #: `instances` without the contrastive stage
        "no_contrast": Arm(IMAGENET, "dissociated", _PROJECTED | _INSTANCES),
    }
)  # fmt: skip

UNSEEN: Mapping[str, Arm] = MappingProxyType(
    {
        "binary": Arm(SCRATCH, "dissociated", _FILLED | _INSTANCES),
        "transfer": Arm(IMAGENET, "dissociated", _FILLED | _INSTANCES),
        "diseases": Arm(IMAGENET, "diseases", _FILLED | _INSTANCES),
        "contrastive": Arm(IMAGENET, "dissociated", _FILLED | _INSTANCES | _CONTRAST),
        "box_loss": Arm(IMAGENET, "dissociated", _PROJECTED | _INSTANCES),
    }
)


class Budget(NamedTuple):
    """How long each training of a study is."""

    size: int
    epochs: int
    batch: int
    learning_rate: float = 1.5e-3


#: seven to eight minutes a training on a core of its own
ABLATION_BUDGET = Budget(size=128, epochs=4, batch=32)
#: what the self-supervised arm's encoder has behind it
PRETRAINING = Budget(size=96, epochs=6, batch=64)
#: one and a half minutes a training on a core of its own: there are 180 of them
UNSEEN_BUDGET = Budget(size=96, epochs=3, batch=32)


def recipe(arm: Arm, budget: Budget, seed: int) -> Recipe:
    """An arm as a recipe of one stage."""
    stage = Stage(
        name=str(budget.size),
        size=budget.size,
        epochs=budget.epochs,
        batch=budget.batch,
        learning_rate=budget.learning_rate,
        report_share=0.3,
        undrawn_share=arm.undrawn,
        small_share=1.0,
        blur_share=0.35,
        blur_sides=(64, 96, 128),
    )
    return Recipe(seed=seed, channels=arm.channels, mask_per_channel=arm.masks, losses=arm.losses, stages=(stage,))
