"""The network on a GPU: images a second, a lone image's wait, each stage, and the roofline.

`python -m benchmarks.gpu` on a machine with CUDA; without one it is a line of what was not measured. `--device cpu`
runs the same steps on the CPU, to see that they work: its figures are no GPU's.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch

from benchmarks.alone import alone
from benchmarks.measure import Tell, interleaved, percentile, seconds
from benchmarks.predicting import large_film, network_rate
from benchmarks.record import Outcome, Plot, Row, Section, Table
from benchmarks.roofline import Point, kinds_table, layers_of, peaks, roofline_plot, roofline_table
from model.contract import Film
from model.device import BUCKETS, SLOTS, DeviceReader, Way, ways_on
from model.predictor import NetworkPredictor, load_predictor
from model.reading import inputs, readings

MINUTES = 2
_COMMAND = "python -m benchmarks.gpu"
_ROUNDS = 9
#: batches that callers have under way when the rate of all of predict is measured
_CALLERS = 4


def run(tell: Tell, _scratch: Path) -> Outcome:
    """As `make bench` runs it."""
    if not torch.cuda.is_available():
        return Outcome(missing=[f"the network on a GPU: there is none that CUDA can use; `{_COMMAND}` measures it"])
    return measured(torch.device("cuda"), BUCKETS, tell)


def measured(device: torch.device, buckets: Sequence[int], tell: Tell) -> Outcome:
    """Rows and tables of one device, for batches of these sizes."""
    predictor = load_predictor(device=device.type)
    reader = DeviceReader(predictor._network, predictor._looks, device)
    predictor._reader = reader
    film = large_film()
    network = {bucket: _network_seconds(reader, bucket, tell) for bucket in buckets}
    rate = max(bucket / taken for bucket, taken in network.items())
    tell("the device's peaks")
    machine = peaks(device, reader.way.precision)
    width = torch.finfo(reader.way.precision).bits // 8
    layers = [layer for size in predictor._looks.sizes for layer in layers_of(predictor._network, size, width=width)]
    looks = 2 if predictor._looks.mirror else 1
    points = [
        Point(name=f"one look at each size, {bucket} films", layers=layers, seconds=taken / bucket / looks)
        for bucket, taken in network.items()
    ]
    name = f"{predictor.device_name}, {_told(reader.way)}"
    return Outcome(
        rows=[_lone(predictor, film, tell), *_rates(predictor, film, rate, buckets[-1], tell)],
        tables=[
            _ways(predictor, device, buckets, tell),
            _stages(predictor, reader, film, buckets, tell),
            roofline_table(points, machine, f"The network beside its roofline: {name}"),
            kinds_table(points[-1], machine, "The network's looks, by kind of layer"),
        ],
        plots=[
            roofline_plot(points, machine, "roofline-gpu", f"The network under the roof: {name}"),
            Plot(
                section=Section.ANALYSE,
                name="gpu-buckets",
                title="The network alone by the number of films in a batch",
                x="films in a batch",
                y="images a second",
                lines={name: [(bucket, bucket / taken) for bucket, taken in network.items()]},
                logarithmic=True,
            ),
        ],
    )


def _told(way: Way) -> str:
    return f"{str(way.precision).removeprefix('torch.')}, {'CUDA graphs' if way.captured else 'kernel by kernel'}"


def _filled(reader: DeviceReader, bucket: int) -> Callable[[], object]:
    """One run over a batch whose inputs lie on the host, to what was seen on the host."""
    slot = reader._slots.get()
    reader._slots.put(slot)
    return torch.inference_mode()(lambda: reader._told(slot, bucket, bucket))


def _network_seconds(reader: DeviceReader, bucket: int, tell: Tell) -> float:
    """Median seconds of the network's looks at a batch that lies on the device."""
    tell(f"the network alone, {bucket} films")
    run = _filled(reader, bucket)
    run()  # chooses algorithms, captures
    taken = torch.zeros(bucket * reader._cells, device=reader._device)
    work = partial(reader._replay if reader.way.captured else reader._look, taken, bucket)

    @torch.inference_mode()
    def waited() -> None:
        if reader._device.type != "cuda":
            work()
            return
        with torch.cuda.stream(reader._working):
            work()
        reader._working.synchronize()

    return statistics.median([seconds(waited) for _ in range(_ROUNDS)][2:])


