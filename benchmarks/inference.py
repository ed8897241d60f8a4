"""How fast the network reads films on this machine: torch, compiled, ONNX Runtime and OpenVINO.

`python -m benchmarks.inference --threads 2` times the packaged network at the sizes that ship and at 1,024 px, one
film and a batch. All ways are timed in turn, round after round, so that a busy machine slows them alike; told are
medians and their ratio to eager torch, which says more than milliseconds of a shared machine. A way whose package is
missing, or that does not compile here, is told as such; `--skip torch.compile` spares its half a minute a column.
`--out FILE` keeps the table as markdown.
"""

import argparse
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.contract import Film
from model.folding import folded
from model.network import Heads, LocalizationUNet
from model.onnx import OnnxNetwork, available, load_graph
from model.predictor import load_predictor
from model.weights import describe
from training.maps import maps_of

#: a way to run the network
Look = Callable[[Tensor], Heads]
#: rows and columns of a film of a large flat detector
_DETECTOR = (3000, 2500)
_LARGE = 1024


def ways(network: LocalizationUNet, threads: int) -> dict[str, Look | str]:
    """Each way by name, or the reason why there is none."""
    nchw = deepcopy(network).eval()
    nhwc, fused = deepcopy(nchw), folded(network)
    for one in (nhwc, fused):
        one.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    return {
        "eager": nchw,
        "channels_last": nhwc,
        "channels_last, norms folded": fused,
        "torch.compile": torch.compile(fused, dynamic=False),
        "ONNX Runtime": _onnx(network),
        "OpenVINO": _openvino(network, threads, "f32"),
        "OpenVINO, bf16": _openvino(network, threads, "bf16"),
    }


def _onnx(network: LocalizationUNet) -> Look | str:
    graph = load_graph(describe())
    if graph is None:
        return "the packaged model has no graph"
    return OnnxNetwork(graph, network) if available() else "not installed"


def _openvino(network: LocalizationUNet, threads: int, precision: str) -> Look | str:
    if find_spec("openvino") is None:
        return "not installed"
    import openvino

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = openvino.convert_model(folded(network), example_input=torch.zeros(1, 1, 64, 64))
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(converted, "CPU", settings)
    return lambda films: Heads(*(torch.from_numpy(part) for part in compiled(films.numpy()).to_tuple()))


def interleaved(looks: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, all called once a round; two rounds before count for nothing."""
    seconds: dict[str, list[float]] = {name: [] for name in looks}
    for number in range(rounds + 2):
        for name, look in looks.items():
            started = time.perf_counter()
            look()
            if number >= 2:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


@torch.inference_mode()
def network_rows(network: LocalizationUNet, threads: int, rounds: int, skip: Sequence[str]) -> list[list[str]]:
    """The network alone: a row a way, a column a size and number of films."""
    cases = [
        (count, size)
        for size in (*describe().looks["sizes"], _LARGE)
        for count in (1, 8)
        if (count, size) != (8, _LARGE)
    ]
    everything = {name: "skipped" if name in skip else way for name, way in ways(network, threads).items()}
    rows = [["the network alone", *(f"{count} × {size}²" for count, size in cases), "largest difference"]]
    columns: list[dict[str, str]] = []
    differences: dict[str, float] = {}
    for count, size in cases:
        films = torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(0))
        able: dict[str, Look] = {}
        for name, way in everything.items():
            if isinstance(way, str):
                continue
            try:
                said = way(films)
            except Exception as error:  # noqa: BLE001  # a compiler that is not there fails in ways of its own
                everything[name] = f"fails: {type(error).__name__}"
                continue
            able[name] = way
            heat = everything["eager"](films).heat.sigmoid()  # type: ignore[operator]  # eager is always there
            differences[name] = max(differences.get(name, 0.0), float((said.heat.sigmoid() - heat).abs().max()))
        medians = interleaved({name: lambda way=way, films=films: way(films) for name, way in able.items()}, rounds)  # type: ignore[misc]
        columns.append({name: _cell(value, medians["eager"]) for name, value in medians.items()})
    for name, way in everything.items():
        reason = way if isinstance(way, str) else ""
        cells = [column.get(name, reason) for column in columns]
        rows.append([name, *cells, f"{differences[name]:.0e}" if name in differences else ""])
    return rows


def _cell(seconds: float, eager: float) -> str:
    return f"{1e3 * seconds:.0f} ms, {eager / seconds:.2f}×"


def predictor_rows(threads: int, rounds: int) -> list[list[str]]:
    """All of `predict` on one large film, from its pixels to masks at its size, by torch and by ONNX Runtime."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 1, 24, 20), dtype=np.float32))
    picture = torch.nn.functional.interpolate(coarse, _DETECTOR, mode="bicubic")[0, 0].clamp(0, 1).numpy()
    film = Film(pixels=(picture * 65535).astype(np.uint16))
    fast, slow = (load_predictor(device="cpu", threads=threads, onnx=onnx) for onnx in (True, False))
    looks = {fast.device_name: lambda: fast.predict([film]), "torch, norms folded": lambda: slow.predict([film])}
    medians = interleaved(looks, rounds)
    rows, columns = _DETECTOR
    head = [f"predict, one film of {columns:,} × {rows:,}", "median"]
    return [head, *([name, _cell(value, medians["torch, norms folded"])] for name, value in medians.items())]


def markdown(rows: list[list[str]]) -> str:
    """A table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def machine(threads: int) -> str:
    """What was measured on."""
    cpu = platform.processor()
    known = Path("/proc/cpuinfo")
    if known.exists():
        cpu = next((line.split(":")[1].strip() for line in known.read_text().splitlines() if "model name" in line), cpu)
    return (
        f"{cpu}, {threads} threads, torch {torch.__version__}, {describe().manifest.name} {describe().manifest.version}"
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--skip", nargs="*", default=[], help="ways that are left out")
    parser.add_argument("--out", type=Path, help="keep the tables here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tables = [network_rows(maps_of().network, arguments.threads, arguments.rounds, arguments.skip)]
    tables.append(predictor_rows(arguments.threads, arguments.rounds))
    text = "\n\n".join([machine(arguments.threads) + ":", *map(markdown, tables)])
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
