"""Make a trained network a model that the node can load: calibrate, fit the gate, write weights, graph and manifest.

`python -m training.export --data ../shared/data/nih --bedside ../shared/data/hannover
--weights runs/first/stage-288.safetensors --recipe training/configs/recipe.json --out model/weights/chexnomaly`
"""

import argparse
import hashlib
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from model.folding import folded
from model.network import LocalizationUNet
from model.onnx import OnnxNetwork, available
from model.reading import Looks
from model.weights import FORMAT, MANIFEST
from training.calibrate import Calibrated, calibrate, operating_point
from training.datalist import Example, read_films
from training.evaluate import readings, summary, validation
from training.evaluation.operating import FALSE_PER_NORMAL
from training.fit_gate import GateFit, bedside, fit_gate, upright
from training.graph import graph_of
from training.recipe import read_recipe, recipe_of, trainable

log = logging.getLogger("training")

_WEIGHTS, _GRAPH = "model.safetensors", "graph.onnx"
#: false positives on a normal film at the lenient and at the strict end of the validated range
_RANGE = (1.0, 0.05)


def stored(network: LocalizationUNet, gate: Mapping[str, Tensor]) -> bytes:
    """All tensors at half precision, counters left out of the way: read back as float32."""
    tensors = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    # The gate's whitening spans more orders of magnitude than half precision holds.
    return save(tensors | dict(gate))


def manifest_of(
    settings: Mapping[str, Any],
    recipe: Mapping[str, Any],
    weights: bytes,
    graph: bytes | None,
    calibrated: Calibrated,
    examples: Sequence[Example],
    gate: GateFit,
) -> dict[str, Any]:
    """Everything that the node and a reader of the model card need to know of the model."""
    lenient, strict = (operating_point(examples, calibrated.crossfitted, allowed) for allowed in _RANGE)
    calibration = calibrated.calibration
    pinned = {} if graph is None else {"graph": {"file": _GRAPH, "sha256": hashlib.sha256(graph).hexdigest()}}
    return {
        "format": FORMAT,
        "name": settings["name"],
        "version": settings["version"],
        "family": settings["family"],
        "weights": {"file": _WEIGHTS, "sha256": hashlib.sha256(weights).hexdigest()},
        **pinned,
        "network": recipe_of(recipe).network,
        "input_size": settings["input_size"],
        "looks": settings["looks"],
        "floor": settings["floor"],
        "operating_point": calibrated.operating_point,
        "validated_range": [lenient, strict],
        "gate": settings["gate"],
        "calibration": {
            "finding": dict(calibration.finding),
            "finding_bias": calibration.finding_bias,
            "image": calibration.image,
            "image_bias": calibration.image_bias,
        },
        "data": settings["data"],
        "recipe": recipe,
        "metrics": {
            "of": "val split by patient, calibration cross-fitted; a hit is IoU >= 0.4, one box one finding",
            "operating_point_allows": f"{FALSE_PER_NORMAL} boxes on a radiologist-normal film",
            "val": summary(examples, calibrated.crossfitted, calibrated.operating_point),
            "gate": {"upright_declined": gate.declined, "made_negatives_passed": gate.passed},
        },
    }


def export(
    network: LocalizationUNet,
    settings: Mapping[str, Any],
    recipe: Mapping[str, Any],
    everything: Sequence[Example],
    more: Path | None,
    out: Path,
) -> dict[str, Any]:
    """Write a model's folder; its manifest.

    `everything` holds the train split, for the gate, and the val split, for the calibration; `more` is a folder of
    upright bedside films. Raises ValueError where films to calibrate on are missing.
    """
    examples = validation(everything)
    if not any(e.boxes for e in examples) or all(e.boxes for e in examples):
        raise ValueError("nothing to calibrate on: the val split needs films with regions and normal ones")
    looks = Looks(**{**settings["looks"], "sizes": tuple(settings["looks"]["sizes"])})
    graph = _graph(network)
    look = folded(network) if graph is None or not available() else OnnxNetwork(graph, network)
    calibrated = calibrate(examples, readings(look, examples, looks))
    upright_films = trainable(everything)
    chosen = np.random.default_rng(0).permutation(len(upright_films))[: settings["gate_films"]]
    size = looks.sizes[0]
    fitted, held_out = upright([upright_films[index] for index in chosen], size), {"val": upright(examples, size)}
    extra = None
    if more is not None:
        extra, held_out["bedside"] = bedside(more, size)
    gate = fit_gate(look, fitted, extra, held_out)
    weights = stored(network, gate.gate.tensors())
    manifest = manifest_of(settings, recipe, weights, graph, calibrated, examples, gate)
    out.mkdir(parents=True, exist_ok=True)
    (out / _WEIGHTS).write_bytes(weights)
    if graph is not None:
        (out / _GRAPH).write_bytes(graph)
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _graph(network: LocalizationUNet) -> bytes | None:
    try:
        return graph_of(network)
    except ImportError as error:
        log.warning("no graph for ONNX Runtime: %s", error)
        return None


def trained(weights: Path, recipe: Path) -> LocalizationUNet:
    """A stage's network, as it will be stored and measured: at half precision."""
    network = LocalizationUNet(**read_recipe(recipe).network)
    state = load_file(weights)
    network.load_state_dict({n: v.half().float() if v.is_floating_point() else v for n, v in state.items()})
    network.eval()
    return network


def main() -> int:
    """The command line; 1 and a sentence on stderr where no model can be made."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="datalist, or folder with annotations.json")
    parser.add_argument("--bedside", type=Path, help="folder of upright bedside films, for the gate")
    parser.add_argument("--weights", type=Path, required=True, help="of the last stage")
    parser.add_argument("--recipe", type=Path, required=True, help="that they were trained by")
    parser.add_argument("--settings", type=Path, default=Path(__file__).parent / "configs" / "export.json")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        network = trained(arguments.weights, arguments.recipe)
        settings, recipe = (json.loads(path.read_text()) for path in (arguments.settings, arguments.recipe))
        manifest = export(network, settings, recipe, read_films(arguments.data), arguments.bedside, arguments.out)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(manifest["metrics"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
