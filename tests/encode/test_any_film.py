"""Whatever the size, the spacing and the masks of a film: every object of every profile is made, and opens."""

from io import BytesIO
from math import isclose
from typing import Any

import numpy as np
from highdicom import imread
from highdicom.seg import segread
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.findings import united_mask
from dicom_node.encode.profiles import PROFILES, Segments
from tests.encode.sources import ALL, UIDS, encode, film, finding, full, header, read
from tests.encode.validators import module_errors

#: mm as VR DS has them: sane, anisotropic, and what no radiograph has
SPACINGS = st.one_of(
    st.floats(0.05, 0.6).map(lambda value: [f"{value:.6g}"] * 2),
    st.tuples(st.floats(0.05, 0.6), st.floats(0.05, 0.6)).map(lambda pair: [f"{value:.6g}" for value in pair]),
    st.sampled_from([None, ["0", "0"], ["-1", "0.1"], ["1E-7", "0.2"], ["400", "0.1"], ["0.1"], ["0.1", "0.1", "0.1"]]),
)
SOURCES = st.fixed_dictionaries(
    {
        "PixelSpacing": SPACINGS,
        "ImagerPixelSpacing": SPACINGS,
        "PixelAspectRatio": st.sampled_from([None, ["1", "1"], ["3", "2"], ["0", "1"]]),
    }
)


@st.composite
def films(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[Finding, ...]]:
    rows, columns = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    findings = []
    for _ in range(draw(st.integers(1, 4))):
        height, width = draw(st.integers(1, rows)), draw(st.integers(1, columns))
        seed, share = draw(st.integers(0, 99)), draw(st.sampled_from((0.02, 0.5, 1.0)))
        mask = np.random.default_rng(seed).random((height, width)) < share
        mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
        origin = draw(st.integers(0, rows - height)), draw(st.integers(0, columns - width))
        findings.append(finding(*origin, mask=mask, confidence=draw(st.floats(0, 1))))
    return (rows, columns), tuple(findings)


def header_with(attributes: dict[str, Any]) -> Dataset:
    dataset = full()
    for keyword, value in attributes.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)
    return header(dataset)


@given(case=films(), attributes=SOURCES, made=st.sampled_from(ALL))
@settings(max_examples=40, deadline=None)
def test_every_object_is_made_and_opens(
    case: tuple[tuple[int, int], tuple[Finding, ...]], attributes: dict[str, Any], made: tuple[Profile, Kind]
) -> None:
    (shape, findings), (profile, kind) = case, made
    result = encode(kind, profile, of=header_with(attributes), pixels=film(*shape), findings=findings)
    written = read(result)
    assert module_errors(result, written) == []
    match kind:
        case Kind.SEG:
            each = PROFILES[profile].segments is Segments.A_FINDING
            frames = segread(BytesIO(result.data)).get_pixels_by_source_instance(
                source_sop_instance_uids=[UIDS["SOPInstanceUID"]], ignore_spatial_locations=True
            )
            wanted = [united_mask(some, shape) for some in ([(one,) for one in findings] if each else [findings])]
            assert np.array_equal(frames[0] == 1, np.stack(wanted, axis=-1))
        case Kind.SC:
            picture = imread(BytesIO(result.data)).get_frame(1)
            assert picture.shape[:2] == (written.Rows, written.Columns)
            assert max(picture.shape) <= 2048
        case Kind.GSPS:
            (area,) = written.DisplayedAreaSelectionSequence
            assert list(area.DisplayedAreaBottomRightHandCorner) == [shape[1], shape[0]]
            high, wide = area.PresentationPixelAspectRatio
            assert isclose(high / wide, _aspect(attributes), rel_tol=0.01)
            for annotation in written.GraphicAnnotationSequence[:-1]:
                for line in annotation.GraphicObjectSequence:
                    points = np.array(line.GraphicData).reshape(-1, 2)
                    assert (points >= 0).all()
                    assert (points <= (shape[1], shape[0])).all()


def _aspect(attributes: dict[str, Any]) -> float:
    """Height of a pixel over its width, by the first attribute that says it believably."""
    for keyword, most in (("PixelSpacing", 10), ("ImagerPixelSpacing", 10), ("PixelAspectRatio", 100)):
        pair = [float(value) for value in attributes[keyword] or ()]
        if len(pair) == 2 and all(1e-3 < value < most for value in pair):
            return pair[0] / pair[1] if 0.2 <= pair[0] / pair[1] <= 5 else 1.0
    return 1.0
