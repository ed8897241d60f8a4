"""The packaged model on real films: it marks, it declines, and says the same whatever a film's size and depth."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from torch.nn import functional

from model import predictor as module
from model.contract import Candidate, Film, ModelError, Prediction, Predictor
from model.film import film_from
from model.fusion import Boxes
from model.predictor import load_predictor
from training.datalist import Status, iou, read_nih
from training.dataset import open_film, open_picture

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load_predictor(device="cpu", threads=1)


def real(data: Path, name: str) -> Film:
    return film_from(pydicom.dcmread(data / "dicom" / f"{name}.dcm", force=True))


def resized(film: Film, side: int) -> Film:
    grey = torch.from_numpy(film.pixels.astype(np.float32))[None, None]
    scaled = functional.interpolate(grey, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return Film(pixels=scaled[0, 0].numpy().round().clip(0, 65535).astype(np.uint16))


def shown(prediction: Prediction, threshold: float) -> list[Candidate]:
    return [candidate for candidate in prediction.candidates if candidate.confidence >= threshold]


def fractions(candidate: Candidate, film: Film) -> list[float]:
    rows, columns = film.pixels.shape
    return [edge / side for edge, side in zip(candidate.box, (columns, rows, columns, rows), strict=True)]


@pytest.mark.data
def test_the_masses_are_marked(data: Path, predictor: Predictor) -> None:
    film = real(data, "rg1_chest_mono1_jpegls_near")
    prediction = predictor.predict([film])[0]
    manifest = predictor.manifest
    assert prediction.frontal_chest >= manifest.gate
    assert prediction.score > 0.5
    marked = shown(prediction, manifest.operating_point)
    assert marked
    confidences = [candidate.confidence for candidate in prediction.candidates]
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[-1] >= manifest.floor
    for candidate in prediction.candidates:
        rows, columns = candidate.mask.shape
        top, left = candidate.mask_origin
        x0, y0, x1, y1 = candidate.box
        assert candidate.mask.any()
        assert int(x0) <= left
        assert int(y0) <= top
        assert left + columns <= np.ceil(x1)
        assert top + rows <= np.ceil(y1)


@pytest.mark.data
@pytest.mark.parametrize("name", ["siim_cr_pa_jpegbaseline", "nih_dx_implicitle_8bit", "cr_chest_mono1_10bit_440"])
def test_chests_pass_the_gate(data: Path, predictor: Predictor, name: str) -> None:
    assert predictor.predict([real(data, name)])[0].frontal_chest >= predictor.manifest.gate


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["neg_cr_hip_jpegls", "neg_cr_leg_mono1_rle", "neg_mg_voilut", "neg_rf_ercp", "siim_cr_fake_mono1"],
)
def test_what_is_no_upright_chest_is_declined(data: Path, predictor: Predictor, name: str) -> None:
    assert predictor.predict([real(data, name)])[0].frontal_chest < predictor.manifest.gate


@pytest.mark.data
def test_a_chest_that_is_turned_or_inverted_is_declined(data: Path, predictor: Predictor) -> None:
    upright = real(data, "siim_cr_pa_jpegbaseline").pixels
    wrong = [np.rot90(upright, 1), np.rot90(upright, 2), np.rot90(upright, 3), 65535 - upright, upright[::-1]]
    blank = np.full((500, 400), 30000, np.uint16)
    films = [Film(pixels=np.ascontiguousarray(pixels)) for pixels in [*wrong, blank]]
    assert [p.frontal_chest >= predictor.manifest.gate for p in predictor.predict(films)] == [False] * 6


@pytest.mark.data
def test_lateral_films_are_declined(data: Path, predictor: Predictor) -> None:
    """Headers often say nothing of a view; the gate was fitted on no lateral film."""
    films = [open_picture(path) for path in sorted((data / "lateral").glob("*.jpg"))]
    passed = [p.frontal_chest >= predictor.manifest.gate for p in predictor.predict(films)]
    assert len(films) == 4
    assert sum(passed) <= 1


@pytest.mark.data
def test_bedside_films_pass(data: Path, predictor: Predictor) -> None:
    """Those that the gate was not fitted on: rotated patients, tubes and lines."""
    films = [open_picture(path) for path in sorted((data / "hannover").glob("*.jpg"))[1::2][:40]]
    declined = [p.frontal_chest < predictor.manifest.gate for p in predictor.predict(films)]
    assert sum(declined) <= 1


@pytest.mark.data
def test_size_and_depth_change_no_finding(data: Path, predictor: Predictor) -> None:
    film = real(data, "rg1_chest_mono1_jpegls_near")
    versions = [resized(film, side) for side in (512, 1024, 2500)]
    versions += [Film(pixels=(v.pixels >> bits) << bits) for v, bits in zip(versions[1:], (8, 4), strict=True)]
    said = predictor.predict([film, *versions])
    point = predictor.manifest.operating_point
    for version, other in zip(versions, said[1:], strict=True):
        _same(said[0], film, other, version, point)
        _same(other, version, said[0], film, point)


def _same(one: Prediction, film: Film, other: Prediction, version: Film, point: float) -> None:
    """Every finding of `one` well above the point is in `other`."""
    for candidate in shown(one, point + 0.05):
        box = fractions(candidate, film)
        matches = [iou(box, fractions(match, version)) for match in shown(other, point - 0.05)]
        assert max(matches, default=0) >= 0.5, candidate.box


@pytest.mark.data
def test_better_than_chance_on_validation_films(data: Path, predictor: Predictor) -> None:
    examples = [e for e in read_nih(data / "nih") if e.split == "val" and e.width == 512]
    abnormal = [e for e in examples if e.status is Status.LOCALISED][:8]
    normal = [e for e in examples if e.status is Status.NORMAL][:8]
    scores = [p.score for p in predictor.predict([open_film(e) for e in abnormal + normal])]
    assert np.mean(scores[:8]) > np.mean(scores[8:]) + 0.3


def test_one_prediction_a_film_in_order(predictor: Predictor) -> None:
    rng = np.random.default_rng(0)
    films = [Film(pixels=rng.integers(0, 65535, (200, 150), dtype=np.uint16)) for _ in range(3)]
    together = predictor.predict(films)
    alone = [predictor.predict([film])[0] for film in films]
    assert [p.score for p in together] == pytest.approx([p.score for p in alone], abs=1e-4)
    assert predictor.predict([]) == []


def test_findings_are_counted_in_pixels_of_the_data_set(predictor: module.NetworkPredictor) -> None:
    """Also where the film shows it at a lower resolution."""
    boxes = Boxes(np.array([[0.2, 0.1, 0.6, 0.5]], np.float32), np.array([0.9], np.float32))
    reading = module.Reading(boxes, np.full((72, 72), 0.9, np.float32), 2.0, predictor._gate.mean.astype(np.float32))
    pixels = np.zeros((500, 400), np.uint16)
    for film, rows, columns in (
        (Film(pixels=pixels), 500, 400),
        (Film(pixels=pixels, native=(2000, 1600)), 2000, 1600),
    ):
        (candidate,) = predictor._predict(film, reading).candidates
        assert candidate.box == pytest.approx((0.2 * columns, 0.1 * rows, 0.6 * columns, 0.5 * rows))
        assert candidate.mask.shape == pytest.approx((0.4 * rows, 0.4 * columns), abs=2)


def test_threads_do_not_mix_their_films(predictor: Predictor) -> None:
    rng = np.random.default_rng(0)
    films = [Film(pixels=rng.integers(0, 65535, (120, 90), dtype=np.uint16)) for _ in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = [said[0] for said in pool.map(predictor.predict, [[film] for film in films])]
    assert [p.score for p in together] == pytest.approx([p.score for p in predictor.predict(films)], abs=1e-4)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown"):
        load_predictor(device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no usable GPU"):
            load_predictor(device="cuda")


def on(predictor: module.NetworkPredictor, reader: module.Reader, device: str = "cpu") -> module.NetworkPredictor:
    """The packaged model on a device that reads by `reader`."""
    other = module.NetworkPredictor(
        predictor._description, predictor._network, predictor._gate, predictor._looks, torch.device("cpu")
    )
    other._reader, other._device = reader, torch.device(device)
    return other


class ShortOfMemory:
    """A device that holds fewer than `fails_for` films at a time."""

    def __init__(self, reader: module.Reader, fails_for: int, error: Exception) -> None:
        self.reader, self.fails_for, self.error, self.sizes = reader, fails_for, error, list[int]()

    def __call__(self, films: Sequence[Film]) -> list[module.Reading]:
        self.sizes.append(len(films))
        if len(films) >= self.fails_for:
            raise self.error
        return self.reader(films)


FULL = [torch.OutOfMemoryError("out of memory"), MemoryError("out of memory")]


@pytest.mark.parametrize("error", FULL, ids=["torch", "numpy"])
def test_short_of_memory_the_batch_is_halved(predictor: module.NetworkPredictor, error: Exception) -> None:
    tight = ShortOfMemory(predictor._reader, 2, error)
    films = blank_films(4)
    assert len(on(predictor, tight).predict(films)) == 4
    assert tight.sizes == [4, 2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("error", FULL, ids=["torch", "numpy"])
def test_a_film_that_does_not_fit_the_gpu_is_read_by_the_cpu(
    predictor: module.NetworkPredictor, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    gpu = on(predictor, ShortOfMemory(predictor._reader, 1, error), "cuda")
    films = blank_films(3)
    assert [p.score for p in gpu.predict(films)] == pytest.approx([p.score for p in predictor.predict(films)], abs=1e-4)
    assert "CPU" in gpu.device_name
    assert "no memory for one film" in caplog.text


def test_a_gpu_that_fails_under_several_threads_is_left_once(
    predictor: module.NetworkPredictor, caplog: pytest.LogCaptureFixture
) -> None:
    together = threading.Barrier(3)

    def broken(films: Sequence[Film]) -> list[module.Reading]:
        together.wait(60)
        raise RuntimeError("an illegal memory access was encountered")

    gpu = on(predictor, broken, "cuda")
    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(gpu.predict, [blank_films(1)] * 3))
    assert [len(one) for one in said] == [1, 1, 1]
    assert caplog.text.count("going on with the CPU") == 1


def test_more_films_than_a_batch_keep_their_order(predictor: module.NetworkPredictor) -> None:
    """Batches of a GPU are under way together."""
    first = threading.Event()

    def reader(films: Sequence[Film]) -> list[module.Reading]:
        if len(films) < module.BUCKETS[-1]:
            first.set()
        else:
            first.wait(60)  # the last batch ends before the first
        return [one._replace(image=film.pixels.shape[0] / 100) for film in films]

    one = predictor._reader(blank_films(1))[0]
    films = [Film(pixels=np.zeros((64 + n, 64), np.uint16)) for n in range(module.BUCKETS[-1] + 3)]
    scores = [said.score for said in on(predictor, reader, "cuda").predict(films)]
    assert len(set(scores)) == len(films)
    assert scores == sorted(scores)


def test_a_film_that_does_not_fit_anywhere_is_a_model_error(predictor: module.NetworkPredictor) -> None:
    tight = on(predictor, ShortOfMemory(predictor._reader, 1, FULL[0]))
    with pytest.raises(ModelError, match="no memory"):
        tight.predict(blank_films(1))


def blank_films(count: int) -> list[Film]:
    return [Film(pixels=np.full((64, 64), value, np.uint16)) for value in range(count)]
