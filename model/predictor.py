"""The packaged model behind the contract's `Predictor`."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from model.confidence import image_score, known
from model.contract import Film, Manifest, ModelError, Prediction
from model.folding import folded
from model.gate import Gate, take_gate
from model.network import Heads, LocalizationUNet
from model.onnx import OnnxNetwork, available, load_graph
from model.postprocess import candidates
from model.reading import Looks, Reading, inputs, read
from model.weights import Description, describe, load_tensors

log = logging.getLogger(__name__)

#: films in one pass through the network at most
_BATCH = 8


def load_predictor(
    directory: Path | None = None, device: str = "auto", threads: int | None = None, *, onnx: bool = True
) -> "NetworkPredictor":
    """The model in `directory`, or the packaged one, ready to predict.

    `device` is "auto" (CUDA when there), "cpu" or a torch device. `threads` bounds the CPU threads. On a CPU ONNX
    Runtime does the work where it is installed and the model brings a graph, unless `onnx` is False.
    Raises ModelError when the folder, its weights or the device cannot be used.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    description = describe(directory)
    if not known(description.calibration.finding):
        raise ModelError(f"{description.folder}: calibrated on features that this version does not compute")
    tensors = load_tensors(description)
    gate = take_gate(tensors)
    try:
        network = LocalizationUNet(**description.network)
        network.load_state_dict(tensors)
        looks = Looks(**{**description.looks, "sizes": tuple(description.looks["sizes"])})
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        raise ModelError(f"{description.folder} holds another network or another recipe: {error}") from error
    graph = load_graph(description)
    return NetworkPredictor(description, network, gate, looks, _device(device), graph if onnx else None)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"device {name!r} is unknown: use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {name!r} is asked for, and there is no usable GPU: use auto or cpu")
    return device


def _onnx(graph: bytes, network: LocalizationUNet) -> OnnxNetwork | None:
    """The faster way on a CPU, where there is one; torch is always there."""
    if not available():
        return None
    try:
        return OnnxNetwork(graph, network)
    except ModelError as error:
        log.warning("%s: torch does the work", error)
        return None


class NetworkPredictor:
    """Reads films with the network; falls back to smaller batches, then to the CPU, when memory is short."""

    def __init__(
        self,
        description: Description,
        network: LocalizationUNet,
        gate: Gate,
        looks: Looks,
        device: torch.device,
        graph: bytes | None = None,
    ) -> None:
        self._description, self._gate, self._looks, self._device = description, gate, looks, device
        self._network = folded(network).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self._onnx = _onnx(graph, network) if graph is not None and device.type == "cpu" else None

    @property
    def manifest(self) -> Manifest:
        """The identity of the model."""
        return self._description.manifest

    @property
    def device_name(self) -> str:
        """What it runs on, for people: the GPU's name and memory, or CPU."""
        if self._onnx is not None:
            return f"CPU, ONNX Runtime {self._onnx.version}"
        if self._device.type != "cuda":
            return self._device.type.upper()
        known = torch.cuda.get_device_properties(self._device)
        return f"{known.name}, {known.total_memory / 1e9:.0f} GB"

    def predict(self, films: Sequence[Film]) -> list[Prediction]:
        """One prediction a film, in order. Raises ModelError when the device fails for good."""
        predictions: list[Prediction] = []
        for start in range(0, len(films), _BATCH):
            batch = films[start : start + _BATCH]
            for film, reading in zip(batch, self._read(batch), strict=True):
                predictions.append(self._predict(film, reading))
        return predictions

    def _predict(self, film: Film, reading: Reading) -> Prediction:
        calibration = self._description.calibration
        return Prediction(
            score=image_score(reading, calibration),
            frontal_chest=self._gate.frontal_chest(reading.pooled),
            candidates=candidates(reading, film.shape, calibration, self.manifest.floor),
        )

    def _read(self, films: Sequence[Film]) -> list[Reading]:
        try:
            return self._look(films)
        except torch.OutOfMemoryError as error:
            if len(films) > 1:
                half = len(films) // 2
                return self._read(films[:half]) + self._read(films[half:])
            return self._on_cpu(films, f"no memory for one film: {error}")
        except RuntimeError as error:
            return self._on_cpu(films, str(error))

    def _look(self, films: Sequence[Film]) -> list[Reading]:
        pictures = [picture.to(self._device) for picture in inputs(films, self._looks.sizes)]
        network: Callable[[Tensor], Heads] = self._network if self._onnx is None else self._onnx
        return read(network, pictures, self._looks)

    def _on_cpu(self, films: Sequence[Film], why: str) -> list[Reading]:
        """The device has failed: from here on the CPU reads, unless it was the CPU."""
        if self._device.type == "cpu":
            raise ModelError(f"{self.manifest.name} failed on the CPU: {why}")
        log.warning("%s failed (%s): going on with the CPU", self._device, why)
        self._device = torch.device("cpu")
        self._network.to(self._device)
        return self._read(films)
