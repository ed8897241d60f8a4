"""What the configurations of the bundle are made of: a recipe that any key may change, films, starts and trainers.

`configs/train.json` and `configs/pretrain.json` name these pieces; the training itself is `training.train` and
`training.pretrain`, so that the bundle and the plain commands do the same.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.utils.data import Dataset

from model.contract import Film
from model.network import Heads, LocalizationUNet
from training.data.split import split_of
from training.datalist import Example, read_films
from training.dataset import open_film
from training.handlers import Handler, History, Watch
from training.loop import CHECKPOINT_EVERY, Epoch
from training.maps import Maps, save_checkpoint
from training.pretrain import WEIGHTS, films_of, pretraining, save_encoder, stage
from training.recipe import Recipe, Stage, recipe_of, trainable
from training.train import Place, Training, from_scratch, imagenet_weights
from training.validation import Validator

#: how a network's input becomes its output: `monai.inferers.SimpleInferer` or one like it
Infer = Callable[..., Heads]
#: what `start` may be instead of a file
IMAGENET, SCRATCH = "imagenet", "scratch"


def recipe(
    path: str | Path,
    *,
    size: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    max_epochs: int | None = None,
    **changed: Any,
) -> Recipe:
    """The recipe of a file, changed where a value is given.

    `size` leaves one stage, the one nearest to it, at that size; `epochs`, `batch_size` and `learning_rate` hold for
    each stage; `max_epochs` for all together; what else is `changed` are fields of `Recipe`. Raises TypeError or
    ValueError naming what is wrong.
    """
    content: dict[str, Any] = json.loads(Path(path).read_text())
    base = recipe_of({**content, **{name: value for name, value in changed.items() if value is not None}})
    stages: Sequence[Stage] = base.stages
    if size is not None:
        if size % 32:
            raise ValueError(f"size {size} is no multiple of 32")
        nearest = min(stages, key=lambda one: abs(one.size - size))
        stages = [replace(nearest, name=str(size), size=size)]
    given = {"epochs": epochs, "batch": batch_size, "learning_rate": learning_rate}
    of_stage: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    stages = [replace(one, **of_stage) for one in stages]
    return replace(base, stages=tuple(stages if max_epochs is None else _cut(stages, max_epochs)))


def _cut(stages: Sequence[Stage], epochs: int) -> list[Stage]:
    """The first `epochs` epochs."""
    kept = []
    for one in stages:
        if epochs > 0:
            kept.append(replace(one, epochs=min(one.epochs, epochs)))
        epochs -= one.epochs
    return kept


def films(dataset_dir: str | Path, validation_share: float = 0.0, *, held_out: bool = False) -> list[Example]:
    """The train split's films, but for those of a share of its patients; `held_out`: those of that share.

    What ends a training early must be neither trained on nor measured on. Raises DataError.
    """
    examples = trainable(read_films(Path(dataset_dir)))
    of_share = [split_of(f"stop {example.patient}", validation_share) == "val" for example in examples]
    return [example for example, held in zip(examples, of_share, strict=True) if held is held_out]


class Films(Dataset):  # type: ignore[type-arg]  # torch's stub
    """Examples as a dataset: film by film as the node sees it, with what its readers said."""

    def __init__(self, data: Sequence[Example]) -> None:
        self.data = list(data)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Film, Example]:
        return open_film(self.data[index]), self.data[index]


def network(recipe: Recipe, start: str | Path = IMAGENET) -> Maps:
    """A network to start with: `imagenet`, `scratch`, or a file of a network's or of an encoder's weights."""
    torch.manual_seed(recipe.seed)
    built = LocalizationUNet(**recipe.network)
    if start == IMAGENET:
        built.encoder.load_imagenet(imagenet_weights(recipe.encoder))
    elif start == SCRATCH:
        from_scratch(built)
    else:
        state = load_file(start)
        (built.encoder if state.keys() <= built.encoder.state_dict().keys() else built).load_state_dict(state)
    return Maps(built)


def require(recipe: Recipe, path: Path) -> None:
    """The run folder is that of this recipe. Raises ValueError where it holds a training by another one."""
    content = json.dumps(asdict(recipe), indent=1) + "\n"
    if path.exists() and path.read_text() != content:
        raise ValueError(f"{path.parent} holds a training by another recipe: name another --run_dir, or delete it")
    path.write_text(content)


class Trainer:
    """The training of `configs/train.json`: goes on from wherever its run folder says it was."""

    def __init__(
        self,
        *,
        network: Maps,
        recipe: Recipe,
        data: Films,
        run_dir: str | Path,
        ckpt_path: str | Path,
        device: str | torch.device,
        max_epochs: int,
        inferer: Infer,
        validator: Validator | None = None,
        val_interval: int = 1,
        checkpoint_every: float = CHECKPOINT_EVERY,
        train_handlers: Sequence[Handler] = (),
    ) -> None:
        """`ckpt_path` gets the trained weights, for MONAI's `ckpt_export`; `max_epochs` is that of all stages."""
        self.network, self.data, self.ckpt_path = network, data, Path(ckpt_path)
        self.recipe = replace(recipe, stages=tuple(_cut(recipe.stages, max_epochs)))
        self.max_epochs = max_epochs
        self.validator, self.val_interval = validator, val_interval
        folder = Path(run_dir)
        folder.mkdir(parents=True, exist_ok=True)
        require(self.recipe, folder / "recipe.json")
        self.watch = Watch(train_handlers, History(folder / "history.jsonl"), max_epochs)
        place = Place(
            folder=folder, device=torch.device(device), on_epoch=self._epoch, checkpoint_every=checkpoint_every
        )
        self.training = Training(self.recipe, data.data, place, network.network)
        self.training.objective.inferer = inferer

    def run(self) -> None:
        """Train to the end of the recipe, or until a handler says that it is enough."""
        with self.watch:
            self.training.run()
        save_checkpoint(self.network.cpu(), self.ckpt_path)

    def _epoch(self, epoch: Epoch) -> bool:
        stage = [one.name for one in self.recipe.stages].index(epoch.stage)
        before = sum(one.epochs for one in self.recipe.stages[:stage])
        measures: dict[str, float] = {}
        if self.validator is not None and epoch.epoch % self.val_interval == 0:
            measures = self.validator(epoch.average.state, self.recipe.stages[stage].size)
        return self.watch(epoch, stage=stage, before=before, measures=measures)


