"""A radiologist's screen: OHIF in Debian's Chromium, without a display. What is judged is the picture on it."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

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

#: page coordinates of image pixels: by the geometry of the viewport that shows the image; null elsewhere, and where
#: something of the viewer's own lies above the picture
_PLACES = """([uid, points]) => {
  for (const engine of cornerstone.getRenderingEngines() || [])
    for (const viewport of engine.getViewports()) {
      const imageId = viewport.getCurrentImageId && viewport.getCurrentImageId();
      if (!imageId || !imageId.includes(uid) || !viewport.getImageData()) continue;
      const box = viewport.canvas.getBoundingClientRect();
      return points.map(([column, row]) => {
        const world = cornerstone.utilities.imageToWorldCoords(imageId, [column, row]);
        const [x, y] = viewport.worldToCanvas(world);
        const at = [box.left + x, box.top + y];
        if (x < 1 || y < 1 || x > box.width - 1 || y > box.height - 1) return null;
        const above = document.elementFromPoint(...at);
        return viewport.element.contains(above) ? at : null;
      });
    }
  return null;
}"""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """Where the asked pixels of an image were seen, and the colours there."""

    #: (n, 2) column and row in the image, those that can be seen
    points: NDArray[np.int64]
    #: (n, 3) red, green, blue on the screen, 0..255
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

    def wait_for_image(self, sop_instance_uid: str) -> None:
        """Until the image is on the screen in some viewport."""

        def shown() -> bool:
            return (
                bool(self.page.evaluate("!!window.cornerstone"))
                and self._places(sop_instance_uid, [(0, 0)]) is not None
            )

        wait_for(f"the viewer to show image {sop_instance_uid}", shown, seconds=PATIENCE, every=0.5)

    def look(self, name: str) -> NDArray[np.uint8]:
        """(height, width, 3): the screen as it is now, kept under `name` in SEEN."""
        SEEN.mkdir(exist_ok=True)
        png = self.page.screenshot(timeout=PATIENCE * 1000)
        (SEEN / f"{name}.png").write_bytes(png)
        return np.asarray(Image.open(BytesIO(png)).convert("RGB"))

    def sight(self, screen: NDArray[np.uint8], sop_instance_uid: str, points: NDArray[np.int64]) -> Sight:
        """The colours of an image's pixels `points` (n, 2; column, row) on `screen`."""
        places = self._places(sop_instance_uid, points.tolist())
        assert places is not None, f"no viewport shows image {sop_instance_uid}"
        kept = [(point, place) for point, place in zip(points, places, strict=True) if place is not None]
        x, y = np.array([place for _, place in kept]).round().astype(int).T
        return Sight(points=np.array([point for point, _ in kept]), colours=screen[y, x].astype(float))

    def toasts(self) -> list[str]:
        """What the viewer complains of in the corner of its page."""
        return list(self.page.locator('[data-sonner-toast][data-type="error"]').all_inner_texts())

    def _places(self, uid: str, points: Sequence[Any]) -> list[list[float] | None] | None:
        return self.page.evaluate(_PLACES, [uid, points])  # type: ignore[no-any-return]


@contextmanager
def browser(origin: str) -> Iterator[Viewer]:
    """A fresh page of a fresh browser before `origin`, as of somebody who has seen the viewer's tour before."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed: apt-get install -y --no-install-recommends chromium")
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
