"""The picture of a result: the film as it is, outlines around what was found, words below the anatomy."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.colour import colour_of
from dicom_node.encode.overlay import footer_lines, render_overlay
from dicom_node.encode.profiles import PROFILES
from tests.encode.sources import ALL, CONTEXT, UIDS, encode, film, finding, full, header, read, source

WORDS = footer_lines(CONTEXT, marks=1)


def disc(row: int, column: int, radius: int, **values: float) -> Finding:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return finding(row - radius, column - radius, mask=y * y + x * x <= radius * radius, **values)


def grey(rows: int, columns: int, value: int = 30_000) -> NDArray[np.uint16]:
    return np.full((rows, columns), value, np.uint16)


def touched(picture: NDArray[np.uint8], clean: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the marks are."""
    assert picture.shape == clean.shape
    return np.asarray(picture != clean)


def test_the_outline_runs_around_the_region_and_leaves_it_free() -> None:
    pixels, one = grey(1500, 1200), disc(700, 500, 90, confidence=0.7)
    picture, clean = render_overlay(pixels, [one], WORDS), render_overlay(pixels, [], WORDS)
    marks = touched(picture, clean)
    scale = picture.shape[1] / 1200
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]] / scale
    radius = np.hypot(y - 700.5, x - 500.5)
    # nothing on the finding, a closed ring around it, and beyond that no more than the label above
    assert not marks[radius < 89].any()
    assert marks[(radius > 91) & (radius < 98)].mean() > 0.5
    bearing = np.arctan2(y - 700.5, x - 500.5)
    ring = (radius > 90) & (radius < 99)
    for sector in np.linspace(-np.pi, np.pi, 90, endpoint=False):
        here = ring & (bearing >= sector) & (bearing < sector + np.pi / 45)
        assert picture[here].max() > 240
        assert picture[here].min() < 15
    assert not marks[(radius > 100) & (y > 620)].any()


@pytest.mark.parametrize("value", [0, 20_000, 65_535])
def test_a_light_line_beside_a_dark_one_is_seen_on_any_film(value: int) -> None:
    pixels, one = grey(900, 800, value), disc(400, 300, 60)
    picture = render_overlay(pixels, [one], WORDS)
    clean = render_overlay(pixels, [], WORDS)
    row = round(400.5 * picture.shape[1] / 800)
    difference = picture[row].astype(int) - clean[row].astype(int)
    assert np.abs(difference).max() > 100


def test_in_colour_the_film_stays_grey_and_each_mark_has_a_colour_of_its_own() -> None:
    pixels = grey(900, 800)
    pair = [disc(300, 250, 60, confidence=0.9), disc(600, 550, 60, confidence=0.8)]
    plain, colour = (render_overlay(pixels, pair, WORDS, colour=wanted) for wanted in (False, True))
    assert colour.shape == (*plain.shape, 3)
    tinted = (colour != colour[..., :1]).any(-1)
    film_alone = ~tinted & ~touched(plain, render_overlay(pixels, [], WORDS))
    assert film_alone.mean() > 0.95
    assert np.array_equal(colour[film_alone], np.repeat(plain[film_alone, None], 3, axis=1))
    # what is white on grey monitors is in the finding's own colour, the dark line stays dark
    scale = plain.shape[1] / 800
    y, x = np.mgrid[0 : plain.shape[0], 0 : plain.shape[1]] / scale
    for number, (row, column) in enumerate(((300.5, 250.5), (600.5, 550.5)), start=1):
        ring = np.abs(np.hypot(y - row, x - column) - 65) < 6
        assert (colour[ring & (plain == 255)] == colour_of(number).rgb).all()
        assert (ring & (plain == 255)).sum() > 50
    assert np.array_equal(*(render_overlay(pixels, [], WORDS, colour=True)[..., channel] for channel in (0, 2)))


@pytest.mark.parametrize(
    "one",
    [
        finding(0, 0, 1, 1),
        finding(899, 799, 1, 1),
        finding(450, 400, 1, 1),
        finding(0, 0, 900, 800),
        finding(890, 0, 10, 800),
        finding(450, 0, 1, 800),
    ],
    ids=["corner", "other corner", "one pixel", "all", "strip", "line"],
)
def test_no_finding_is_without_a_visible_mark(one: Finding) -> None:
    pixels = grey(900, 800)
    nothing = replace(one, mask=np.zeros_like(one.mask))
    picture, clean = render_overlay(pixels, [one], WORDS), render_overlay(pixels, [], WORDS)
    assert touched(picture, clean).sum() > 250
    assert np.rint(picture[touched(picture, clean)]).max() == 255
    assert render_overlay(pixels, [nothing], WORDS).shape == picture.shape


