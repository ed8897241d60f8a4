"""What decoding costs: each transfer syntax against all that is installed, half the resolution, a file to its film.

`python -m benchmarks.decode`. Decoders are timed in turn, round after round, on one chest of 2,500 × 3,000 pixels.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pydicom
import torch
from pydicom.uid import UID

from benchmarks.alone import alone
from benchmarks.codecs import LOSSLESS, Coded, coded
from benchmarks.films import DETECTOR, abnormal, studies, write
from benchmarks.halved import Compared, compare, findings_table, median, real_films_missing
from benchmarks.measure import Tell, cpu_seconds, interleaved, seconds
from benchmarks.record import Outcome, Row, Section, Table
from dicom_node.analyse.decode import Decoder
from dicom_node.analyse.decoded import DecodeRequest
from dicom_node.sections import AnalyseSection, SelectSection
from model.film import film_from
from model.pixels import cells, layout_of
from model.predictor import load_predictor

MINUTES = 2
COMMAND = "python -m benchmarks.decode"
ROUNDS = 5
#: large chests that are brought to the model in full and at half their resolution
FILMS = 2
#: what is said to be as fast as another may lie this far behind: the same library takes no longer, the machine does
_NOISE = 0.9


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Seconds of each way to decode one syntax, round by round; "ours" among them."""

    name: str
    ways: Mapping[str, list[float]]
    #: of the ways, those that give what was encoded
    exact: frozenset[str]

    def fastest_other(self) -> str | None:
        """The best of the exact alternatives."""
        others = [name for name in self.exact if name != "ours"]
        return min(others, key=lambda name: statistics.median(self.ways[name]), default=None)

    def ratio(self) -> float | None:
        """How many times as long as ours the best alternative takes."""
        other = self.fastest_other()
        if other is None:
            return None
        return statistics.median(
            theirs / ours for theirs, ours in zip(self.ways[other], self.ways["ours"], strict=True)
        )


def run(tell: Tell, scratch: Path) -> Outcome:
    """See the module."""
    tell("encoding one film in every transfer syntax")
    _, dataset = next(studies())
    plain = np.frombuffer(dataset.PixelData, np.uint16).reshape(DETECTOR)
    decoded = [_decoded(one, plain, tell) for one in coded(dataset)]
    tell("a file to its film")
    path = write(scratch, abnormal(), 1)
    reached, child, parent = _file_to_film(path)
    torch.set_num_threads(1)
    compared = compare(load_predictor(device="cpu", threads=1), FILMS, tell)
    missing = real_films_missing()
    return Outcome(
        rows=[_decoders_row(decoded), _film_row(reached, child, parent), *_half_rows(compared)],
        tables=[_decoders_table(decoded), _pieces(path, reached), _passes(), findings_table(compared)],
        missing=[missing] if missing else [],
    )


def _decoded(one: Coded, plain: np.ndarray, tell: Tell) -> Decoded:
    ways = {"ours": one.ours, **one.others()}
    reference = plain if one.syntax in LOSSLESS else one.ours()
    exact = {name for name, way in ways.items() if np.abs(way().astype(int) - reference).max() == 0}
    tell(f"decoding {one.name}")
    measured = interleaved({name: partial(seconds, way) for name, way in ways.items()}, ROUNDS)
    return Decoded(name=one.name, ways=measured, exact=frozenset(exact))


def _decoders_row(decoded: Sequence[Decoded]) -> Row:
    ratios = {one.name: ratio for one in decoded if (ratio := one.ratio()) is not None}
    worst = min(ratios, key=lambda name: ratios[name])
    return Row(
        section=Section.ANALYSE,
        name="decoders: the fastest exact alternative's time ÷ ours, in the syntax where it is least",
        reached=ratios[worst],
        unit="×",
        target=_NOISE,
        command=COMMAND,
        figures={"the syntax": worst},
        note="1 but for noise: in some syntaxes the best alternative calls the very same library",
    )


def _film_row(reached: float, child: float, parent: float) -> Row:
    return Row(
        section=Section.ANALYSE,
        name="2,500 × 3,000 uncompressed: from the request to the film in the parent",
        reached=reached,
        unit="s",
        target=0.1,
        more_is_better=False,
        command=COMMAND,
        figures={"CPU of the child": f"{1000 * child:.0f} ms", "of the parent": f"{1000 * parent:.0f} ms"},
    )


def _half_rows(compared: Mapping[UID, Compared]) -> list[Row]:
    findings, matched = (sum(getattr(one, what) for one in compared.values()) for what in ("findings", "matched"))
    dearest = max(compared.values(), key=lambda one: median(one.full))
    rows = [
        Row(
            section=Section.ANALYSE,
            name="JPEG 2000 lossless of 4,280 × 3,520: CPU in full ÷ at half its resolution",
            reached=median(dearest.full) / median(dearest.half),
            unit="×",
            command=COMMAND,
            figures={
                "full": f"{1000 * median(dearest.full):.0f} ms",
                "half": f"{1000 * median(dearest.half):.0f} ms",
            },
        )
    ]
    if findings:
        rows.append(
            Row(
                section=Section.ANALYSE,
                name="findings that full and half resolution have in common, IoU ≥ 0.5",
                reached=matched / findings,
                unit="of all",
                target=1.0,
                command=COMMAND,
                figures={
                    "findings": str(findings),
                    "confidence": f"± {max(one.confidence for one in compared.values()):.3f}",
                },
                note="of those above the operating point of either; the other's confidence may lie 0.05 below it, as in"
                " the tests that a film of any size gives the same findings",
            )
        )
    return rows


