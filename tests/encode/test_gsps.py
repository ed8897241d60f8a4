"""The presentation state: the film as it was shown, with the mask's own edges on it, in layers that can be put away."""

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, ImplicitVRLittleEndian

from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.builders import build
from dicom_node.encode.findings import united_mask
from dicom_node.encode.identity import header_of
from model.film import film_from
from tests.datasets import write
from tests.encode.sources import CONTEXT, UIDS, encode, film, finding, full, header, item, read, sent, source

PAIR = (finding(20, 10, confidence=0.8), finding(40, 30, 5, 5, confidence=0.3))


def state(*findings: Finding, of: Dataset | None = None, **arguments: Any) -> Dataset:
    return read(encode(Kind.GSPS, Profile.CLASSIC_PACS, of=of, findings=findings or PAIR, **arguments))


def drawn(annotation: Dataset) -> list[NDArray[np.float32]]:
    """The lines of one annotation: (points, 2) of column and row."""
    return [np.array(line.GraphicData, np.float32).reshape(-1, 2) for line in annotation.GraphicObjectSequence]


def filled(lines: list[NDArray[np.float32]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centre lies within the lines, by the even-odd rule."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    inside = np.zeros(shape, np.bool_)
    for line in lines:
        for (x0, y0), (x1, y1) in pairwise(line):
            if y0 != y1:
                inside ^= (y >= min(y0, y1)) & (y < max(y0, y1)) & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


def test_a_layer_a_finding_and_one_that_says_what_they_are() -> None:
    result = state()
    assert result.SOPClassUID == GrayscaleSoftcopyPresentationStateStorage
    assert (result.Modality, result.SeriesNumber) == ("PR", 9904)
    assert result.SeriesDescription == "AI RESEARCH chexnode presentation"
    assert result.ContentQualification == "RESEARCH"
    layers = [layer.GraphicLayer for layer in result.GraphicLayerSequence]
    assert layers == ["FINDING 1", "FINDING 2", "AI RESEARCH"]
    assert [layer.GraphicLayerOrder for layer in result.GraphicLayerSequence] == [1, 2, 3]
    assert [annotation.GraphicLayer for annotation in result.GraphicAnnotationSequence] == layers
    texts = [annotation.TextObjectSequence[0].UnformattedTextValue for annotation in result.GraphicAnnotationSequence]
    assert texts == [
        "1  0.80",
        "2  0.30",
        "AI RESEARCH USE ONLY - not for diagnosis; probe 1.2.3, threshold 0.25",
    ]
    assert "GraphicObjectSequence" not in result.GraphicAnnotationSequence[2]


def test_it_refers_to_its_image_and_to_nothing_else() -> None:
    original = full("CR")
    result = state(of=header(original))
    (series,) = result.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == UIDS["SeriesInstanceUID"]
    references = [
        series.ReferencedImageSequence,
        *(a.ReferencedImageSequence for a in result.GraphicAnnotationSequence),
    ]
    for (reference,) in references:
        assert reference.ReferencedSOPInstanceUID == UIDS["SOPInstanceUID"]
        assert reference.ReferencedSOPClassUID == original.SOPClassUID
    for absent in ("FrameOfReferenceUID", "PatientOrientation", "ImageRotation", "ImageHorizontalFlip", "PixelData"):
        assert absent not in result


def test_what_cannot_be_written_is_named_where_a_state_can_name_it() -> None:
    unwritable = source(SpecificCharacterSet="ISO_IR 100", PatientName="Иванов")
    result = state(of=unwritable)
    assert "ImageComments" not in result
    assert result.ContributingEquipmentSequence[-1].ContributionDescription.endswith("cannot be written: PatientName")


@st.composite
def masks(draw: st.DrawFn) -> Finding:
    # so small that no more than the twenty parts which are drawn one by one fit in
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    bits = draw(st.binary(min_size=rows * columns, max_size=rows * columns))
    mask = np.frombuffer(bits, np.uint8).reshape(rows, columns) > draw(st.sampled_from((0, 128, 240)))
    mask = mask.copy()
    mask[draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))] = True
    return finding(draw(st.integers(0, 64 - rows)), draw(st.integers(0, 48 - columns)), mask=mask)


@given(one=masks())
@settings(max_examples=25, deadline=None)
def test_the_lines_run_along_the_very_edge_of_the_mask(one: Finding) -> None:
    lines = drawn(state(one).GraphicAnnotationSequence[0])
    assert all(np.array_equal(line[0], line[-1]) for line in lines)
    if np.any(lines[-1] != np.rint(lines[-1])):
        # the frame around a region that would not be seen; corners of pixels are whole numbers
        del lines[-1]
    assert np.array_equal(filled(lines, (64, 48)), united_mask([one], (64, 48)))


