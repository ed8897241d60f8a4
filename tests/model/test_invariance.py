"""The same film gives the same findings, whatever its size, depth and VOI LUT: real films, as real DICOM files."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from torch.nn import functional

from model.contract import Film, Prediction, Predictor
from model.film import film_from
from model.predictor import load_predictor
from training.datalist import Example, Status, iou, read_nih
from training.dataset import open_film

pytestmark = [pytest.mark.timeout(280), pytest.mark.data]

#: films of 512 px with findings, and normal ones
ABNORMAL, NORMAL = 10, 3
#: a confidence this close to the operating point may fall on either side of it
AT_THE_POINT = 0.05


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load_predictor(device="cpu", threads=1)


@pytest.fixture(scope="module")
def films(data: Path, predictor: Predictor) -> list[tuple[Film, Prediction]]:
    """Films as their publisher gives them, and what is found on them."""
    films = [open_film(example) for example in chosen(data)]
    return list(zip(films, predictor.predict(films), strict=True))


def chosen(data: Path) -> list[Example]:
    """Films with findings, then normal ones."""
    examples = [e for e in read_nih(data / "nih") if e.split == "val" and e.width == 512]
    counts = ((Status.LOCALISED, ABNORMAL), (Status.NORMAL, NORMAL))
    return [e for status, count in counts for e in [e for e in examples if e.status is status][:count]]


def scaled(film: Film, side: int) -> NDArray[np.float64]:
    """The film at another size, 0 to 1."""
    grey = torch.from_numpy(film.pixels.astype(np.float64))[None, None]
    mode = "bilinear" if side < film.pixels.shape[0] else "bicubic"
    picture = functional.interpolate(grey, (side, side), mode=mode, antialias=side < film.pixels.shape[0])
    shown: NDArray[np.float64] = picture[0, 0].numpy().clip(0, 65535) / 65535
    return shown


def stored(shown: NDArray[np.float64], path: Path, *, bits: int, lut: bool) -> Path:
    """A film as DX that shows `shown`: as its stored values, or through a VOI LUT that undoes a logarithm."""
    most = (1 << bits) - 1
    values = np.log1p(shown * 15) / np.log(16) if lut else shown
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PresentationIntentType = "DX", "FOR PRESENTATION"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.PresentationLUTShape = "IDENTITY"
    allocated = 8 if bits == 8 else 16
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    dataset.PixelData = np.rint(values * most).astype(f"<u{allocated // 8}").tobytes()
    if lut:
        table = np.rint((16 ** (np.arange(most + 1) / most) - 1) / 15 * 65535).astype("<u2")
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [most + 1, 0, 16])
        item.add_new("LUTData", "OW", table.tobytes())
        dataset.VOILUTSequence = Items([item])
    pydicom.dcmwrite(path, dataset)
    return path


def fractions(prediction: Prediction, film: Film, threshold: float) -> list[list[float]]:
    rows, columns = film.pixels.shape
    return [
        [edge / side for edge, side in zip(candidate.box, (columns, rows, columns, rows), strict=True)]
        for candidate in prediction.candidates
        if candidate.confidence >= threshold
    ]


def best_matches(
    predictor: Predictor, one: tuple[Film, Prediction], other: tuple[Film, Prediction], slack: float
) -> list[float]:
    """For each finding of one above the operating point the best IoU with one of the other, `slack` below it."""
    point = predictor.manifest.operating_point
    there = fractions(other[1], other[0], point - slack)
    return [max((iou(box, match) for match in there), default=0.0) for box in fractions(one[1], one[0], point)]


VERSIONS = [
    (512, 8, False),
    (512, 12, True),
    (1024, 8, True),
    (1024, 12, False),
    (2500, 8, False),
    (2500, 12, True),
]


@pytest.mark.parametrize(("side", "bits", "lut"), VERSIONS)
def test_the_same_findings(
    predictor: Predictor, films: list[tuple[Film, Prediction]], tmp_path: Path, side: int, bits: int, lut: bool
) -> None:
    exact: list[float] = []
    for number, (film, said) in enumerate(films):
        written = stored(scaled(film, side), tmp_path / f"{number}.dcm", bits=bits, lut=lut)
        version = film_from(pydicom.dcmread(written))
        assert version.pixels.shape == (side, side)
        again = predictor.predict([version])[0]
        for one, other in (((film, said), (version, again)), ((version, again), (film, said))):
            assert min(best_matches(predictor, one, other, AT_THE_POINT), default=1.0) >= 0.5, number
            exact += best_matches(predictor, one, other, 0.0)
        assert again.score == pytest.approx(said.score, abs=0.05)
        assert (again.frontal_chest >= predictor.manifest.gate) == (said.frontal_chest >= predictor.manifest.gate)
    assert len(exact) >= 2 * ABNORMAL
    # but for the few whose confidence lies at the point itself
    assert np.mean(np.array(exact) >= 0.5) > 0.9
