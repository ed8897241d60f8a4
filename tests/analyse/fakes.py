"""A predictor without a network: bright squares are abnormal, and lungs are darker than what lies between them.

And an encoder without a process, for a process takes seconds to start.
"""

import threading
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from dicom_node.analyse.encoder import Maker
from dicom_node.analyse.encoders import kept_of
from dicom_node.analyse.order import Kept, Order
from dicom_node.spool import Spool
from model.contract import Candidate, Film, Manifest, ModelError, Prediction

MANIFEST = Manifest(
    name="threshold",
    version="1",
    digest="f" * 64,
    weights_sha256="0" * 64,
    family=("123110", "DCM", "Artificial Intelligence"),
    operating_point=0.5,
    validated_range=(0.3, 0.8),
    floor=0.05,
    gate=0.5,
    input_size=64,
)


class EncodesHere:
    """What an encoder's process does, in the thread that asks."""

    def __init__(self, spool: Spool) -> None:
        self._maker = Maker(spool)

    def encode(self, order: Order) -> Kept:
        return kept_of(self._maker.answer(order))


class ThresholdPredictor:
    """What is at least 62,000 bright is abnormal. Remembers its batches."""

    manifest = MANIFEST

    def __init__(self, *, broken: bool = False, gate: bool = True) -> None:
        self.broken = broken
        self.gate = gate
        self.batches: list[int] = []
        #: calls that wait
        self.waiting = 0
        #: cleared: predict() waits
        self.go = threading.Event()
        self.go.set()

    def predict(self, films: Sequence[Film]) -> list[Prediction]:
        self.waiting += 1
        assert self.go.wait(20)
        self.waiting -= 1
        self.batches.append(len(films))
        if self.broken:
            raise ModelError("the device is gone")
        return [self._predict(film) for film in films]

    def _predict(self, film: Film) -> Prediction:
        labels, count = ndimage.label(film.pixels >= 62_000)
        candidates = []
        times = film.shape[0] // film.pixels.shape[0]
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels, count), start=1):
            mask = np.kron(labels[rows, columns] == number, np.ones((times, times), np.bool_))
            candidates.append(
                Candidate(
                    box=(times * columns.start, times * rows.start, times * columns.stop, times * rows.stop),
                    confidence=min(0.95, 0.3 + mask.size / 200),
                    mask_origin=(times * rows.start, times * columns.start),
                    mask=mask,
                )
            )
        candidates.sort(key=lambda candidate: -candidate.confidence)
        return Prediction(
            score=0.9 if candidates else 0.1,
            frontal_chest=1.0 if _has_lungs(film) or not self.gate else 0.0,
            candidates=tuple(candidates),
        )


def _has_lungs(film: Film) -> bool:
    rows, columns = film.pixels.shape
    line = film.pixels[rows // 2].astype(np.float64)
    lungs = np.concatenate([line[columns // 5 : columns // 3], line[-columns // 3 : -columns // 5]])
    return float(lungs.mean()) < float(line[columns * 9 // 20 : columns * 11 // 20].mean())
