"""What a radiologist sees of our results in OHIF, the released one: judged by the colours on the screen."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import ohif
import pytest
from conftest import Site
from films import abnormal
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from results import Held, mask, measurements_of, regions_of, wait_for_results
from scipy import ndimage
from viewer import PATIENCE, Sight, Viewer, browser

from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(600)

#: image pixels between two that are looked at
GRID = 30
#: image pixels on both sides of a mask's edge that are not judged: the outline is drawn there
EDGE = 12


@dataclass(frozen=True, kw_only=True)
class Read:
    """One X-ray that the node has read, with what the archive holds of it."""

    source: Dataset
    results: Held

    @property
    def study(self) -> str:
        return str(self.source.StudyInstanceUID)


@pytest.fixture(scope="module")
def viewer(site: Site) -> Iterator[Viewer]:
    with ohif.served(site.orthanc.http_port) as origin, browser(origin) as opened:
        yield opened


@pytest.fixture(scope="module")
def read(site: Site) -> Read:
    source = abnormal()
    site.orthanc.upload(source)
    results = wait_for_results(site.orthanc, source.StudyInstanceUID, segs=1, overlays=1, reports=1)
    return Read(source=source, results=results)


def lesion_and_clean(seg: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Points (n, 2; column, row) well inside and well outside of what a SEG marks."""
    marked = mask(seg)
    inside = ndimage.binary_erosion(marked, iterations=EDGE)
    outside = ~ndimage.binary_dilation(marked, iterations=EDGE)
    return _grid(inside), _grid(outside)


