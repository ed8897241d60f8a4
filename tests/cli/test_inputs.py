"""Which files a path stands for: each once, in order, and none that would block or go round in circles."""

import os
from pathlib import Path

import pytest

from dicom_node.cli.inputs import inputs
from dicom_node.errors import ConfigurationError


def names(*paths: Path, leave_out: Path | None = None) -> list[str]:
    return [each.path.name for each in inputs(paths, leave_out=leave_out)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.dcm", "a.dcm", "sub/c.dcm", "sub/deeper/d.txt", "out/e.dcm"):
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return tmp_path / "tree"


def test_a_folder_is_all_its_files_sorted(tree: Path) -> None:
    assert names(tree) == ["a.dcm", "b.dcm", "e.dcm", "c.dcm", "d.txt"]


def test_a_file_named_twice_is_one_input(tree: Path) -> None:
    assert names(tree / "b.dcm", tree, tree / "sub" / ".." / "b.dcm")[:2] == ["b.dcm", "a.dcm"]
    assert names(tree / "b.dcm", tree).count("b.dcm") == 1


def test_the_outputs_are_no_inputs(tree: Path) -> None:
    assert "e.dcm" not in names(tree, leave_out=tree / "out")
    with pytest.raises(ConfigurationError, match="--out"):
        inputs([tree / "out"], leave_out=tree / "out")


def test_loops_of_links_end(tree: Path) -> None:
    (tree / "sub" / "round").symlink_to(tree)
    (tree / "self").symlink_to(tree / "self")
    found = inputs([tree])
    assert [each.path.name for each in found] == ["a.dcm", "b.dcm", "self", "e.dcm", "c.dcm", "d.txt"]
    assert found[2].obstacle


def test_a_folder_behind_a_link_is_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree / "sub")
    assert names(tmp_path / "link") == ["c.dcm", "d.txt"]


def test_what_cannot_be_read_as_a_file_is_named_and_never_opened(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    (tree / "broken").symlink_to(tree / "nowhere")
    obstacles = {each.path.name: each.obstacle for each in inputs([tree]) if each.obstacle}
    assert set(obstacles) == {"pipe", "broken"}
    assert "does not exist" in obstacles["broken"]


def test_a_path_that_is_not_there_stops_everything(tree: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.dcm does not exist"):
        inputs([tree, tree / "absent.dcm"])


def test_an_empty_folder_has_no_inputs(tmp_path: Path) -> None:
    assert inputs([tmp_path]) == []
