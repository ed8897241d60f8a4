"""The packaged model behind the contract's `Predictor`."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from model.confidence import image_score, known
from model.contract import Film, Manifest, ModelError, Prediction
from model.device import BUCKETS, SLOTS, DeviceReader
from model.folding import folded
from model.gate import Gate, take_gate
from model.network import Heads, LocalizationUNet
from model.onnx import OnnxNetwork, available, load_graph
from model.postprocess import candidates
from model.reading import Looks, Reading, inputs, read
from model.weights import Description, describe, load_tensors

log = logging.getLogger(__name__)

#: films in one pass through the network at most, on a CPU, each with its mirror image; a GPU takes the largest bucket
_BATCH = 4

#: one reading a film, in order
Reader = Callable[[Sequence[Film]], list[Reading]]


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
    """Reads films with the network; falls back to smaller batches, then to the CPU, when memory is short.

    May be called by several threads at a time: while a GPU reads the films of one, those of the next are brought down.
    """

    def __init__(
        self,
        description: Description,
        network: LocalizationUNet,
        gate: Gate,
        looks: Looks,
        device: torch.device,
        graph: bytes | None = None,
    ) -> None:
        self._description, self._gate, self._looks, self._graph = description, gate, looks, graph
        # it stays on the host: from a device that has failed it could not be fetched
        self._network = folded(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        self._onnx: OnnxNetwork | None = None
        self._lock = threading.Lock()
        self._device = device
        self._reader = self._on_device()
        self._ahead = ThreadPoolExecutor(SLOTS, thread_name_prefix="predict")

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

    @property
    def lanes(self) -> int:
        """Calls of predict() that are worth making at a time: beside a GPU the next films are brought down."""
        return 1 if self._device.type == "cpu" else SLOTS

    def predict(self, films: Sequence[Film]) -> list[Prediction]:
        """One prediction a film, in order. Raises ModelError when the device fails for good."""
        on_host = self._device.type == "cpu"
        most = _BATCH if on_host else BUCKETS[-1]
        batches = [films[start : start + most] for start in range(0, len(films), most)]
        # a CPU that reads two batches at once reads neither sooner
        said = map(self._batch, batches) if on_host or len(batches) < 2 else self._ahead.map(self._batch, batches)
        return [prediction for batch in said for prediction in batch]

    def _batch(self, films: Sequence[Film]) -> list[Prediction]:
        return [self._predict(film, reading) for film, reading in zip(films, self._read(films), strict=True)]

    def _predict(self, film: Film, reading: Reading) -> Prediction:
        calibration = self._description.calibration
        return Prediction(
            score=image_score(reading, calibration),
            frontal_chest=self._gate.frontal_chest(reading.pooled),
            candidates=candidates(reading, film.shape, calibration, self.manifest.floor),
        )

    def _read(self, films: Sequence[Film]) -> list[Reading]:
        reader = self._reader
        try:
            return reader(films)
        except (torch.OutOfMemoryError, MemoryError) as error:
            if len(films) > 1:
                half = len(films) // 2
                return self._read(films[:half]) + self._read(films[half:])
            why = f"no memory for one film: {error}"
        except RuntimeError as error:
            why = str(error)
        self._leave(reader, why)
        return self._read(films)

    def _leave(self, reader: Reader, why: str) -> None:
        """The device has failed: from here on the CPU reads, unless it was the CPU."""
        with self._lock:
            if self._reader is not reader:  # another thread has seen to it
                return
            if self._device.type == "cpu":
                raise ModelError(f"{self.manifest.name} failed on the CPU: {why}")
            log.warning("%s failed (%s): going on with the CPU", self._device, why)
            self._reader = self._on_cpu()

    def _on_device(self) -> Reader:
        if self._device.type == "cpu":
            return self._on_cpu()
        try:
            return DeviceReader(self._network, self._looks, self._device)
        except RuntimeError as error:
            log.warning("%s cannot be used (%s): the CPU does the work", self._device, error)
            return self._on_cpu()

    def _on_cpu(self) -> Reader:
        self._device = torch.device("cpu")
        if self._graph is not None:
            self._onnx = _onnx(self._graph, self._network)
        network: Callable[[Tensor], Heads] = self._network if self._onnx is None else self._onnx
        return lambda films: read(network, inputs(films, self._looks.sizes), self._looks)