class Pretrainer:
    """The self-supervised pretraining of `configs/pretrain.json`."""

    def __init__(
        self,
        *,
        data: Films,
        encoder: str,
        size: int,
        max_epochs: int,
        batch_size: int,
        seed: int,
        run_dir: str | Path,
        device: str | torch.device,
        inferer: Callable[..., Any],
        train_handlers: Sequence[Handler] = (),
    ) -> None:
        self.data, self.encoder, self.max_epochs, self.seed = data, encoder, max_epochs, seed
        self.folder, self.device = Path(run_dir), torch.device(device)
        self.plan = stage(size, max_epochs, batch_size)
        self.inferer, self.handlers = inferer, train_handlers

    def run(self) -> None:
        """Pretrain, and leave `encoder.safetensors` in the run folder: a `start` for train.json."""
        self.folder.mkdir(parents=True, exist_ok=True)
        table = films_of(self.data.data, self.plan.size, self.folder, self.device)
        rows, saved = list(range(len(self.data))), self.folder / "checkpoint.pt"
        loop = pretraining(self.encoder, table, rows, self.plan, self.seed, saved)
        loop.objective.inferer = self.inferer
        with Watch(self.handlers, History(self.folder / "history.jsonl"), self.max_epochs) as watch:
            loop.on_epoch = lambda epoch: watch(epoch, stage=0, before=0, measures={})
            loop.run()
        save_encoder(loop, self.folder / WEIGHTS)