def test_a_region_too_small_to_be_seen_is_framed_and_the_frame_stays_on_the_film() -> None:
    pixels = film(1200, 1000)
    for row, column in ((600, 500), (0, 0), (1199, 999)):
        point, frame = drawn(state(finding(row, column, 1, 1), pixels=pixels).GraphicAnnotationSequence[0])
        assert np.ptp(point, axis=0).tolist() == [1, 1]
        assert (np.ptp(frame, axis=0) >= 1200 / 90).all()
        assert frame.min() >= 0
        assert (frame.max(0) <= (1000, 1200)).all()
        assert (frame.min(0) <= (column, row)).all()
        assert (frame.max(0) >= (column + 1, row + 1)).all()
    assert len(drawn(state(finding(600, 500, 40, 40), pixels=pixels).GraphicAnnotationSequence[0])) == 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 48), (4300, 3500)])
def test_numbers_stay_on_the_film_and_apart(shape: tuple[int, int]) -> None:
    rows, columns = shape
    tenth = (max(1, rows // 10), max(1, columns // 10))
    found = [finding(r, c, *tenth) for r, c in ((0, 0), (0, 0), (rows - tenth[0], columns - tenth[1]))]
    annotations = state(*found, pixels=film(*shape)).GraphicAnnotationSequence[:3]
    boxes = []
    for annotation in annotations:
        (text,) = annotation.TextObjectSequence
        assert text.BoundingBoxAnnotationUnits == "PIXEL"
        left, top = text.BoundingBoxTopLeftHandCorner
        right, bottom = text.BoundingBoxBottomRightHandCorner
        assert 0 <= left < right <= columns
        assert 0 <= top < bottom <= rows
        boxes.append((left, top, right, bottom))
    if min(shape) > 40:
        for one, other in ((0, 1), (0, 2), (1, 2)):
            (a, b, c, d), (e, f, g, h) = boxes[one], boxes[other]
            assert min(c, g) <= max(a, e) + 1e-3 or min(d, h) <= max(b, f) + 1e-3


def test_the_whole_film_is_shown_in_its_own_proportion() -> None:
    for attributes, aspect in (({}, [1, 1]), ({"ImagerPixelSpacing": [0.3, 0.2]}, [3, 2])):
        (area,) = state(of=header(source(**attributes))).DisplayedAreaSelectionSequence
        assert area.DisplayedAreaTopLeftHandCorner == [1, 1]
        assert area.DisplayedAreaBottomRightHandCorner == [48, 64]
        assert area.PresentationSizeMode == "SCALE TO FIT"
        assert area.PresentationPixelAspectRatio == aspect
        assert "PresentationPixelSpacing" not in area


def test_a_state_of_nothing_is_refused() -> None:
    for findings in ((), (finding(0, 0, mask=np.zeros((3, 3))),)):
        with pytest.raises(ValueError, match="kinds_for"):
            encode(Kind.GSPS, Profile.CLASSIC_PACS, findings=findings)


def test_a_finding_without_a_pixel_keeps_its_number_and_layer() -> None:
    nothing = finding(5, 5, mask=np.zeros((3, 3)))
    annotations = state(nothing, PAIR[0]).GraphicAnnotationSequence
    assert "GraphicObjectSequence" not in annotations[0]
    assert len(drawn(annotations[1])) == 1


def test_a_mask_of_noise_gives_few_lines() -> None:
    noise = np.random.default_rng(1).random((900, 700)) < 0.5
    data = encode(Kind.GSPS, Profile.CLASSIC_PACS, pixels=film(1000, 800), findings=(finding(50, 60, mask=noise),)).data
    assert len(data) < 1 << 17


def _lut(entries: NDArray[Any], first: int, *, bits: int = 16) -> Dataset:
    lut = item()
    lut.add_new("LUTDescriptor", "US", [len(entries) & 0xFFFF, first & 0xFFFF, bits])
    lut.add_new("LUTData", "OW", entries.astype("u1" if bits == 8 else "<u2").tobytes())
    return lut


GAMMA = ((np.arange(4096) / 4095) ** 2 * 65535).round()
MODALITY = _lut(np.arange(4096)[::-1], 0)
MODALITY.ModalityLUTType = "US"

#: sources that are displayed in every way that there is
DISPLAYS: dict[str, dict[str, Any]] = {
    "window": {},
    "window as tables are not": {"WindowCenter": [1500, 40], "WindowWidth": [1800, 80]},
    "no window": {"WindowCenter": None, "WindowWidth": None},
    "a window that shows nothing": {"WindowCenter": 60_000, "WindowWidth": 10},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    "MONOCHROME1 that does not say INVERSE": {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": None},
    "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -1024, "WindowCenter": 3000, "WindowWidth": 6000},
    "rescale of nonsense": {"RescaleSlope": 0, "RescaleIntercept": None},
    "VOI LUT": {"VOILUTSequence": [_lut(GAMMA, 0)]},
    "VOI LUT of 8 bits": {"VOILUTSequence": [_lut(GAMMA // 257, 0, bits=8)]},
    "Modality LUT": {"ModalityLUTSequence": [MODALITY], "RescaleSlope": None, "RescaleIntercept": None},
    "VOI LUT cut short": {"VOILUTSequence": [_lut(GAMMA[:100], 0)]},
    "rectangular shutter": {
        "ShutterShape": "RECTANGULAR",
        "ShutterLeftVerticalEdge": 6,
        "ShutterRightVerticalEdge": 40,
        "ShutterUpperHorizontalEdge": 4,
        "ShutterLowerHorizontalEdge": 60,
    },
    "circular shutter": {
        "ShutterShape": "CIRCULAR",
        "CenterOfCircularShutter": [32, 24],
        "RadiusOfCircularShutter": 20,
    },
    "a shutter that would hide all": {
        "ShutterShape": "CIRCULAR",
        "CenterOfCircularShutter": [900, 900],
        "RadiusOfCircularShutter": 2,
    },
}


@pytest.mark.peer
@pytest.mark.skipif(
    shutil.which("dcmp2pgm") is None, reason="dcmp2pgm is not installed: apt-get install --no-install-recommends dcmtk"
)
@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
def test_dcmtk_shows_through_it_the_film_that_the_model_saw(display: str, implicit: bool, tmp_path: Path) -> None:
    original = full("CR" if "MONOCHROME1" in display else "DX", **DISPLAYS[display])
    path = write(original, tmp_path, "source.dcm")
    shown = film_from(dcmread(path))
    parsed = sent(original, ImplicitVRLittleEndian) if implicit else dcmread(path, stop_before_pixels=True)
    result = build(
        Kind.GSPS,
        Profile.CLASSIC_PACS,
        header=header_of(parsed),
        film_pixels=shown.pixels,
        film_valid=shown.valid,
        film_window=shown.window,
        findings=PAIR,
        context=CONTEXT,
    )
    (tmp_path / "state.dcm").write_bytes(result.data)
    command = ["dcmp2pgm", "-p", "state.dcm", "source.dcm", "shown.pgm"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    with Image.open(tmp_path / "shown.pgm") as picture:
        through_dcmtk = np.asarray(picture).astype(int)
    # this program reads the shutter, and draws none: see the next test
    seen = np.ones(shown.pixels.shape, np.bool_) if shown.valid is None else shown.valid
    assert np.abs(through_dcmtk - (shown.pixels >> 8))[seen].max() <= 2


def test_the_shutter_is_the_sources_and_black() -> None:
    shutters = {
        keyword: value
        for display in ("rectangular shutter", "circular shutter")
        for keyword, value in DISPLAYS[display].items()
    }
    shutters["ShutterShape"] = ["RECTANGULAR", "CIRCULAR", "POLYGONAL", "BITMAP"]
    of = header(full(**shutters, VerticesOfThePolygonalShutter=[1, 1, 1, 48]))
    covered = {"header": of, "film_pixels": film(), "film_window": None, "findings": PAIR, "context": CONTEXT}
    kind, profile = Kind.GSPS, Profile.CLASSIC_PACS
    result = read(build(kind, profile, film_valid=film() > 9, **covered))
    # a polygon of two corners is none
    assert (result.ShutterShape, result.ShutterPresentationValue) == (["RECTANGULAR", "CIRCULAR"], 0)
    for keyword, value in shutters.items():
        assert keyword == "ShutterShape" or result[keyword].value == value
    # where the film shows all, its shutter was none that makes sense
    assert "ShutterShape" not in read(build(kind, profile, film_valid=None, **covered))


def test_what_the_source_says_of_its_display_is_enough_where_no_film_tells() -> None:
    lut = state(of=header(full(VOILUTSequence=[_lut(GAMMA, 0)]))).SoftcopyVOILUTSequence[0]
    assert list(lut.VOILUTSequence[0].LUTDescriptor) == [4096, 0, 16]
    assert "WindowCenter" not in lut
    window = state(of=header(full(VOILUTFunction="SIGMOID"))).SoftcopyVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth, window.VOILUTFunction) == (2048, 4096, "SIGMOID")
    assert "SoftcopyVOILUTSequence" not in state(of=header(full(WindowCenter=None)))
