"""What a model is to those who use it: a manifest, and films in, predictions out. Needs numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class ModelError(Exception):
    """Weights or manifest that cannot be used; the message says which and why."""


class FilmError(Exception):
    """A data set from which no film can be made. `code` is stable and machine-readable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Film:
    """One radiograph as a radiologist sees it, in its native orientation."""

    #: (rows, columns) uint16, 0 = black as displayed, 65535 = white: bone is bright
    pixels: NDArray[np.uint16]
    #: (rows, columns), False where there is padding or a shutter; None: all of it is picture
    valid: NDArray[np.bool_] | None = None
    #: centre, width and VOI LUT Function of the window that it is displayed with (PS3.3 C.11.2.1.2), be it the data
    #: set's or one of ours; None: it is displayed through a VOI LUT of the data set
    window: tuple[float, float, str] | None = None
    #: Rows and Columns of the data set where `pixels` show it at a lower resolution; None: these are all of them
    native: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the data set: what boxes and masks of findings are counted in."""
        rows, columns = self.pixels.shape
        return (rows, columns) if self.native is None else self.native


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One region that looks abnormal, in pixels of the data set: x along columns, origin top left."""

    #: x0, y0, x1, y1; x1 and y1 are exclusive edges
    box: tuple[float, float, float, float]
    #: calibrated, 0..1
    confidence: float
    #: first row and first column of `mask` in the data set
    mask_origin: tuple[int, int]
    #: (rows, columns) of the smallest rectangle that holds the mask; never empty
    mask: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says of one film."""

    #: image-level abnormality, calibrated, 0..1
    score: float
    #: how much the film looks like an upright frontal chest, 0..1; below Manifest.gate it is declined
    frontal_chest: float
    #: by falling confidence, down to Manifest.floor
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The identity of a model: everything that changes what it says stands in here."""

    name: str
    version: str
    #: SHA-256 of the manifest file, which itself pins the SHA-256 of the weights; 64 hex digits
    digest: str
    #: SHA-256 of the weights file, 64 hex digits
    weights_sha256: str
    #: algorithm family of CID 7162 as (value, scheme, meaning): ("123110", "DCM", "Artificial Intelligence")
    family: tuple[str, str, str]
    #: confidence from which a candidate is shown
    operating_point: float
    #: the range in which a site may set the operating point
    validated_range: tuple[float, float]
    #: lowest confidence that is reported at all
    floor: float
    #: least Prediction.frontal_chest of a film that the model may read
    gate: float
    #: side of the square network input, pixels
    input_size: int


class Predictor(Protocol):
    """The seam between the node and a model; a test's fake is a function that thresholds."""

    @property
    def manifest(self) -> Manifest: ...

    def predict(self, films: Sequence[Film]) -> list[Prediction]:
        """One prediction a film, in order. Raises ModelError when the device fails for good."""
        ...
