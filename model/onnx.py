"""The network on a CPU by ONNX Runtime, where that is installed: the extra `onnx`, three times as fast as torch.

What ships is the graph alone, 30 kB, pinned by the manifest; its weights are those of the safetensors file, folded
when the model is loaded, so that there is one truth about them. Without the package, on a GPU, or with a model that
brings no graph, torch does the work.
"""

import hashlib
import importlib.util
import os

import torch
from torch import Tensor

from model.contract import ModelError
from model.folding import folded
from model.network import Heads, LocalizationUNet
from model.weights import Description

#: name of the graph's input; its outputs are named after the fields of `Heads`
INPUT = "films"


def available() -> bool:
    """ONNX Runtime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


class OnnxNetwork:
    """Stands in for `LocalizationUNet` in eval mode: (N, 1, H, W) float32 on the CPU to `Heads`."""

    def __init__(self, graph: bytes, network: LocalizationUNet) -> None:
        """Raises ModelError when this version of ONNX Runtime cannot run the graph, or it is another network's."""
        # it would tell its makers of each session over the network, and keep a file of that in the home folder
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        self._failures = (
            errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf,
            errors.NotImplemented, errors.RuntimeException,
        )  # fmt: skip
        self.version: str = onnxruntime.__version__
        state = folded(network).state_dict()
        # the session refers to these arrays for as long as it lives
        self._weights = {name: value.contiguous().numpy() for name, value in state.items()}
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._weights.values()]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # a thread that waits by spinning takes the core of whoever decodes the next film
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_external_initializers(list(self._weights), values)
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except self._failures as error:
            raise ModelError(f"ONNX Runtime {self.version} does not run the model's graph: {error}") from error

    def __call__(self, films: Tensor) -> Heads:
        """Raises RuntimeError, as torch does, when it fails."""
        try:
            said = self._session.run(list(Heads._fields), {INPUT: films.contiguous().numpy()})
        except self._failures as error:
            raise RuntimeError(f"ONNX Runtime: {error}") from error
        return Heads(*(torch.from_numpy(part) for part in said))


def load_graph(description: Description) -> bytes | None:
    """The graph of a model's folder, once its SHA-256 is the pinned one; None where it has none. Raises ModelError."""
    pinned = description.graph
    if pinned is None:
        return None
    path = description.folder / pinned["file"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the graph of {description.manifest.name} cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != pinned["sha256"]:
        raise ModelError(f"{path} is not the graph that its manifest pins: install the model again")
    return content
