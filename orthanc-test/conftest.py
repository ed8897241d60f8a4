"""An archive and a node that route to each other, on loopback."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from node import Node
from orthanc import Orthanc

from dicom_node.domain import Profile
from tests.conftest import data

__all__ = ["data"]


class Site:
    """One archive, one node, both started; what a test may do to either is on them."""

    def __init__(self, folder: Path, profiles: Sequence[Profile] = (Profile.OHIF,), *, routes: bool = True) -> None:
        """`routes`: the archive sends every study to the node by itself."""
        self.node = Node(folder / "node", profiles)
        self.orthanc = Orthanc(folder / "orthanc", self.node.port, routes=routes)
        self.node.configure(self.orthanc.dicom_port)

    def start(self) -> None:
        self.orthanc.start()
        self.node.start()

    def stop(self) -> None:
        self.node.stop()
        self.orthanc.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that the tests of one module share: what they send must differ."""
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.start()
        yield site
    finally:
        site.stop()


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own, to be stopped and killed at will; not started."""
    site = Site(tmp_path)
    yield site
    site.stop()
