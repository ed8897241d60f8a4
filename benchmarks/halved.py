"""Large films decoded in full and at half their resolution: what it saves, and that findings do not change."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, JPEG2000, UID, ExplicitVRLittleEndian, HTJ2KLossless, JPEG2000Lossless, JPEGBaseline8Bit

from benchmarks.codecs import NAMES
from benchmarks.films import abnormal
from benchmarks.measure import Tell
from benchmarks.record import Section, Table
from dicom_node.analyse.answer import ENOUGH
from model.contract import Film, Prediction, Predictor
from model.film import film_from
from model.reduced import brought_down
from tests.conftest import DATA
from tests.datasets import chest
from training.datalist import Status, iou, read_nih
from training.dataset import open_film

#: rows and columns of a detector of 43 × 35 cm with pixels of 0.1 mm
DETECTOR = (4280, 3520)
#: a confidence this close to the operating point may fall on either side of it
AT_THE_POINT = 0.05
#: bits, and the encoder of each syntax; imagecodecs writes HTJ2K of 8 and 16 bits only
ENCODERS: dict[UID, tuple[int, Callable[[NDArray[np.uint16]], bytes | bytearray]]] = {
    ExplicitVRLittleEndian: (12, lambda values: values.tobytes()),
    JPEGBaseline8Bit: (8, lambda values: imagecodecs.jpeg8_encode(values.astype(np.uint8), level=95)),
    JPEG2000Lossless: (
        12,
        lambda values: imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, bitspersample=12),
    ),
    JPEG2000: (12, lambda values: imagecodecs.jpeg2k_encode(values, codecformat="j2k", level=45, bitspersample=12)),
    HTJ2KLossless: (16, lambda values: imagecodecs.htj2k_encode(values, reversible=True)),
    HTJ2K: (16, lambda values: imagecodecs.htj2k_encode(values, level=0.002, reversible=False)),
}


@dataclass(kw_only=True)
class Compared:
    """One syntax: full against half."""

    films: int = 0
    #: CPU seconds of each film, in full (and then brought down) and at half its resolution
    full: list[float] = field(default_factory=list)
    half: list[float] = field(default_factory=list)
    #: findings above the operating point on either, and those that the other has too, at IoU ≥ 0.5
    findings: int = 0
    matched: int = 0
    #: the largest differences; of a finding that the other has not at all: 1
    confidence: float = 0.0
    score: float = 0.0


def compare(predictor: Predictor, films: int, tell: Tell) -> dict[UID, Compared]:
    """Each syntax over the same `films` large chests: a synthetic one, and real ones."""
    pictures = large_chests(films)
    compared = {syntax: Compared() for syntax in ENCODERS}
    for number, picture in enumerate(pictures, start=1):
        for syntax, found in compared.items():
            tell(f"{NAMES[syntax]} at half its resolution, film {number} of {len(pictures)}")
            dataset = _coded(picture, syntax)
            full, seconds = _timed(partial(film_from, dataset))
            _, more = _timed(partial(brought_down, full, ENOUGH))
            half, less = _timed(partial(_half, dataset))
            found.full.append(seconds + more)
            found.half.append(less)
            of_full, of_half = predictor.predict([full, half])
            _note(found, of_full, of_half, predictor.manifest.operating_point)
    return compared


def large_chests(films: int) -> list[NDArray[np.float64]]:
    """Pictures of DETECTOR's size, 0 to 1, with the grain of a detector: films with findings where they are at hand."""
    chests = [abnormal().pixels / float((1 << 12) - 1)]
    if (DATA / "nih").is_dir():
        known = [one for one in read_nih(DATA / "nih") if one.status is Status.LOCALISED and one.split == "val"]
        known.sort(key=lambda one: -one.width)
        chests += [open_film(one).pixels / 65535.0 for one in known[: films - 1]]
    grain = np.random.default_rng(4280).normal(0, 0.004, DETECTOR).astype(np.float32)
    return [np.clip(_enlarged(one) + grain, 0, 1) for one in chests[:films]]


def findings_table(compared: dict[UID, Compared]) -> Table:
    """What full and half found."""
    return Table(
        section=Section.ANALYSE,
        title=f"Films of {DETECTOR[0]:,} × {DETECTOR[1]:,} brought to the model in full and at half their resolution",
        head=("syntax", "full, CPU ms", "half, CPU ms", "×", "films", "findings", "matched", "confidence", "score"),
        rows=[
            (
                NAMES[syntax],
                f"{1000 * median(one.full):.0f}",
                f"{1000 * median(one.half):.0f}",
                f"{median(one.full) / median(one.half):.1f}",
                str(one.films),
                str(one.findings),
                str(one.matched),
                f"± {one.confidence:.3f}",
                f"± {one.score:.3f}",
            )
            for syntax, one in compared.items()
        ],
        note="full: decoded, looked up and brought down; half: decoded no further where the syntax allows. Findings "
        "above the operating point of either, those that the other has too (IoU ≥ 0.5, confidence at most "
        f"{AT_THE_POINT} below the point), largest differences.",
    )


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return float(np.median(values))


def _coded(picture: NDArray[np.float64], syntax: UID) -> Dataset:
    bits, encode = ENCODERS[syntax]
    values = np.rint(picture * ((1 << bits) - 1)).astype(np.uint16)
    dataset = chest(
        BitsAllocated=8 if bits == 8 else 16,
        BitsStored=bits,
        HighBit=bits - 1,
        WindowCenter=1 << (bits - 1),
        WindowWidth=1 << bits,
    )
    dataset.Rows, dataset.Columns = values.shape
    stream = bytes(encode(values))
    dataset.PixelData = stream if syntax == ExplicitVRLittleEndian else encapsulate([stream])
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _enlarged(shown: NDArray[np.float64]) -> NDArray[np.float32]:
    rows, columns = DETECTOR
    picture = Image.fromarray(shown.astype(np.float32)).resize((columns, rows), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def _half(dataset: Dataset) -> Film:
    return brought_down(film_from(dataset, enough=ENOUGH), ENOUGH)


def _timed(work: Callable[[], Film]) -> tuple[Film, float]:
    started = time.process_time()
    film = work()
    return film, time.process_time() - started


def _note(found: Compared, full: Prediction, half: Prediction, point: float) -> None:
    found.films += 1
    found.score = max(found.score, abs(full.score - half.score))
    for one, other in ((full, half), (half, full)):
        for finding in one.candidates:
            if finding.confidence < point:
                continue
            found.findings += 1
            same = [it for it in other.candidates if iou(it.box, finding.box) >= 0.5]
            found.matched += any(it.confidence >= point - AT_THE_POINT for it in same)
            closest = min((abs(it.confidence - finding.confidence) for it in same), default=1.0)
            found.confidence = max(found.confidence, closest)


def real_films_missing() -> str | None:
    """What to say where there are no real chests."""
    return None if Path(DATA / "nih").is_dir() else f"findings on real films at half their resolution: none at {DATA}"
