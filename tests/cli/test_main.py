"""The command line as a whole: it explains itself, is quick to do so, and never shows a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node import __version__
from dicom_node.config import Role
from tests.cli.conftest import Run
from tests.cli.running import chexnode

COMMANDS = (
    "demo", "init", "serve", "infer", "send", "status", "doctor", "release", "retry", "accept", "abandon",
    "backup", "verify", "support-bundle", *Role,
)  # fmt: skip
#: what takes longer to load than a help text may take
HEAVY = ("torch", "monai", "numpy", "pydicom", "pynetdicom", "sqlalchemy", "highdicom", "scipy")


def test_help_lists_every_command(run: Run) -> None:
    output = run("--help").output
    assert [name for name in COMMANDS if f"│ {name}" not in output] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_explained(run: Run, command: str) -> None:
    from typer.main import get_command

    from dicom_node.cli import application

    result = run(command, "--help")
    assert result.exit_code == 0
    explained = get_command(application()).commands[command]  # type: ignore[attr-defined]  # it is a group
    assert len(explained.help or "") > 40
    for parameter in explained.params:
        assert getattr(parameter, "help", None), parameter.name


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from dicom_node.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    for arguments in (["--help"], ["infer", "--help"]):
        ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert ran.stdout.splitlines()[-1] == "[]"


def test_version(tmp_path: Path) -> None:
    assert chexnode("--version", folder=tmp_path).stdout == f"chexnode {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve",),
        ("receive",),
        ("status",),
        ("release", "--all"),
        ("send", ".", "--to", "archive"),
        ("infer", "nowhere", "--out", "out"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_cannot_be_done_is_one_plain_message(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = chexnode(*arguments, folder=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith("chexnode: ")
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_file_that_may_not_be_read_is_one_plain_message(tmp_path: Path) -> None:
    (tmp_path / "chexnode.toml").symlink_to(tmp_path / "chexnode.toml")
    ran = chexnode("status", folder=tmp_path)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "chexnode.toml" in ran.stderr


def test_usage_is_explained_with_exit_code_2(tmp_path: Path) -> None:
    assert chexnode("send", folder=tmp_path).returncode == 2
