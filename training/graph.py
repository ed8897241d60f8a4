"""The network's graph for ONNX Runtime, without its weights: what `model.onnx` runs."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import torch

from model.folding import folded
from model.network import Heads, LocalizationUNet
from model.onnx import INPUT


def graph_of(network: LocalizationUNet) -> bytes:
    """An ONNX model for films of any number and any size that is a multiple of 32.

    Its weights are external by name: those of the folded network's state dict. Raises ImportError without the
    packages onnx and onnxscript of the training extra.
    """
    plain = folded(network).cpu()
    some = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), _quiet():
        # the exporter warns of its own deprecations
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            plain,
            (torch.zeros(2, 1, 64, 96),),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=list(Heads._fields),
            dynamic_shapes=({0: some, 2: some, 3: some},),
        )
    assert program is not None
    return _without_weights(program.model_proto, set(plain.state_dict()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's word on torchvision, which is not needed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _without_weights(model: Any, names: set[str]) -> bytes:
    """The model with its weights external, and with nothing of where it was made."""
    for tensor in model.graph.initializer:
        if tensor.name in names:
            tensor.ClearField("raw_data")
            tensor.data_location = tensor.EXTERNAL
            entry = tensor.external_data.add()
            entry.key, entry.value = "location", "weights"
        tensor.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
    for part in (model, model.graph):
        part.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    content: bytes = model.SerializeToString(deterministic=True)
    return content
