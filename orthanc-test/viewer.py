"""A radiologist's screen: OHIF in Debian's Chromium, without a display. What is judged is the picture on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tests.peers import program
from tests.waiting import wait_for

#: screenshots, the latest of each name; ignored by git
SEEN = Path(__file__).parent / ".seen"
#: WebGL without a GPU; and nothing that asks the world outside
_FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
#: seconds until a first view stands on two busy cores
PATIENCE = 150.0

#: where on the page points of an image lie, by the geometry of the viewport that shows it, and whether they can be
#: seen: inside the viewport, with nothing of the viewer's own above them. null: no viewport shows the image
_PLACES = """([uid, points]) => {
  for (const engine of cornerstone.getRenderingEngines() || [])
    for (const viewport of engine.getViewports()) {
      const imageId = viewport.getCurrentImageId && viewport.getCurrentImageId();
      if (!imageId || !imageId.includes(uid) || !viewport.getImageData()) continue;
      const box = viewport.canvas.getBoundingClientRect();
      const places = points.map(([column, row]) =>
        viewport.worldToCanvas(cornerstone.utilities.imageToWorldCoords(imageId, [column, row])));
      if (!places.flat().every(Number.isFinite)) continue;
      return places.map(([x, y]) => {
        const inside = x > 1 && y > 1 && x < box.width - 1 && y < box.height - 1;
        const above = document.elementFromPoint(box.left + x, box.top + y);
        return [box.left + x, box.top + y, inside && viewport.element.contains(above)];
      });
    }
  return null;
}"""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """Where the asked pixels of an image were seen, and the colours there."""

    #: (n, 2) column and row in the image, those that can be seen
    pixels: NDArray[np.int64]
    #: (n, 3) red, green, blue there, 0..255
    colours: NDArray[np.float64]


class Viewer:
    """One browser page; what it shows is seen with `look` and `sight`."""

    def __init__(self, page: Any, origin: str) -> None:
        self.page = page
        self._origin = origin
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, study_instance_uid: str, **parameters: str) -> None:
        """The viewer's own address of a study; `parameters` are those of OHIF."""
        self.errors.clear()
        asked = "".join(f"&{name}={value}" for name, value in parameters.items())
        self.page.goto(f"{self._origin}/viewer?StudyInstanceUIDs={study_instance_uid}{asked}", timeout=PATIENCE * 1000)

    def take(self, series_description: str) -> None:
        """Bring a series into the viewport as a reader does: a double click in the list of series."""
        self.page.locator('[data-cy^="study-browser-thumbnail"]', has_text=series_description).dblclick()

    def answer(self, button: str) -> None:
        """Press a button of the question that the viewer asks, and wait until it is gone."""
        self.page.get_by_role("button", name=button, exact=True).click()
        self.page.get_by_role("button", name=button, exact=True).wait_for(state="detached")

    def wait_for_image(self, sop_instance_uid: str) -> None:
        """Until the image is on the screen in some viewport."""

        def shown() -> bool:
            return (
                bool(self.page.evaluate("!!window.cornerstone"))
                and self._found(sop_instance_uid, np.zeros((1, 2))) is not None
            )

        wait_for(f"the viewer to show image {sop_instance_uid}", shown, seconds=PATIENCE, every=0.5)

    def wait_for_text(self, text: str) -> None:
        """Until `text` is to be read on the page, in the picture's graphics too."""
        self.page.get_by_text(text).first.wait_for()

    def look(self, name: str) -> NDArray[np.uint8]:
        """(height, width, 3): the screen as it is now, kept under `name` in SEEN."""
        SEEN.mkdir(exist_ok=True)
        png = self.page.screenshot(timeout=PATIENCE * 1000)
        (SEEN / f"{name}.png").write_bytes(png)
        return np.asarray(Image.open(BytesIO(png)).convert("RGB"))

    def places(self, sop_instance_uid: str, coordinates: NDArray[Any]) -> NDArray[np.float64]:
        """(n, 2) x and y on the screen of `coordinates` (n, 2; column, row; PS3.3 C.18.6.1.1: the first pixel's centre
        is at 0.5, 0.5).
        """
        found = self._found(sop_instance_uid, coordinates)
        assert found is not None, f"no viewport shows image {sop_instance_uid}"
        return np.array([place[:2] for place in found])

    def sight(self, screen: NDArray[np.uint8], sop_instance_uid: str, pixels: NDArray[np.int64]) -> Sight:
        """The colours of an image's `pixels` (n, 2; column, row) on `screen`."""
        found = self._found(sop_instance_uid, pixels + 0.5)
        assert found is not None, f"no viewport shows image {sop_instance_uid}"
        kept = [(pixel, place[:2]) for pixel, place in zip(pixels, found, strict=True) if place[2]]
        x, y = np.floor([place for _, place in kept]).astype(int).T
        return Sight(pixels=np.array([pixel for pixel, _ in kept]), colours=screen[y, x].astype(float))

    def projected(
        self, picture: NDArray[np.float64], sop_instance_uid: str, screen: NDArray[np.uint8]
    ) -> NDArray[np.float64]:
        """(height, width, 3): what the screen would show, had the image the pixels `picture`; nan beside the image.

        Upright viewports only: nothing turned, nothing flipped.
        """
        (left, top), (right, bottom) = self.places(sop_instance_uid, np.array([(0, 0), picture.shape[1::-1]]))
        columns = (np.arange(screen.shape[1]) + 0.5 - left) / (right - left) * picture.shape[1] - 0.5
        rows = (np.arange(screen.shape[0]) + 0.5 - top) / (bottom - top) * picture.shape[0] - 0.5
        at = np.meshgrid(rows, columns, indexing="ij")
        planes = np.moveaxis(picture, -1, 0)
        return np.stack([ndimage.map_coordinates(plane, at, order=1, cval=np.nan) for plane in planes], axis=-1)

    def toasts(self) -> list[str]:
        """What the viewer complains of in the corner of its page."""
        return list(self.page.locator('[data-sonner-toast][data-type="error"]').all_inner_texts())

    def _found(self, uid: str, coordinates: NDArray[Any]) -> list[list[Any]] | None:
        return self.page.evaluate(_PLACES, [uid, coordinates.tolist()])  # type: ignore[no-any-return]


@contextmanager
def browser(origin: str) -> Iterator[Viewer]:
    """A fresh page of a fresh browser before `origin`, as of somebody who has seen the viewer's tour before."""
    path = program("chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make install")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=path, args=list(_FLAGS), timeout=PATIENCE * 1000)
        try:
            page = chromium.new_page(viewport={"width": 1400, "height": 900})
            page.set_default_timeout(PATIENCE * 1000)
            page.add_init_script('localStorage.setItem("shownTours", JSON.stringify(["basicViewerTour"]))')
            yield Viewer(page, origin)
        finally:
            chromium.close()
