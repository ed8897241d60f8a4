"""What the tests of a result's life ask for: children that serve a module, and the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicom_node.cli import application
from dicom_node.errors import NodeError
from tests.analyse.conftest import examiner as examiner  # a fixture
from tests.life.node import Life, written

#: exit code and output of a command
Run = Callable[..., str]


@pytest.fixture
def run(life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the node's configuration, 160 columns wide."""
    monkeypatch.setenv("COLUMNS", "160")

    def invoke(*arguments: object, answers: str = "") -> str:
        config = written(life.settings, tmp_path / "chexnode.toml")
        told = [*map(str, arguments), "--config", str(config)]
        result = CliRunner().invoke(application(), told, input=answers)
        if isinstance(result.exception, NodeError):
            raise result.exception
        return f"{result.exit_code} {result.output}"

    return invoke
