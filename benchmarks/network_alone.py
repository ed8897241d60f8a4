"""The model by itself: how many films a second its network could read if all else were free, and what all else is."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.measure import Tell
from dicom_node.analyse.examine import BATCH, BATCH_ON_GPU
from dicom_node.analyse.role import threads
from dicom_node.demo.chest import BITS, Radiograph
from model.contract import Film
from model.device import at_precision, ways_on
from model.folding import folded
from model.gate import take_gate
from model.network import Heads, LocalizationUNet
from model.onnx import OnnxNetwork, available, load_graph
from model.predictor import load_predictor
from model.reading import Looks, inputs, look
from model.weights import describe, load_tensors

_ROUNDS = 9


@dataclass(frozen=True, kw_only=True)
class NetworkAlone:
    """What the model does by itself."""

    #: what it runs on
    device: str
    on_gpu: bool
    images_a_second: float
    #: CPU milliseconds of the network, a film
    cpu_ms: float
    #: milliseconds of all of predict(), a film alone
    whole_ms: float
    #: part of predict() → milliseconds of a film alone
    stages: dict[str, float]

    def faster(self, other: "NetworkAlone") -> "NetworkAlone":
        """The one of two measurements in which the network was faster: the harder one to come near to."""
        return max(self, other, key=lambda one: one.images_a_second)


def network_alone(tell: Tell, films: Sequence[Radiograph]) -> NetworkAlone:
    """Measure it in batches of the role's size, inputs ready, with the threads that the role gives it."""
    tell("the network alone")
    predictor = load_predictor(threads=threads())
    shown = [Film(pixels=(film.pixels << (16 - BITS)).astype(np.uint16)) for film in films]
    description = describe()
    looks = Looks(**{**description.looks, "sizes": tuple(description.looks["sizes"])})
    size = BATCH_ON_GPU if torch.cuda.is_available() else BATCH
    batch = [shown[number % len(shown)] for number in range(size)]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = _network(device)
    kind = ways_on(device)[0].precision
    brought_down = inputs(batch, looks.sizes)
    pictures = [picture.to(device, kind) for picture in brought_down]

    def wait_for_device() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def ms(work: Callable[[], object]) -> float:
        return 1000 * _median(work, wait_for_device)

    read = ms(lambda: look(network, pictures, looks))
    cpu = _cpu(lambda: look(network, pictures, looks), wait_for_device)
    one, single = inputs(shown[:1], looks.sizes), [picture[:1] for picture in pictures]
    preprocess = ms(lambda: inputs(shown[:1], looks.sizes))
    transfer = ms(lambda: [picture.to(device, kind) for picture in one])
    alone = ms(lambda: look(network, single, looks))
    whole = ms(lambda: predictor.predict(shown[:1]))
    return NetworkAlone(
        device=predictor.device_name,
        on_gpu=device.type == "cuda",
        images_a_second=1000 * size / read,
        cpu_ms=1000 * cpu / size,
        whole_ms=whole,
        stages={
            "preprocess": preprocess,
            "transfer": transfer,
            "network": alone,
            "postprocess, and what else is in predict()": max(0.0, whole - preprocess - transfer - alone),
        },
    )


def _network(device: torch.device) -> Callable[[torch.Tensor], Heads]:
    """As the node has it on this device: ONNX Runtime on a CPU where it is installed; on a GPU at its precision.

    There kernel by kernel, and not as the node's CUDA graph: a batch's kernels outlast their launches by far.
    """
    description = describe()
    tensors = load_tensors(description)
    take_gate(tensors)
    network = LocalizationUNet(**description.network)
    network.load_state_dict(tensors)
    graph = load_graph(description)
    if device.type == "cpu" and graph is not None and available():
        return OnnxNetwork(graph, network)
    return at_precision(folded(network), ways_on(device)[0].precision, device)


def _median(work: Callable[[], object], wait: Callable[[], None]) -> float:
    taken = []
    for number in range(_ROUNDS + 2):
        started = time.perf_counter()
        work()
        wait()
        if number >= 2:
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _cpu(work: Callable[[], object], wait: Callable[[], None]) -> float:
    started = time.process_time()
    for _ in range(_ROUNDS):
        work()
        wait()
    return (time.process_time() - started) / _ROUNDS
