"""The synthetic films: deterministic, full size, complete, and what is planted can be seen."""

import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.demo.chest import BITS, FILM, Radiograph, chest
from dicom_node.demo.dx import Visit, data_set
from dicom_node.demo.hand import hand
from dicom_node.demo.opacities import Opacity, Side, Wish

SEED = 11
WISHES = (
    Wish(kind=Opacity.CONSOLIDATION, side=Side.RIGHT, height=0.62, size=95),
    Wish(kind=Opacity.MASS, side=Side.LEFT, height=0.35, size=50),
    Wish(kind=Opacity.EFFUSION, side=Side.LEFT, size=40),
)


@pytest.fixture(scope="module")
def clean() -> Radiograph:
    return chest(SEED)


@pytest.fixture(scope="module")
def abnormal() -> Radiograph:
    return chest(SEED, WISHES)


def _visit(body_part: str) -> Visit:
    return Visit(
        number=1,
        family_name="Abnormal",
        body_part=body_part,
        study_description=f"{body_part} PA",
        taken_at=datetime(2026, 3, 1, 9, 30).astimezone(),
    )


def test_a_film_has_full_size_and_twelve_bits(clean: Radiograph) -> None:
    assert clean.pixels.dtype == np.uint16
    assert min(clean.pixels.shape) >= 2000
    assert clean.pixels.shape == (FILM.size, FILM.size)
    assert int(clean.pixels.max()) < 2**BITS
    assert len(np.unique(clean.pixels)) > 2**BITS // 2, "the film does not use its bits"


def test_the_same_seed_draws_the_same_film_and_another_seed_another(clean: Radiograph) -> None:
    assert np.array_equal(chest(SEED).pixels, clean.pixels)
    other = chest(SEED + 1)
    assert np.mean(other.pixels != clean.pixels) > 0.5


def test_a_clean_film_has_nothing_planted(clean: Radiograph) -> None:
    assert clean.planted == ()


def test_every_wish_is_planted_where_its_box_says(clean: Radiograph, abnormal: Radiograph) -> None:
    assert [p.kind for p in abnormal.planted] == [wish.kind for wish in WISHES]
    for planted, wish in zip(abnormal.planted, WISHES, strict=True):
        x0, y0, x1, y1 = (int(v) for v in planted.box)
        assert 0 <= x0 < x1 <= FILM.size
        assert 0 <= y0 < y1 <= FILM.size
        assert ((x0 + x1) / 2 < FILM.size / 2) == (wish.side is Side.RIGHT), "the picture's left is the patient's right"
        inside = (slice(y0 + (y1 - y0) // 4, y1 - (y1 - y0) // 4), slice(x0 + (x1 - x0) // 4, x1 - (x1 - x0) // 4))
        before, after = clean.pixels[inside].mean(), abnormal.pixels[inside].mean()
        assert after > before + 0.08 * 2**BITS, f"{planted.kind}: {before:.0f} before, {after:.0f} after"


def test_an_opacity_is_brighter_than_the_lung_around_it(abnormal: Radiograph) -> None:
    mass = next(planted for planted in abnormal.planted if planted.kind is Opacity.MASS)
    x0, y0, x1, y1 = (int(v) for v in mass.box)
    half = (x1 - x0) // 4
    middle = abnormal.pixels[y0 + half : y1 - half, x0 + half : x1 - half]
    above = abnormal.pixels[y0 - 2 * half : y0 - half // 2, x0 + half : x1 - half]
    assert np.median(middle) > np.median(above) + 0.05 * 2**BITS


def test_wishes_leave_the_rest_of_the_person_alone(clean: Radiograph, abnormal: Radiograph) -> None:
    neck = (slice(0, 250), slice(900, 1500))
    assert np.abs(clean.pixels[neck].astype(int) - abnormal.pixels[neck]).max() <= 8


def test_an_opacity_outside_the_lung_is_refused() -> None:
    with pytest.raises(ValueError, match="no lung"):
        chest(SEED, [Wish(kind=Opacity.MASS, side=Side.LEFT, height=1.7, size=30)])


@pytest.mark.parametrize("part", ["CHEST", "HAND"])
def test_the_headers_are_a_valid_dx_image_of_somebody_synthetic(part: str, clean: Radiograph, tmp_path: Path) -> None:
    film = clean if part == "CHEST" else hand(3)
    path = tmp_path / "film.dcm"
    data_set(film, _visit(part)).save_as(path, enforce_file_format=True)
    ds = dcmread(path)
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1"
    assert (ds.BodyPartExamined, ds.ViewPosition) == (part, "PA")
    assert ds.ViewCodeSequence[0].CodeMeaning == "postero-anterior"
    assert "Synthetic" in str(ds.PatientName)
    assert str(ds.PatientID).startswith("SYNTHETIC")
    assert (ds.BitsAllocated, ds.BitsStored) == (16, 12)
    assert np.array_equal(ds.pixel_array, film.pixels)
    if validator := shutil.which("dciodvfy"):
        said = subprocess.run([validator, "-new", path], capture_output=True, text=True, check=False).stderr
        assert "DXImageForPresentation" in said
        assert "Error" not in said, said


def test_one_uid_never_has_two_contents(clean: Radiograph) -> None:
    morning = data_set(clean, _visit("CHEST"))
    again = data_set(clean, _visit("CHEST"))
    assert morning == again
    later = data_set(
        clean,
        Visit(
            number=1,
            family_name="Abnormal",
            body_part="CHEST",
            study_description="CHEST PA",
            taken_at=datetime(2026, 3, 1, 9, 31).astimezone(),
        ),
    )
    assert later.SOPInstanceUID != morning.SOPInstanceUID
    assert later.StudyInstanceUID != morning.StudyInstanceUID
