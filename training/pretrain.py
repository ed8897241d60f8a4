"""Self-supervised pretraining of the encoder on all films, labelled or not (SimCLR, arXiv 2002.05709).

`python -m training.pretrain --data ../shared/data/nih --run runs/pretrain` writes `encoder.safetensors`. Stopped at
any moment it goes on from its last checkpoint.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from training import checkpoint
from training.channels import PLANS
from training.datalist import Example, read_films
from training.dataset import cached
from training.loop import Loop
from training.objective import SelfSupervised
from training.recipe import Stage
from training.table import Table, table
from training.train import device_of, prepare_cpu

WEIGHTS = "encoder.safetensors"


def pretraining(variant: str, films: Table, index: list[int], plan: Stage, seed: int, saved: Path | None) -> Loop:
    """The loop of a pretraining on the films at `index`; its encoder starts from nothing."""
    torch.manual_seed(seed)
    objective = SelfSupervised(variant).to(device=films.films.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    rng = np.random.default_rng(seed)
    epochs = [[int(i) for i in rng.permutation(index)] for _ in range(plan.epochs)]
    loop = Loop(objective=objective, films=films, epochs=epochs, plan=plan, seed=(seed, 0), checkpoint=saved)
    if saved is not None and (state := checkpoint.load(saved)) is not None:
        loop.restore(state)
    return loop


def save_encoder(loop: Loop, path: Path) -> None:
    """The encoder's weights as safetensors."""
    state = loop.objective.encoder.state_dict()
    save_file({name: value.cpu().contiguous() for name, value in state.items()}, path)


def stage(size: int, epochs: int, batch: int) -> Stage:
    """Every film in each epoch; strong blur, since sharpness alone would tell many films apart."""
    return Stage(
        name=f"pretrain-{size}",
        size=size,
        epochs=epochs,
        batch=batch,
        learning_rate=1e-3,
        report_share=1.0,
        small_share=1.0,
        blur_share=0.7,
        blur_sides=(32, 48, 64),
    )


def films_of(examples: list[Example], size: int, folder: Path, device: torch.device) -> Table:
    """The table of a pretraining; its boxes are not looked at."""
    return table(examples, torch.from_numpy(cached(examples, size, folder)), PLANS["dissociated"]).to(device)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="NIH's or VinDr-CXR's folder, or a datalist")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and weights")
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    prepare_cpu(arguments.threads)
    arguments.run.mkdir(parents=True, exist_ok=True)
    # the val split's films are measured on: not even their pixels are learnt
    examples = [example for example in read_films(arguments.data) if example.split == "train"]
    films = films_of(examples, arguments.size, arguments.run, device_of(arguments.device))
    plan = stage(arguments.size, arguments.epochs, arguments.batch)
    saved = arguments.run / "checkpoint.pt"
    loop = pretraining(arguments.encoder, films, list(range(len(examples))), plan, 0, saved)
    loop.run()
    save_encoder(loop, arguments.run / WEIGHTS)


if __name__ == "__main__":
    main()
