"""A folder of weights: `manifest.json`, which says everything that changes what a model says, and what it pins.

Reading the manifest needs the standard library only: a role that merely names the model never loads torch.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.contract import Manifest, ModelError

if TYPE_CHECKING:
    from torch import Tensor

#: the model that comes with the package
PACKAGED = Path(__file__).parent / "weights" / "chexnomaly"
MANIFEST = "manifest.json"
#: of the manifest's structure
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Logistic regressions, each on its own features; see `model.confidence`."""

    #: weight of each feature by name
    finding: Mapping[str, float]
    finding_bias: float
    image: float
    image_bias: float


@dataclass(frozen=True, kw_only=True)
class Description:
    """A manifest in full."""

    manifest: Manifest
    folder: Path
    #: name of the weights file in the folder
    weights: str
    #: `file` and `sha256` of the network's graph for ONNX Runtime; None: there is none
    graph: Mapping[str, str] | None
    #: arguments of `model.network.LocalizationUNet`
    network: Mapping[str, Any]
    #: fields of `model.reading.Looks`
    looks: Mapping[str, Any]
    calibration: Calibration


def read_manifest(directory: Path | None = None) -> Manifest:
    """The identity of the model in `directory`, or of the packaged one. Raises ModelError."""
    return describe(directory).manifest


def describe(directory: Path | None = None) -> Description:
    """Read `manifest.json` whole. Raises ModelError naming the file and what is wrong with it."""
    folder = PACKAGED if directory is None else directory
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        fields = json.loads(content)
        if fields["format"] != FORMAT:
            raise ModelError(f"{path} has format {fields['format']}; this version reads format {FORMAT}")
        return _description(fields, folder, hashlib.sha256(content).hexdigest())
    except OSError as error:
        raise ModelError(f"no model at {folder}: {error}; name a folder that holds {MANIFEST}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is not a manifest: {type(error).__name__} {error}") from error


def _description(fields: Mapping[str, Any], folder: Path, digest: str) -> Description:
    value, scheme, meaning = fields["family"]
    low, high = map(float, fields["validated_range"])
    manifest = Manifest(
        name=str(fields["name"]),
        version=str(fields["version"]),
        digest=digest,
        weights_sha256=str(fields["weights"]["sha256"]),
        family=(str(value), str(scheme), str(meaning)),
        operating_point=float(fields["operating_point"]),
        validated_range=(low, high),
        floor=float(fields["floor"]),
        gate=float(fields["gate"]),
        input_size=int(fields["input_size"]),
    )
    if not 0 < manifest.floor <= low <= manifest.operating_point <= high < 1:
        raise ValueError("floor, validated_range and operating_point are not in order")
    name = str(fields["weights"]["file"])
    graph = fields.get("graph")
    for file in (name, *([] if graph is None else [str(graph["file"])])):
        if Path(file).name != file:
            raise ValueError(f"file {file!r} is not in the folder itself")
    calibration = fields["calibration"]
    return Description(
        manifest=manifest,
        folder=folder,
        weights=name,
        graph=None if graph is None else {"file": str(graph["file"]), "sha256": str(graph["sha256"])},
        network=dict(fields.get("network", {})),
        looks=dict(fields["looks"]),
        calibration=Calibration(
            finding={str(key): float(weight) for key, weight in calibration["finding"].items()},
            finding_bias=float(calibration["finding_bias"]),
            image=float(calibration["image"]),
            image_bias=float(calibration["image_bias"]),
        ),
    )


def load_tensors(description: Description) -> dict[str, "Tensor"]:
    """The weights as float32, once their SHA-256 is the pinned one. Raises ModelError."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = description.folder / description.weights
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the weights of {description.manifest.name} cannot be read: {error}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != description.manifest.weights_sha256:
        raise ModelError(
            f"{path} has SHA-256 {digest}, its manifest pins {description.manifest.weights_sha256}: "
            "install the model again"
        )
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise ModelError(f"{path} is not a safetensors file: {error}") from error
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
