"""`chexnode init` writes a file that the node takes, and never over somebody's."""

import re
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dicom_node.cli.init import init
from dicom_node.cli.reference import sections
from dicom_node.config import Settings, load_settings, require_routes
from dicom_node.domain import Mode, Profile
from dicom_node.errors import ConfigurationError
from tests.cli.running import chexnode


def run(*arguments: object, answers: str = "") -> str:
    app = typer.Typer()
    app.command()(init)
    result = CliRunner().invoke(app, [*map(str, arguments)], input=answers)
    if isinstance(result.exception, ConfigurationError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "site" / "chexnode.toml"


def test_options_make_a_node_that_may_start_and_holds_its_results(file: Path) -> None:
    run(
        "--config", file, "--yes", "--ae-title", "CXR", "--port", 11113,
        "--archive-ae", "PACS", "--archive-host", "127.0.0.1", "--archive-port", 4242,
    )  # fmt: skip
    settings = load_settings(file)
    require_routes(settings)
    (peer,) = settings.peers
    assert (settings.node.ae_title, settings.receive.host, settings.receive.port) == ("CXR", "127.0.0.1", 11113)
    assert (peer.ae_title, peer.host, peer.port, peer.mode) == ("PACS", "127.0.0.1", 4242, Mode.HOLD)
    assert settings.route("PACS") == (peer,)
    assert settings.select.max_study_age == 7
    assert settings.node.folder == file.parent / "chexnode-data"


def test_every_setting_stands_in_the_file(file: Path) -> None:
    run("--config", file, "--yes")
    text = file.read_text().replace("#     ", "")  # a list that need not have any entry shows one as a comment
    tables = dict(re.findall(r"^\[+([\w.]+)\]+\n(.*?)(?=^\[|\Z)", text, re.DOTALL | re.MULTILINE))
    for section in sections():
        for setting in section.settings:
            assert re.search(rf"^#?{setting.key} =", tables[section.name], re.MULTILINE), setting.key
            assert f"# {setting.comment}" in tables[section.name]


def test_the_defaults_that_it_shows_are_the_defaults(file: Path) -> None:
    run("--config", file, "--yes")
    uncommented = re.sub(r"^#(\w+ = .+)$", r"\1", file.read_text(), flags=re.MULTILINE)
    assert len(tomllib.loads(uncommented)) == len([each for each in sections() if "." not in each.name])
    file.write_text(uncommented)
    settings = load_settings(file)
    changed = {"node": {"folder"}, "select": {"max_study_age"}}
    for name in Settings.model_fields:
        if name != "peers":
            assert getattr(settings, name).model_dump(exclude=changed.get(name)) == getattr(
                Settings(), name
            ).model_dump(exclude=changed.get(name))


def test_asks_again_until_the_answer_can_be_used(file: Path) -> None:
    output = run(
        "--config",
        file,
        "--ae-title",
        "CXR",
        answers="PACS\\1\nPACS\n\n70000\n4242\n11114\neverywhere\n127.0.0.1\nweasis\nclassic-pacs\n",
    )
    settings = load_settings(file)
    assert (settings.node.ae_title, settings.peers[0].ae_title) == ("CXR", "PACS")
    assert (settings.peers[0].port, settings.receive.port) == (4242, 11114)
    assert "70000" in output
    assert "no IP address" in output
    assert settings.peers[0].profile is Profile.CLASSIC_PACS
    assert "'weasis' is no form of results" in output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--ae-title", "SEVENTEEN LETTERS"),
        ("--archive-ae", "BACK\\SLASH"),
        ("--archive-host", "two words"),
        ("--archive-port", 0),
        ("--port", 65536),
        ("--listen", "everywhere"),
        ("--profile", "pretty"),
    ],
)
def test_nonsense_is_refused_by_the_options_name(file: Path, option: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=option):
        run("--config", file, "--yes", option, value)
    assert not file.exists()


def test_a_file_that_is_there_is_replaced_only_by_force(file: Path) -> None:
    run("--config", file, "--yes")
    file.write_text("mine = true\n")
    with pytest.raises(ConfigurationError, match="--force"):
        run("--config", file, "--yes")
    assert file.read_text() == "mine = true\n"
    run("--config", file, "--yes", "--force")
    assert load_settings(file).peers


def test_says_when_the_archive_cannot_reach_the_node(file: Path) -> None:
    assert "cannot reach it" in run("--config", file, "--yes", "--archive-host", "192.0.2.1", "--listen", "127.0.0.1")


def test_an_environment_that_breaks_the_file_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    ran = chexnode("init", "--yes", folder=tmp_path, CHEXNODE_RECEIVE__PORT="many")
    assert ran.returncode == 1
    assert "receive.port" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []
