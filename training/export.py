"""Make a trained network a model that the node can load: calibrate, fit the gate, write weights and manifest.

`python -m training.export --data ../shared/data/nih --bedside ../shared/data/hannover
--weights runs/first/stage-288.safetensors --recipe training/configs/train.json --out model/weights/chexnomaly`
"""

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from model.network import LocalizationUNet
from model.reading import Looks
from model.weights import FORMAT, MANIFEST
from training.calibrate import Calibrated, calibrate, operating_point
from training.datalist import Example, read_nih
from training.evaluate import readings, summary, validation
from training.evaluation.operating import FALSE_PER_NORMAL
from training.fit_gate import GateFit, bedside, fit_gate, upright
from training.recipe import trainable

_WEIGHTS = "model.safetensors"
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
    calibrated: Calibrated,
    examples: list[Example],
    gate: GateFit,
) -> dict[str, Any]:
    """Everything that the node and a reader of the model card need to know of the model."""
    lenient, strict = (operating_point(examples, calibrated.crossfitted, allowed) for allowed in _RANGE)
    calibration = calibrated.calibration
    return {
        "format": FORMAT,
        "name": settings["name"],
        "version": settings["version"],
        "family": settings["family"],
        "weights": {"file": _WEIGHTS, "sha256": hashlib.sha256(weights).hexdigest()},
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


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with annotations.json")
    parser.add_argument("--bedside", type=Path, required=True, help="folder of upright bedside films, for the gate")
    parser.add_argument("--weights", type=Path, required=True, help="of the last stage")
    parser.add_argument("--recipe", type=Path, required=True, help="that they were trained by")
    parser.add_argument("--settings", type=Path, default=Path(__file__).parent / "configs" / "export.json")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    settings = json.loads(arguments.settings.read_text())
    network = LocalizationUNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    # Measured as stored: at half precision.
    state = load_file(arguments.weights)
    network.load_state_dict({n: v.half().float() if v.is_floating_point() else v for n, v in state.items()})
    everything = read_nih(arguments.data)
    examples = validation(everything)
    looks = Looks(**{**settings["looks"], "sizes": tuple(settings["looks"]["sizes"])})
    calibrated = calibrate(examples, readings(network, examples, looks))
    chosen = np.random.default_rng(0).permutation(len(trainable(everything)))[: settings["gate_films"]]
    train = [trainable(everything)[index] for index in chosen]
    size = looks.sizes[0]
    more, others = bedside(arguments.bedside, size)
    held_out = {"val": upright(examples, size), "bedside": others}
    gate = fit_gate(network, upright(train, size), more, held_out)
    weights = stored(network, gate.gate.tensors())
    recipe = json.loads(arguments.recipe.read_text())
    manifest = manifest_of(settings, recipe, weights, calibrated, examples, gate)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / _WEIGHTS).write_bytes(weights)
    (arguments.out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    print(json.dumps(manifest["metrics"], indent=1))


if __name__ == "__main__":
    main()
