"""Epochs over a table of films: schedule, averaged weights, checkpoints, and a line of progress now and then."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training import checkpoint
from training.average import Average
from training.precision import keep_depthwise
from training.recipe import Stage
from training.stepper import Stepper
from training.table import Table

log = logging.getLogger("training")

#: seconds between checkpoints
CHECKPOINT_EVERY = 120.0
#: seconds between lines of progress
_PROGRESS_EVERY = 20.0
_WEIGHT_DECAY = 1e-2
#: share of a stage in which the learning rate rises
_RISE = 0.1
#: steps of the shortest schedule there is
_FEWEST = 20


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch that has ended."""

    stage: str
    #: epochs done in the stage
    epoch: int
    #: films seen a second
    rate: float
    learning_rate: float
    #: mean of each term of the loss
    terms: dict[str, float]
    #: what is trained, with its averaged weights in `average`
    objective: nn.Module
    average: Average


class Loop:
    """One stage: optimizer, schedule, averaged weights, and the steps that are left to do."""

    def __init__(
        self,
        *,
        objective: Any,
        films: Table,
        epochs: Sequence[Sequence[int]],
        plan: Stage,
        seed: tuple[int, int],
        checkpoint: Path | None,
        on_epoch: Callable[[Epoch], bool] | None = None,
        checkpoint_every: float = CHECKPOINT_EVERY,
    ) -> None:
        """`seed` is the training's and the ordinal of the stage in it. Without a checkpoint nothing is kept."""
        self.objective, self.epochs, self.plan, self.seed = objective, epochs, plan, seed
        self.checkpoint, self.on_epoch, self.checkpoint_every = checkpoint, on_epoch, checkpoint_every
        self.device = films.films.device
        keep_depthwise(objective, self.device)
        self.total = sum(len(epoch) // plan.batch for epoch in epochs)
        self.optimizer = _optimizer(objective, plan.learning_rate, self.device)
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rates, total_steps=max(self.total, _FEWEST), pct_start=_RISE, cycle_momentum=False
        )
        self.average = Average(objective)
        self.stepper = Stepper(objective, films, self.optimizer, (plan.blur_share, plan.blur_sides), self.device)
        self.epoch, self.step = 0, 0
        self.done = False

    def run(self, steps: int | None = None) -> int | None:
        """Do what is left, `steps` steps at most; how many of `steps` are left. Raises checkpoint.Taken."""
        with nullcontext() if self.checkpoint is None else checkpoint.alone(self.checkpoint):
            return self._run(steps)

    def _run(self, steps: int | None) -> int | None:
        clock = _Clock(self.plan, self._steps_done(), self.total)
        saved_at = time.monotonic()
        self.objective.train()
        while self.epoch < len(self.epochs):
            for index, generator in self._batches():
                if steps == 0:
                    return 0
                terms = self.stepper(index, generator)
                self.scheduler.step()
                self.average.update()
                steps = None if steps is None else steps - 1
                self.step += 1
                clock.tick(self.epoch, terms, self.stepper.names)
                if time.monotonic() - saved_at > self.checkpoint_every:
                    self.save()
                    saved_at = time.monotonic()
            self.epoch, self.step = self.epoch + 1, 0
            if self._ends_here(clock):
                break
        self.average.copy_to(self.objective)
        self.done = True
        return steps

    def _steps_done(self) -> int:
        return sum(len(epoch) // self.plan.batch for epoch in self.epochs[: self.epoch]) + self.step

    def _batches(self) -> Iterator[tuple[Tensor, torch.Generator | None]]:
        """The rest of the epoch's batches, each with the generator that its random views are drawn from."""
        size, films = self.plan.batch, self.epochs[self.epoch]
        index = torch.tensor(films, device=self.device)
        for step in range(self.step, len(films) // size):
            generator = None
            if self.device.type != "cuda":
                # of its own: a resumed step draws what it would have drawn
                generator = torch.Generator().manual_seed(hash((*self.seed, self.epoch, step)) % 2**63)
            yield index[step * size : (step + 1) * size], generator

    def _ends_here(self, clock: "_Clock") -> bool:
        if self.on_epoch is None:
            return False
        rate, terms = clock.epoch(self.stepper.names)
        return self.on_epoch(
            Epoch(
                stage=self.plan.name,
                epoch=self.epoch,
                rate=rate,
                learning_rate=float(self.optimizer.param_groups[-1]["lr"]),
                terms=terms,
                objective=self.objective,
                average=self.average,
            )
        )

    def save(self) -> None:
        """Write the checkpoint, where there is to be one."""
        if self.checkpoint is None:
            return
        state = checkpoint.Checkpoint(
            stage=self.seed[1],
            epoch=self.epoch,
            step=self.step,
            model=self.objective.state_dict(),
            average=self.average.state,
            updates=self.average.updates,
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            random=torch.get_rng_state(),
        )
        checkpoint.save(state, self.checkpoint)

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Go on where a checkpoint was written. On a GPU before the first step alone: a graph holds its tensors."""
        self.objective.load_state_dict(saved.model)
        self.average = Average(self.objective, saved.average, saved.updates)
        self.optimizer.load_state_dict(saved.optimizer)
        self.scheduler.load_state_dict(saved.scheduler)
        torch.set_rng_state(saved.random)
        self.epoch, self.step = saved.epoch, saved.step
        log.info("goes on at stage %s, epoch %d, step %d", self.plan.name, saved.epoch, saved.step)


def _optimizer(objective: nn.Module, rate: float, device: torch.device) -> torch.optim.Optimizer:
    """AdamW, in one kernel; an encoder that has learnt elsewhere learns at half the rate. A graph can hold its step."""
    encoder = [p for name, p in objective.named_parameters() if ".encoder." in f".{name}"]
    known = {id(parameter) for parameter in encoder}
    rest = [parameter for parameter in objective.parameters() if id(parameter) not in known]
    on_gpu = device.type == "cuda"
    groups = [
        {"params": part, "lr": torch.tensor(of, device=device) if on_gpu else of}
        for part, of in ((encoder, rate / 2), (rest, rate))
    ]
    return torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY, fused=True, capturable=on_gpu)


class _Clock:
    """Says every few seconds how far a stage is and when it will be done."""

    def __init__(self, plan: Stage, done: int, total: int) -> None:
        self.plan, self.done, self.total = plan, done, total
        self.first, self.started, self.said = done, time.monotonic(), time.monotonic()
        self.sums: Tensor | None = None
        self.count = 0
        self.epoch_sums: Tensor | None = None
        self.epoch_count, self.epoch_started = 0, time.monotonic()

    def tick(self, epoch: int, terms: Tensor, names: Sequence[str]) -> None:
        self.done += 1
        self.count += 1
        self.epoch_count += 1
        self.sums = terms.clone() if self.sums is None else self.sums + terms
        self.epoch_sums = terms.clone() if self.epoch_sums is None else self.epoch_sums + terms
        now = time.monotonic()
        if now - self.said < _PROGRESS_EVERY and self.done < self.total:
            return
        rate = (self.done - self.first) / (now - self.started)
        means = dict(zip(names, (self.sums / self.count).tolist(), strict=True))
        log.info(
            "stage %s epoch %d step %d/%d, %.1f films/s, %.1f min left: %s",
            self.plan.name, epoch, self.done, self.total, rate * self.plan.batch,
            (self.total - self.done) / rate / 60,
            " ".join(f"{name} {mean:.3f}" for name, mean in means.items()),
        )  # fmt: skip
        self.said, self.sums, self.count = now, None, 0

    def epoch(self, names: Sequence[str]) -> tuple[float, dict[str, float]]:
        """Films a second and mean terms since the last epoch ended."""
        sums = torch.zeros(len(names)) if self.epoch_sums is None else self.epoch_sums
        means = dict(zip(names, (sums / max(self.epoch_count, 1)).tolist(), strict=True))
        rate = self.epoch_count * self.plan.batch / max(time.monotonic() - self.epoch_started, 1e-6)
        self.epoch_sums, self.epoch_count, self.epoch_started = None, 0, time.monotonic()
        return rate, means
