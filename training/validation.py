"""How good the averaged weights of a running training are, on patients held out of it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.network import LocalizationUNet
from training.datalist import Example, Status
from training.dataset import cached
from training.detect import predict
from training.evaluation.curves import POINTS, sensitivity
from training.evaluation.matching import match, one_list, truth_of
from training.recipe import Recipe

#: mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives an image: one number for a whole curve
MEASURE = "mean_sensitivity"


class Validator:
    """Measures weights on films with findings and normal ones; fast, by one look and its mirror image."""

    def __init__(self, *, data: list[Example], recipe: Recipe, run_dir: str | Path, device: str | torch.device) -> None:
        wanted = (Status.LOCALISED, Status.NORMAL)
        self.examples = [example for example in data if example.status in wanted]
        self.truths = [truth_of(example) for example in self.examples]
        self.recipe, self.folder, self.device = recipe, Path(run_dir), torch.device(device)

    def __call__(self, state: Mapping[str, Tensor], size: int) -> dict[str, float]:
        """Measures by name of a training's weights, at one input size; nothing where there is nothing to find."""
        if not any(example.boxes for example in self.examples):
            return {}
        with torch.random.fork_rng():  # a training that is looked at is the same as one that is not
            network = LocalizationUNet(**self.recipe.network).to(self.device)
        prefix = "network."
        network.load_state_dict({n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)})
        films = torch.from_numpy(np.array(cached(self.examples, size, self.folder))).to(self.device)
        ids = [example.id for example in self.examples]
        said = predict(network, films, ids, components="heat" not in self.recipe.losses)
        once = np.ones((1, len(self.examples)))
        curve = sensitivity(match(one_list(said), self.truths), once)[0]
        at = {f"sensitivity_at_{point:g}": float(value) for point, value in zip(POINTS, curve, strict=True)}
        return {MEASURE: float(curve.mean()), **at}