def _grid(region: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows, columns = np.mgrid[GRID // 2 : region.shape[0] : GRID, GRID // 2 : region.shape[1] : GRID]
    points = np.stack([columns.ravel(), rows.ravel()], axis=1)
    return points[region[points[:, 1], points[:, 0]]]


def tint(sight: Sight) -> NDArray[np.float64]:
    """(n,) how much more red than blue: 0 is grey, the recommended orange lies far above."""
    return sight.colours[:, 0] - sight.colours[:, 2]


def shows_the_film(sight: Sight, source: Dataset) -> bool:
    """Whether the greys on the screen are those of the film at these very points, in its own window."""
    film = ndimage.uniform_filter(source.pixel_array.astype(float), 5)
    values = film[sight.pixels[:, 1], sight.pixels[:, 0]]
    lowest = float(source.WindowCenter) - float(source.WindowWidth) / 2
    expected = np.clip((values - lowest) / float(source.WindowWidth), 0, 1) * 255
    away = np.abs(sight.colours.mean(axis=1) - expected)
    return bool(np.mean(away < 8) > 0.97)


def seen_with_tint(viewer: Viewer, read: Read, name: str) -> tuple[Sight, Sight]:
    """The lesion's and the clean points, once the screen shows the film there, and a tint on most of the lesion."""
    uid = str(read.source.SOPInstanceUID)
    lesion, clean = lesion_and_clean(read.results.segs[0])

    def tinted() -> tuple[Sight, Sight] | None:
        screen = viewer.look(name)
        on, off = (viewer.sight(screen, uid, points) for points in (lesion, clean))
        return (on, off) if shows_the_film(off, read.source) and np.median(tint(on)) > 20 else None

    return wait_for("the film with a tint on its lesions", tinted, seconds=PATIENCE, every=1)


def test_the_seg_opens_on_the_x_ray_with_no_click_and_lies_on_the_lesion(viewer: Viewer, read: Read) -> None:
    viewer.open(read.study, hangingProtocolId="@ohif/seg")
    viewer.wait_for_image(str(read.source.SOPInstanceUID))
    on, off = seen_with_tint(viewer, read, "ohif-seg")
    assert len(on.pixels) > 100
    assert len(off.pixels) > 1000
    assert np.mean(tint(on) > 20) > 0.99
    assert np.mean(np.ptp(off.colours, axis=1) < 6) > 0.99
    viewer.answer("Yes")
    on, off = seen_with_tint(viewer, read, "ohif-seg-opened")
    assert np.mean(tint(on) > 20) > 0.99
    assert np.mean(np.ptp(off.colours, axis=1) < 6) > 0.99
    assert viewer.toasts() == []
    assert viewer.errors == []


def planes(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(rows, columns, 3): red, green and blue of a picture, grey or coloured."""
    return np.broadcast_to(picture.reshape(*picture.shape[:2], -1), (*picture.shape[:2], 3)).astype(float)


def without_lines(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """A picture with everything thin washed out of it."""
    return np.asarray(ndimage.uniform_filter(picture, (15, 15, 1)))


def test_the_secondary_capture_opens_and_shows_its_outlines(viewer: Viewer, read: Read) -> None:
    [capture] = read.results.overlays
    uid = str(capture.SOPInstanceUID)
    picture = planes(capture.pixel_array)
    bare = without_lines(picture)
    viewer.open(read.study)
    viewer.wait_for_image(str(read.source.SOPInstanceUID))
    viewer.take(str(capture.SeriesDescription))
    viewer.wait_for_image(uid)

    def shown() -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """How far the screen is from the picture, and from one without lines, at all places where these differ."""
        screen = viewer.look("ohif-sc")
        drawn, empty = (viewer.projected(each, uid, screen) for each in (picture, bare))
        lines = np.abs(drawn - empty).max(axis=-1) > 60
        away = [np.abs(screen[lines] - each[lines]).max(axis=-1) for each in (drawn, empty)]
        return (away[0], away[1]) if np.mean(away[0] < 40) > 0.95 else None

    from_drawn, from_empty = wait_for("the outlines of the Secondary Capture", shown, seconds=PATIENCE, every=1)
    assert len(from_drawn) > 1000
    assert np.mean(from_empty < 40) < 0.05
    assert viewer.toasts() == []
    assert viewer.errors == []


def test_the_report_opens_on_the_x_ray_with_contours_and_numbers(viewer: Viewer, read: Read) -> None:
    [report] = read.results.reports
    uid = str(read.source.SOPInstanceUID)
    regions = list(regions_of(report))
    numbers = [f"{name}: {value:.2f} {unit}" for name, value, unit in measurements_of(report)]
    assert len(regions) > 1
    assert len(numbers) >= 2 * len(regions)
    viewer.open(read.study)
    viewer.wait_for_image(uid)
    viewer.take(str(report.SeriesDescription))
    viewer.wait_for_text(numbers[0])
    viewer.wait_for_image(uid)

    def drawn() -> list[NDArray[np.uint8]]:
        screen = viewer.look("ohif-sr")
        lines = [viewer.places(uid, _along(polygon)) for _, polygon in regions]
        return [screen] if all(coloured(screen, line) > 0.8 for line in lines) else []

    [screen] = wait_for("the contours of the report", drawn, seconds=PATIENCE, every=1)
    for image, polygon in regions:
        assert image == uid
        middle = (polygon.min(axis=0) + polygon.max(axis=0)) / 2
        smaller = viewer.places(uid, _along(middle + (polygon - middle) * 0.85))
        assert coloured(screen, smaller) < 0.2
    film = viewer.sight(screen, uid, lesion_and_clean(read.results.segs[0])[1])
    assert shows_the_film(film, read.source)
    for number in numbers:
        viewer.wait_for_text(number)
    assert viewer.toasts() == []
    assert viewer.errors == []


def _along(polygon: NDArray[np.float64], step: float = 8) -> NDArray[np.float64]:
    """Points (n, 2) on a closed line, `step` image pixels apart."""
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(polygon, axis=0).T))])
    at = np.arange(0, lengths[-1], step)
    return np.stack([np.interp(at, lengths, axis) for axis in polygon.T], axis=1)


def coloured(screen: NDArray[np.uint8], places: NDArray[np.float64]) -> float:
    """Share of the places with a strong colour on the screen no more than 3 pixels away: a line may be dashed."""
    strong = ndimage.maximum_filter(np.ptp(screen, axis=2) > 100, 7)
    x, y = np.floor(places).astype(int).T
    return float(np.mean(strong[y, x]))
