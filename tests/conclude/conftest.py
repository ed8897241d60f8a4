"""A desk: a worker, and the conclude role after it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.analyse.examine import Examiner
from tests.analyse.conftest import examiner as examiner  # a fixture
from tests.conclude.reporting import Desk, settings_for


@pytest.fixture
def desk(tmp_path: Path, examiner: Examiner[int]) -> Iterator[Desk]:
    """It sends to a viewer that wants a report, and to an archive that wants none."""
    desk = Desk(settings_for(tmp_path / "node", viewer="ohif", archive="strict"), examiner)
    yield desk
    desk.close()
