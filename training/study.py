"""Run the trainings of a study: `python -m training.study ablation --data ../shared/data/nih --runs runs`.

Each training leaves its predictions and a `run.json` in RUNS/<study>/<name>/; one that is done is not done again, so
a study that is stopped goes on where it was. `training.tables` makes the tables of them. The command may be started
several times over one folder: on two cores two of them with `--threads 1` do a quarter more than one alone. On a GPU
several trainings run at once in one process, each on its own stream: one alone does not fill it.
"""

import argparse
import json
import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from model.network import LocalizationUNet
from training import arms, checkpoint, protocol
from training.channels import PLANS
from training.datalist import Example, read_films
from training.dataset import cached
from training.detect import predict
from training.loop import Loop
from training.objective import Localization
from training.predictions import save
from training.pretrain import WEIGHTS, pretraining, save_encoder, stage
from training.recipe import order
from training.runs import Run, ablation, unseen
from training.table import Table, table
from training.train import device_of, from_scratch, imagenet_weights, prepare_cpu

log = logging.getLogger("training")

PREDICTIONS, CHECKPOINT = "predictions.npz", "checkpoint.pt"
#: steps of one training before the next has its turn on a GPU
_TURN = 8


class Bench:
    """The films of a study, decoded once, as tables that all its trainings share."""

    def __init__(self, examples: Sequence[Example], runs: Path, device: torch.device) -> None:
        self.examples, self.runs, self.device = list(examples), runs, device
        self.place = {example.id: index for index, example in enumerate(self.examples)}
        self._pixels: dict[int, Tensor] = {}
        self._tables: dict[tuple[int, str], Table] = {}

    def films(self, size: int, channels: str) -> Table:
        """All films at one size, for the channels of one plan."""
        if size not in self._pixels:
            self._pixels[size] = torch.from_numpy(cached(self.examples, size, self.runs / "films")).to(self.device)
        if (size, channels) not in self._tables:
            made = table(self.examples, self._pixels[size], PLANS[channels])
            self._tables[size, channels] = made.to(self.device)
        return self._tables[size, channels]

    def folder(self, run: Run) -> Path:
        """Where a run leaves what it learnt."""
        return self.runs / run.study / run.name

    def places(self, examples: Sequence[Example]) -> list[int]:
        """Rows of the tables."""
        return [self.place[example.id] for example in examples]

    def train_films(self, run: Run) -> list[Example]:
        """What a run may learn from."""
        if run.study == "ablation":
            return [example for example in self.examples if example.split == "train"]
        assert run.fold is not None
        target = run.target or "Effusion"  # `seen` is the same for all targets that reports name
        if run.role == "seen":
            return protocol.seen(self.examples, run.fold, target)
        if run.role == "left_out":
            return protocol.left_out(self.examples, run.fold, target)
        return protocol.control(self.examples, run.fold, target, run.seed)

    def test_films(self, run: Run) -> list[Example]:
        """What a run is measured on: with a target the films that show it, and clean normals."""
        if run.study == "ablation":
            return [example for example in self.examples if example.split == "val"]
        assert run.fold is not None
        if run.target is not None:
            return [film for part in protocol.measured(self.examples, run.fold, run.target) for film in part]
        return [example for example in self.examples if protocol.fold_of(example.patient) == run.fold]

    def self_supervised(self, encoder: str) -> dict[str, Tensor]:
        """The weights of an encoder pretrained on the train split's films without a look at their labels."""
        path = self.runs / "ablation" / "pretraining" / WEIGHTS
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            index = self.places([example for example in self.examples if example.split == "train"])
            plan = stage(arms.PRETRAINING.size, arms.PRETRAINING.epochs, arms.PRETRAINING.batch)
            films = self.films(plan.size, "dissociated")
            loop = pretraining(encoder, films, index, plan, 0, _checkpoint(path.parent, self.device))
            loop.run()
            save_encoder(loop, path)
        return load_file(path)


