"""What the command line's tests ask for."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dicom_node.cli import application
from dicom_node.errors import NodeError
from tests.site import Site, configure, site_of

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, in a folder of its own, 100 columns wide; what main() would catch is raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    app = application()

    def invoke(*arguments: object, answers: str = "") -> Result:
        result = CliRunner().invoke(app, [*map(str, arguments)], input=answers)
        if isinstance(result.exception, NodeError):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A new ledger beside a configuration in the folder in which `run` runs."""
    made = site_of(configure(tmp_path))
    yield made
    made.ledger.close()