def test_numbers_avoid_each_other_and_the_regions() -> None:
    pixels = grey(1000, 1000)
    pair = [disc(500, 470, 40, confidence=0.9), disc(440, 500, 40, confidence=0.8)]
    picture, clean = render_overlay(pixels, pair, WORDS), render_overlay(pixels, [], WORDS)
    marks = touched(picture, clean)
    scale = picture.shape[1] / 1000
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]] / scale
    for one in pair:
        row, column = one.mask_origin[0] + 40.5, one.mask_origin[1] + 40.5
        other = next(o for o in pair if o is not one)
        own = np.hypot(y - row, x - column) < 38
        ring = np.abs(np.hypot(y - other.mask_origin[0] - 40.5, x - other.mask_origin[1] - 40.5) - 44) < 8
        assert not marks[own & ~ring].any()


@given(rows=st.integers(1, 300), columns=st.integers(1, 300), data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_size_and_any_mask_gives_a_picture(rows: int, columns: int, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
    seed = data.draw(st.integers(0, 9))
    mask = np.random.default_rng(seed).random((height, width)) < data.draw(st.sampled_from((0.02, 0.5, 1.0)))
    origin = data.draw(st.integers(0, rows - height)), data.draw(st.integers(0, columns - width))
    aspect = data.draw(st.sampled_from((0.2, 1.0, 5.0)))
    picture = render_overlay(film(rows, columns), [finding(*origin, mask=mask)], WORDS, pixel_aspect=aspect)
    assert picture.dtype == np.uint8
    assert 400 <= max(picture.shape) <= 2048


@pytest.mark.parametrize("shape", [(3000, 2500), (2500, 3000), (4300, 3500), (2048, 2048), (1000, 900), (64, 48)])
def test_the_film_stands_upright_whole_and_in_proportion(shape: tuple[int, int]) -> None:
    pixels = film(*shape)
    picture = render_overlay(pixels, [], WORDS)
    assert max(picture.shape) <= 2048
    anatomy = picture[: anatomy_rows(picture)]
    assert anatomy.shape[0] / anatomy.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.005)
    # darkest at the top left, brightest at the bottom right, as the film is
    assert anatomy[0, 0] <= 2
    assert anatomy[-1, -1] >= 253
    assert np.all(np.diff(anatomy[::64, 5].astype(int)) >= 0)
    assert np.all(np.diff(anatomy[5, ::64].astype(int)) >= 0)


def test_marks_stand_in_their_place_on_a_film_of_a_lower_resolution() -> None:
    y, x = np.mgrid[0:4400, 0:3600]
    pixels = ((x + y) * 8).astype(np.uint16)
    half = pixels.reshape(2200, 2, 1800, 2).mean(axis=(1, 3)).astype(np.uint16)
    found = [disc(1200, 900, 150), disc(2600, 2400, 80), disc(2700, 2500, 90)]
    whole = render_overlay(pixels, found, WORDS, colour=True)
    less = render_overlay(half, found, WORDS, film_shape=pixels.shape, colour=True)
    assert whole.shape == less.shape
    assert np.abs(whole.astype(int) - less.astype(int)).max() <= 2


def anatomy_rows(picture: NDArray[np.uint8]) -> int:
    """The first row of the footer: its rule, one grey from edge to edge."""
    return int(np.flatnonzero((picture == 90).all(1))[0])


def test_the_footer_lies_below_the_anatomy() -> None:
    picture = render_overlay(grey(900, 800, 65_535), [], WORDS)
    start = anatomy_rows(picture)
    assert (picture[:start] == 255).all()
    footer = picture[start + 1 :]
    assert footer[:, 0].max() == 0
    assert (footer > 150).sum() > 500


def test_pixels_that_are_not_square_are_shown_square() -> None:
    picture = render_overlay(grey(500, 1000, 65_535), [], WORDS, pixel_aspect=2)
    rows = anatomy_rows(picture)
    columns = int((picture[10] == 255).sum())
    assert rows / columns == pytest.approx(1, abs=0.01)


def test_what_is_not_film_is_black() -> None:
    valid = np.ones((900, 800), np.bool_)
    valid[:, 400:] = False
    picture = render_overlay(grey(900, 800, 65_535), [], WORDS, film_valid=valid)
    half = picture.shape[1] // 2
    assert picture[100, : half - 5].min() == 255
    assert picture[100, half + 5 :].max() == 0


def test_what_the_footer_says() -> None:
    disclaimer, model, count = footer_lines(CONTEXT, marks=2)
    assert disclaimer == "RESEARCH USE ONLY - not for diagnosis"
    assert model == "chexnode 0.1.0, model probe 1.2.3 (a1a1a1a1), threshold 0.25"
    assert count.startswith("2 abnormal regions marked")
    assert footer_lines(CONTEXT, marks=0)[2] == "no abnormal region marked"
    assert "4 less confident not shown" in footer_lines(replace(CONTEXT, not_shown=4), marks=10)[2]


def test_no_word_about_the_patient_reaches_the_pixels() -> None:
    one, other = header(full()), header(full(PatientID="Z-9", AccessionNumber="Z-8", InstanceNumber=77))
    other.StudyDate = "19990909"
    for profile, kind in ALL:
        if kind in (Kind.SC, Kind.SEG):
            assert read(encode(kind, profile, of=one)).PixelData == read(encode(kind, profile, of=other)).PixelData


@pytest.mark.parametrize("profile", [profile for profile, kind in ALL if kind is Kind.SC])
def test_what_the_secondary_capture_says(profile: Profile) -> None:
    original = full("DX", PatientOrientation=["R", "F"])
    result = read(encode(Kind.SC, profile, of=header(original)))
    assert result.SOPClassUID == SecondaryCaptureImageStorage
    assert (result.BitsAllocated, result.BitsStored) == (8, 8)
    if PROFILES[profile].sc_colour:
        assert (result.PhotometricInterpretation, result.PlanarConfiguration) == ("RGB", 0)
        assert result.pixel_array.shape == (result.Rows, result.Columns, 3)
        # both belong to grey pictures alone
        assert "WindowCenter" not in result
        assert "PresentationLUTShape" not in result
    else:
        assert result.PhotometricInterpretation == "MONOCHROME2"
        assert result.pixel_array.shape == (result.Rows, result.Columns)
        assert (result.WindowCenter, result.WindowWidth) == (128, 256)
    assert result.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert (result.BurnedInAnnotation, result.Modality, result.ConversionType) == ("NO", "OT", "WSD")
    assert result.PatientOrientation == ["R", "F"]
    assert result.SeriesDescription == CONTEXT.sc_description
    (reference,) = result.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == UIDS["SOPInstanceUID"]
    assert reference.ReferencedSOPClassUID == original.SOPClassUID
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert result.ReferencedSeriesSequence[0].SeriesInstanceUID == UIDS["SeriesInstanceUID"]
    # not to be measured on, in no place of the patient, in a series that later images join
    for absent in ("PixelSpacing", "ImagerPixelSpacing", "FrameOfReferenceUID", "SeriesDate", "SeriesTime"):
        assert absent not in result


def test_an_orientation_that_is_none_is_not_guessed() -> None:
    for odd in (["L", "X"], ["A"], None):
        result = read(encode(Kind.SC, of=header(source(PatientOrientation=odd))))
        assert result["PatientOrientation"].is_empty


def test_a_study_without_findings_has_a_deliberate_result() -> None:
    result = read(encode(Kind.SC, findings=()))
    assert result.pixel_array.max() == 255


@pytest.mark.parametrize(
    ("attributes", "aspect"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, 2),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": [2, 1]}, 2),
        ({"ImagerPixelSpacing": [0.1, 0.1], "PixelAspectRatio": [2, 1]}, 1),
        ({"ImagerPixelSpacing": [0, 0]}, 1),
        ({"ImagerPixelSpacing": [0.0000001, 0.2]}, 1),
    ],
)
def test_the_aspect_ratio_is_the_sources(attributes: dict[str, object], aspect: float) -> None:
    result = read(encode(Kind.SC, of=header(source(**attributes)), pixels=grey(300, 300, 65_535), findings=()))
    rows = anatomy_rows(result.pixel_array)
    assert rows / int((result.pixel_array[10] == 255).sum()) == pytest.approx(aspect, abs=0.02)
