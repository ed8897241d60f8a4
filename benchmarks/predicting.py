"""All of `predict` on films that lie in memory: its rate, and where its time goes."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from benchmarks.measure import Tell, interleaved, seconds
from benchmarks.record import Row, Section, Table
from model.contract import Film, Predictor
from model.postprocess import candidates
from model.predictor import NetworkPredictor, load_predictor
from model.reading import inputs, look, readings

#: rows and columns of a film of a large flat detector
DETECTOR = (3000, 2500)


def large_film() -> Film:
    """A smooth film of a large detector, 2,500 × 3,000."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 1, 24, 20), dtype=np.float32))
    picture = torch.nn.functional.interpolate(coarse, DETECTOR, mode="bicubic")[0, 0].clamp(0, 1).numpy()
    return Film(pixels=(picture * 65535).astype(np.uint16))


def network_rate(predictor: Predictor, films: Sequence[Film], *, batch: int = 8, rounds: int = 5) -> float:
    """Images a second of `predict` on films that lie in memory, `batch` at a time: what the rest is held against."""
    films = [films[number % len(films)] for number in range(batch)]
    predictor.predict(films)
    return batch / statistics.median(seconds(lambda: predictor.predict(films)) for _ in range(rounds))


def predicted(command: str, threads: int, rounds: int, tell: Tell) -> tuple[list[Row], Table]:
    """All of `predict` on a large film, from its pixels to masks at its size: by both runtimes, in batches, by part."""
    film = large_film()
    fast, slow = (load_predictor(device="cpu", threads=threads, onnx=onnx) for onnx in (True, False))
    looks = {
        "ours": lambda: seconds(lambda: fast.predict([film])),
        "torch": lambda: seconds(lambda: slow.predict([film])),
    }
    taken = interleaved(looks, rounds, tell=lambda what: tell(f"predict: {what}"))
    ours, torchs = (statistics.median(taken[name]) for name in looks)
    height, width = DETECTOR
    tell("predict in batches")
    rates = {batch: network_rate(fast, [film], batch=batch) for batch in (1, 8)}
    row = partial(Row, section=Section.ANALYSE, command=command)
    told = [
        row(
            name=f"predict, one film of {width:,} × {height:,}, all looks, masks at native size",
            reached=1e3 * ours,
            unit="ms",
            more_is_better=False,
            figures={"by": fast.device_name, "torch": f"{1e3 * torchs:.0f} ms"},
        ),
        *(
            row(name=f"predict, films in memory, {batch} at a time", reached=rate, unit="images/s")
            for batch, rate in rates.items()
        ),
    ]
    return told, stages(fast, film, rounds, tell)


@torch.inference_mode()
def stages(predictor: NetworkPredictor, film: Film, rounds: int, tell: Tell) -> Table:
    """What parts of `predict` take, one film at a time."""
    sizes, network = predictor._looks.sizes, predictor._onnx or predictor._network
    pictures = inputs([film], sizes)
    seen = look(network, pictures, predictor._looks)
    reading = readings(seen, predictor._looks)[0]
    shape, calibration = film.shape, predictor._description.calibration
    both = [torch.cat([picture, picture.flip(3)]) for picture in pictures]
    parts: dict[str, Callable[[], object]] = {
        "film to inputs at all sizes": lambda: inputs([film], sizes),
        "the network, all looks": lambda: [network(pair) for pair in both],
        "the network and the best cells of its maps": lambda: look(network, pictures, predictor._looks),
        "boxes of all looks made one list": lambda: readings(seen, predictor._looks),
        "confidences, masks at native size": lambda: candidates(reading, shape, calibration, predictor.manifest.floor),
        "all of predict": lambda: predictor.predict([film]),
    }
    timed = {name: partial(seconds, part) for name, part in parts.items()}
    taken = interleaved(timed, rounds, tell=lambda what: tell(f"stages: {what}"))
    medians = {name: statistics.median(each) for name, each in taken.items()}
    whole = medians["all of predict"]
    return Table(
        section=Section.ANALYSE,
        title=f"Where the time of predict goes, one film of {shape[1]:,} × {shape[0]:,}",
        head=("stage", "ms", "of the whole"),
        rows=[(name, f"{1e3 * value:.1f}", f"{value / whole:.0%}") for name, value in medians.items()],
        note=f"{len(predictor.predict([film])[0].candidates)} candidates, {predictor.device_name}.",
    )