class Active:
    """A run under way, on its own stream where the device has some."""

    def __init__(self, bench: Bench, run: Run) -> None:
        self.bench, self.run = bench, run
        #: keeps other processes away, and is closed when the run is done
        self.claim = ExitStack()
        self.arm = (arms.ABLATION if run.study == "ablation" else arms.UNSEEN)[run.arm]
        self.budget = arms.ABLATION_BUDGET if run.study == "ablation" else arms.UNSEEN_BUDGET
        self.recipe = arms.recipe(self.arm, self.budget, run.seed)
        self.folder = bench.folder(run)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stream = torch.cuda.Stream() if bench.device.type == "cuda" else None  # type: ignore[no-untyped-call]  # torch's stub
        self.started = time.monotonic()
        with self._own_stream():
            self.train_films = bench.train_films(run)
            self.loop = self._loop()

    def advance(self, steps: int | None) -> bool:
        """Do some steps; True when the run is done and written."""
        with self._own_stream():
            self.loop.run(steps)
            if not self.loop.done:
                return False
            self._finish()
        self.claim.close()
        return True

    def _own_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def _loop(self) -> Loop:
        torch.manual_seed(self.run.seed)
        objective = Localization(self._network(), self.recipe.losses)
        objective = objective.to(device=self.bench.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        rows = self.bench.places(self.train_films)
        epochs = [
            [rows[index] for index in order(self.train_films, self.recipe, 0, epoch)]
            for epoch in range(self.budget.epochs)
        ]
        saved = _checkpoint(self.folder, self.bench.device)
        loop = Loop(
            objective=objective,
            films=self.bench.films(self.budget.size, self.recipe.channels),
            epochs=epochs,
            plan=self.recipe.stages[0],
            seed=(self.run.seed, 0),
            checkpoint=saved,
        )
        if saved is not None and (state := checkpoint.load(saved)) is not None:
            loop.restore(state)
        return loop

    def _network(self) -> LocalizationUNet:
        network = LocalizationUNet(**self.recipe.network)
        if self.arm.start == arms.IMAGENET:
            network.encoder.load_imagenet(imagenet_weights(self.recipe.encoder))
        elif self.arm.start == arms.SELF_SUPERVISED:
            network.encoder.load_state_dict(self.bench.self_supervised(self.recipe.encoder))
        else:
            from_scratch(network)
        return network

    def _finish(self) -> None:
        test = self.bench.test_films(self.run)
        pixels = self.bench.films(self.budget.size, self.recipe.channels).films
        rows = torch.tensor(self.bench.places(test), device=pixels.device)
        network: LocalizationUNet = self.loop.objective.network
        predictions = predict(network, pixels[rows], [e.id for e in test], components=self.arm.components)
        told = asdict(self.run) | {
            "train_films": len(self.train_films),
            "size": self.budget.size,
            "epochs": self.budget.epochs,
            "device": torch.cuda.get_device_name() if self.stream is not None else "cpu",
            "seconds": round(time.monotonic() - self.started, 1),
            "films": "val" if self.run.fold is None else "fold",
        }
        (self.folder / "run.json").write_text(json.dumps(told, indent=1) + "\n")
        save(predictions, self.folder / PREDICTIONS)
        (self.folder / CHECKPOINT).unlink(missing_ok=True)


def _checkpoint(folder: Path, device: torch.device) -> Path | None:
    """On a GPU a run takes seconds, and keeps none."""
    return None if device.type == "cuda" else folder / CHECKPOINT


def execute(bench: Bench, runs: Sequence[Run], streams: int, until: float | None = None) -> None:
    """Do what is not done yet, `streams` runs at once; no run is begun after `until` (time.monotonic).

    Several processes may share a folder: each leaves alone what another is at.
    """
    waiting = [run for run in runs if not _is_done(bench, run)]
    log.info("%d of %d trainings to do", len(waiting), len(runs))
    active: list[Active] = []
    done = 0
    while waiting or active:
        while waiting and len(active) < streams:
            if until is not None and time.monotonic() > until:
                log.info("no time left for %d trainings: start again to go on", len(waiting))
                waiting = []
            elif (begun := _begin(bench, waiting.pop(0))) is not None:
                active.append(begun)
        for one in list(active):
            if one.advance(None if streams == 1 else _TURN):
                active.remove(one)
                done += 1
                log.info("%d done: %s in %.0f s", done, one.run.name, time.monotonic() - one.started)


def _is_done(bench: Bench, run: Run) -> bool:
    return (bench.folder(run) / PREDICTIONS).exists()


def _begin(bench: Bench, run: Run) -> Active | None:
    """The run under way; None where another process does it or has done it meanwhile."""
    bench.folder(run).mkdir(parents=True, exist_ok=True)
    with ExitStack() as claim:
        try:
            claim.enter_context(checkpoint.alone(bench.folder(run) / PREDICTIONS))
            if _is_done(bench, run):
                return None
            active = Active(bench, run)
        except checkpoint.Taken:
            log.info("%s is left to another process", run.name)
            return None
        active.claim = claim.pop_all()
    return active


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=["ablation", "unseen"])
    parser.add_argument("--data", type=Path, required=True, help="NIH's or VinDr-CXR's folder, or a datalist")
    parser.add_argument("--runs", type=Path, required=True, help="folder that the studies' folders lie in")
    parser.add_argument("--only", nargs="*", help="arms to run, all others left alone")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--streams", type=int, help="trainings at once; without it 1 on a CPU, 4 on a GPU")
    parser.add_argument("--minutes", type=float, help="begin no training after so many minutes")
    parser.add_argument("--threads", type=int, help="CPU threads")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    prepare_cpu(arguments.threads)
    device = device_of(arguments.device)
    bench = Bench(read_films(arguments.data), arguments.runs, device)
    runs = ablation() if arguments.study == "ablation" else unseen()
    runs = [run for run in runs if not arguments.only or run.arm in arguments.only]
    streams = arguments.streams or (4 if device.type == "cuda" else 1)
    until = None if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes
    execute(bench, runs, streams, until)


if __name__ == "__main__":
    main()