def _decoders_table(decoded: Sequence[Decoded]) -> Table:
    rows = []
    for one in decoded:
        others = sorted(set(one.ways) - {"ours"}, key=lambda name: statistics.median(one.ways[name]))
        told = [
            f"{name} {1000 * statistics.median(one.ways[name]):.0f}{'' if name in one.exact else ' (not exact)'}"
            for name in others
        ]
        ratio = one.ratio()
        rows.append(
            (
                one.name,
                f"{1000 * statistics.median(one.ways['ours']):.0f}",
                ", ".join(told) or "none",
                "" if ratio is None else f"{ratio:.2f}",
            )
        )
    return Table(
        section=Section.ANALYSE,
        title="Decoding 2,500 × 3,000 pixels, ms",
        head=("transfer syntax", "ours", "others at hand", "best exact other ÷ ours"),
        rows=rows,
        note=f"12 bits in 16 unless it says otherwise; medians of {ROUNDS}, in turn. Exact: what was encoded, bit by "
        "bit; of a lossy syntax, what ours gives. pydicom: whichever decoder it takes by itself.",
    )


def _file_to_film(path: Path) -> tuple[float, float, float]:
    """Seconds from the request to the film in the parent; CPU seconds of child and parent."""
    request = DecodeRequest(path=path, arrived=date(2026, 1, 2), reduced=True)
    with Decoder(AnalyseSection(), SelectSection()) as decoder:
        for _ in range(3):
            decoder.decode(request)
        rounds = 4 * ROUNDS
        before, ours = cpu_seconds(decoder.pid), time.process_time()
        taken = [seconds(partial(decoder.decode, request)) for _ in range(rounds)]
        child, parent = cpu_seconds(decoder.pid) - before, time.process_time() - ours
    return statistics.median(taken), child / rounds, parent / rounds


def _pieces(path: Path, whole: float) -> Table:
    """Where the time of one uncompressed file goes, each piece by itself."""
    dataset = pydicom.dcmread(path)
    layout = layout_of(dataset)
    film = film_from(dataset)
    raw, spare = cells(dataset, layout), np.empty_like(film.pixels)
    index = np.arange(1 << 16, dtype=np.uint16)
    pieces: dict[str, Callable[[], object]] = {
        "file to memory, and parsed": lambda: pydicom.dcmread(path)["PixelData"].value,
        "window's percentiles, every fourth row and column": lambda: np.bincount(
            raw[::4, ::4].ravel(), minlength=1 << 16
        ),
        "looked up: Modality LUT, VOI, presentation, as one table": lambda: film_from(dataset),
        "(by numpy's own indexing, as it was)": lambda: index[raw],
        "SHA-256 of the picture": lambda: sha256(film.pixels.data).digest(),
        "one copy of the film, for comparison": lambda: np.copyto(spare, film.pixels),
    }
    rows = [
        (name, f"{1000 * statistics.median(seconds(work) for _ in range(ROUNDS + 2)):.1f}")
        for name, work in pieces.items()
    ]
    return Table(
        section=Section.ANALYSE,
        title="An uncompressed file of 2,500 × 3,000 to the film in the parent, ms",
        head=("piece", "ms"),
        rows=[*rows, ("from the request to the film in the parent", f"{1000 * whole:.1f}")],
        note="pieces by themselves, medians; what is left over is the way through the socket",
    )


def _passes() -> Table:
    """Counted in the code: how often each octet of an uncompressed picture is read or written."""
    return Table(
        section=Section.ANALYSE,
        title="Octets touched for each octet of an uncompressed picture, from the spool file to network and encoder",
        head=("step", "before", "now", "now, of 4,096 pixels and more"),
        rows=[
            ("child: file into memory", "2", "2", "2"),
            ("child: window's percentiles, each sixteenth pixel", "0.1", "0.1", "0.1"),
            ("child: looked up (before: with an index of 8 octets a pixel)", "10", "2", "2"),
            ("child: digest", "1", "1", "1"),
            ("child: means of four", "–", "–", "1.3"),
            ("child to parent: into the socket and out of it", "4", "4", "1"),
            ("parent: brought down for the network", "1", "1", "0.3"),
            ("parent to encoder: cleared, into the socket and out of it", "5", "4", "1"),
            ("encoder: 8 bits, brought down for the Secondary Capture", "2", "2", "0.5"),
            ("in all", "25.1", "16.1", "9.2"),
        ],
        note="the last column: full decode of a syntax that holds no lower resolution; where one is decoded alone, all "
        "but the first row are a quarter of the middle column",
    )


if __name__ == "__main__":
    sys.exit(alone(run))