def _lone(predictor: NetworkPredictor, film: Film, tell: Tell) -> Row:
    """How long an urgent image waits for its findings when nothing else is there."""
    tell("a lone film")
    predictor.predict([film])
    taken = [seconds(lambda: predictor.predict([film])) for _ in range(4 * _ROUNDS)]
    return Row(
        section=Section.ANALYSE,
        name="predict on a GPU, one film of 2,500 × 3,000 alone",
        reached=1e3 * statistics.median(taken),
        unit="ms",
        more_is_better=False,
        command=_COMMAND,
        figures={"p95": f"{1e3 * percentile(taken, 0.95):.1f} ms", "on": predictor.device_name},
    )


def _rates(predictor: NetworkPredictor, film: Film, network: float, most: int, tell: Tell) -> list[Row]:
    """The network alone, and all of predict by one caller and by several."""
    row = partial(Row, section=Section.ANALYSE, unit="images/s", command=_COMMAND)
    tell("predict, one caller")
    one = network_rate(predictor, [film], batch=most)
    tell(f"predict, {_CALLERS} callers")
    batches = [[film] * most] * (2 * _CALLERS)
    with ThreadPoolExecutor(_CALLERS) as pool:
        taken = seconds(lambda: list(pool.map(predictor.predict, batches)))
    several = len(batches) * most / taken
    return [
        row(name="the network alone on a GPU, all looks", reached=network),
        row(
            name="predict on a GPU, films in memory, one caller",
            reached=one,
            figures={"of the network alone": f"{one / network:.0%}"},
        ),
        row(
            name=f"predict on a GPU, films in memory, {_CALLERS} callers",
            reached=several,
            figures={"of the network alone": f"{several / network:.0%}"},
            note="what is short of the network alone is the host's: bringing films down, and drawing masks",
        ),
    ]


def _ways(predictor: NetworkPredictor, device: torch.device, buckets: Sequence[int], tell: Tell) -> Table:
    """Precisions, captured or kernel by kernel: the smallest and the largest batch."""
    ways = list(ways_on(device))
    if device.type == "cuda":
        ways.insert(1, Way(torch.bfloat16, captured=True))
    ends = (buckets[0], buckets[-1])
    rows = []
    for way in ways:
        reader = DeviceReader(predictor._network, predictor._looks, device, [way])
        taken = [_network_seconds(reader, bucket, tell) for bucket in ends]
        rows.append([_told(way), *(f"{1e3 * each:.2f} ms" for each in taken), f"{ends[1] / taken[1]:,.0f}/s"])
    head = ("way", *(f"{bucket} films" if bucket > 1 else "1 film" for bucket in ends), "images")
    return Table(section=Section.ANALYSE, title="The network's looks on a GPU, by precision", head=head, rows=rows)


def _stages(predictor: NetworkPredictor, reader: DeviceReader, film: Film, buckets: Sequence[int], tell: Tell) -> Table:
    """Milliseconds a film of each stage of a batch, each measured by itself."""
    sizes, rows = predictor._looks.sizes, []
    for bucket in buckets:
        films = [film] * bucket
        seen = reader.seen(films)
        each = readings(seen, predictor._looks)
        parts: dict[str, Callable[[], object]] = {
            "bring down": lambda films=films: inputs(films, sizes),  # type: ignore[misc]
            "there, network, back": _filled(reader, bucket),
            "fuse": lambda seen=seen: readings(seen, predictor._looks),  # type: ignore[misc]
            "confidences, masks": lambda films=films, each=each: list(map(predictor._predict, films, each)),  # type: ignore[misc]
            "all of predict": lambda films=films: predictor.predict(films),  # type: ignore[misc]
        }
        timed = {name: partial(seconds, part) for name, part in parts.items()}
        taken = interleaved(timed, _ROUNDS, tell=lambda what, bucket=bucket: tell(f"{bucket} films: {what}"))  # type: ignore[misc]
        rows.append([str(bucket), *(f"{1e3 * statistics.median(values) / bucket:.2f}" for values in taken.values())])
        head = ("films", *taken)
    return Table(
        section=Section.ANALYSE,
        title="Stages of predict on a GPU, ms a film",
        head=head,
        rows=rows,
        note=f"One caller, one stage after the other; callers of several threads have {SLOTS} batches under way.",
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument("--device", help="any that torch knows; without it the GPU")
    parser.add_argument("--buckets", type=int, nargs="+", default=BUCKETS, choices=BUCKETS)
    arguments = parser.parse_args()
    if arguments.device is None:
        return alone(run)
    return alone(lambda tell, _: measured(torch.device(arguments.device), arguments.buckets, tell))


if __name__ == "__main__":
    sys.exit(main())
