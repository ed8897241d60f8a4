"""How fast the network reads films on this machine's CPU, by torch, ONNX Runtime and OpenVINO, and what bounds it.

`python -m benchmarks.inference --threads 2` times the packaged network at the sizes that ship and at 1,024 px, one
film and a batch, all of `predict` on a large film, and the machine's own peaks. All ways are timed in turn, round after
round, so that a busy machine slows them alike; told are medians and their ratio to eager torch, which says more than
milliseconds of a shared machine. A way whose package is missing, or that does not compile here, is told as such.
torch.compile takes half a minute a column: `--skip` without a name measures it, too. `--out FILE` keeps the tables as
markdown.
"""

import argparse
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.alone import alone
from benchmarks.measure import Tell, interleaved, median_ratio, seconds
from benchmarks.predicting import predicted
from benchmarks.record import Outcome, Row, Section, Table
from benchmarks.roofline import Point, kinds_table, layers_of, peaks, roofline_plot, roofline_table
from model.folding import folded
from model.network import Heads, LocalizationUNet
from model.onnx import OnnxNetwork, available, load_graph
from model.weights import describe
from training.maps import maps_of

MINUTES = 2
#: a way to run the network
Look = Callable[[Tensor], Heads]
_LARGE = 1024
_COMMAND = "python -m benchmarks.inference"
_EAGER, _ONNX = "eager", "ONNX Runtime"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command line."""

    threads: int
    rounds: int = 5
    #: ways that are left out
    skip: Sequence[str] = ("torch.compile",)


def run(tell: Tell, _scratch: Path) -> Outcome:
    """As `make bench` runs it."""
    return measured(Options(threads=torch.get_num_threads()), tell)


def measured(options: Options, tell: Tell) -> Outcome:
    """Rows, the tables of ways and of stages, and the roofline."""
    torch.set_num_threads(options.threads)
    network = maps_of().network
    network_rows, ways_table, pictures, missing = network_alone(network, options, tell)
    tell("the machine's peaks")
    machine = peaks(torch.device("cpu"))
    plain = folded(network)
    points = [Point(name=f"{size}²", layers=layers_of(plain, size), seconds=taken) for size, taken in pictures.items()]
    shipped = points[describe().looks["sizes"].index(max(describe().looks["sizes"]))]
    predict_rows, stages = predicted(_COMMAND, options.threads, options.rounds, tell)
    return Outcome(
        rows=[*network_rows, *predict_rows],
        tables=[
            ways_table,
            stages,
            roofline_table(points, machine, "The network on this CPU beside its roofline, float32, one at a time"),
            kinds_table(shipped, machine, f"The network at {shipped.name}, by kind of layer"),
        ],
        plots=[roofline_plot(points, machine, "roofline-cpu", "The network under the roof of this CPU")],
        missing=missing,
    )


def ways(network: LocalizationUNet, options: Options) -> dict[str, Look | str]:
    """Each way by name, or the reason why there is none."""
    nchw = deepcopy(network).eval()
    nhwc, fused = deepcopy(nchw), folded(network)
    for one in (nhwc, fused):
        one.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    known: dict[str, Callable[[], Look | str]] = {
        _EAGER: lambda: nchw,
        "channels_last": lambda: nhwc,
        "channels_last, norms folded": lambda: fused,
        "torch.compile": lambda: torch.compile(fused, dynamic=False),
        _ONNX: partial(_onnx, network),
        "OpenVINO": partial(_openvino, network, options.threads, "f32"),
        "OpenVINO, bf16": partial(_openvino, network, options.threads, "bf16"),
    }
    return {name: way() for name, way in known.items() if name not in options.skip}


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


@torch.inference_mode()
def network_alone(
    network: LocalizationUNet, options: Options, tell: Tell
) -> tuple[list[Row], Table, dict[int, float], list[str]]:
    """The network by itself: rows, a table of ways by size and number of films, seconds of one picture by size as it
    ships, and what could not be measured."""
    sizes = describe().looks["sizes"]
    cases = [(count, size) for size in (*sizes, _LARGE) for count in (1, 8) if (count, size) != (8, _LARGE)]
    able, absent = dict[str, Look](), dict[str, str]()
    for name, way in ways(network, options).items():
        if isinstance(way, str):
            absent[name] = way
        else:
            able[name] = way
    cells: dict[str, list[str]] = {name: [] for name in able}
    differences: dict[str, float] = dict.fromkeys(able, 0.0)
    pictures: dict[int, float] = {}
    rows: list[Row] = []
    for count, size in cases:
        case = f"{count} × {size}²"
        films = torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(0))
        wanted = able[_EAGER](films).heat.sigmoid()
        for name, way in list(able.items()):
            tell(f"{case}: {name}")
            try:
                said = way(films).heat.sigmoid()
            except Exception as error:  # noqa: BLE001  # a compiler that is not there fails in ways of its own
                absent[name] = f"fails: {type(error).__name__}"
                del able[name]
                continue
            differences[name] = max(differences[name], float((said - wanted).abs().max()))
        timed = {name: partial(seconds, partial(way, films)) for name, way in able.items()}
        taken = interleaved(timed, options.rounds, tell=lambda what, case=case: tell(f"{case}: {what}"))  # type: ignore[misc]
        for name, each in taken.items():
            ratio = median_ratio(taken[_EAGER], each)
            cells[name].append(f"{1e3 * statistics.median(each):.0f} ms, {ratio:.2f}×")
        shipped = taken.get(_ONNX, taken["channels_last, norms folded"])
        if count == 1:
            pictures[size] = statistics.median(shipped)
        if size in sizes and _ONNX in taken:
            rows.append(_against_eager(case, taken, count))
    head = ("the network alone", *(f"{count} × {size}²" for count, size in cases), "largest difference")
    table = Table(
        section=Section.ANALYSE,
        title="The network alone on this CPU, and the ratio to eager torch",
        head=head,
        rows=[[name, *cells[name], f"{differences[name]:.0e}"] for name in able],
        note=f"{options.threads} threads, medians of {options.rounds} rounds; the difference is that of a probability.",
    )
    return rows, table, pictures, [f"the network by {name}: {why}" for name, why in absent.items()]


def _against_eager(case: str, taken: dict[str, list[float]], count: int) -> Row:
    eager, shipped = (statistics.median(taken[name]) for name in (_EAGER, _ONNX))
    return Row(
        section=Section.ANALYSE,
        name=f"the network by ONNX Runtime, as it ships, against eager torch, {case}",
        reached=median_ratio(taken[_EAGER], taken[_ONNX]),
        unit="×",
        command=_COMMAND,
        figures={
            "ours": f"{1e3 * shipped:.1f} ms",
            "eager": f"{1e3 * eager:.1f} ms",
            "pictures": f"{count / shipped:.0f}/s",
        },
    )


def markdown(outcome: Outcome) -> str:
    """The tables of an outcome."""
    parts = []
    for table in outcome.tables:
        lines = ["| " + " | ".join(row) + " |" for row in (table.head, *table.rows)]
        parts.append("\n".join([f"**{table.title}**", "", lines[0], "|---" * len(table.head) + "|", *lines[1:]]))
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=Options.rounds)
    parser.add_argument("--skip", nargs="*", default=Options.skip, help="ways that are left out")
    parser.add_argument("--out", type=Path, help="keep the tables here")
    arguments = parser.parse_args()
    options = Options(threads=arguments.threads, rounds=arguments.rounds, skip=arguments.skip)

    def kept(tell: Tell, _scratch: Path) -> Outcome:
        outcome = measured(options, tell)
        if arguments.out:
            arguments.out.write_text(markdown(outcome))
        return outcome

    return alone(kept)


if __name__ == "__main__":
    sys.exit(main())
