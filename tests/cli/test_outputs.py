"""The folder that `infer` writes: names that harm nothing, one object an input."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.cli.outputs import Entry, OutputFolder, is_well_formed
from dicom_node.errors import OutOfRoom

ALL = {"seg": b"SEG", "sc": b"SC", "overlay": b"PNG"}
NAMES = {"seg": "seg.dcm", "sc": "sc.dcm", "overlay": "overlay.png"}


def entry(digit: str, uid: str | None, *, written: bool = True) -> Entry:
    files = frozenset(ALL) if written else frozenset()
    return Entry(digest=digit * 64, sop_instance_uid=uid, values={"path": digit}, written=files)


def listed(listing: Path) -> list[dict[str, object]]:
    found = json.loads(listing.read_text())
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("uid", ["1.2", "1.2.840.10008.5.1", "2.25.0", "0.0", "1." + "2" * 62])
def test_well_formed(uid: str) -> None:
    assert is_well_formed(uid)


@pytest.mark.parametrize(
    "uid", ["", "1", ".", "..", "1.", "1..2", "1.02", "../../etc/x", "1.2\n", "1.2 ", "1.٣", "a", "1." + "2" * 63]
)
def test_ill_formed(uid: str) -> None:
    assert not is_well_formed(uid)


@given(st.text(max_size=80))
def test_a_well_formed_uid_is_a_harmless_folder(text: str) -> None:
    if is_well_formed(text):
        assert Path(text).name == text
        assert set(text) <= set("0123456789.")


def test_an_image_lies_under_its_uid(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "made" / "out")
    folder.write("a" * 64, ALL)
    (found,) = listed(folder.finish([entry("a", "1.2.3")]))
    assert found == {
        "path": "a",
        "outputs": {key: str(tmp_path / "made/out/1.2.3" / name) for key, name in NAMES.items()},
    }
    assert {file.name: file.read_bytes() for file in (tmp_path / "made/out/1.2.3").iterdir()} == {
        "seg.dcm": b"SEG",
        "sc.dcm": b"SC",
        "overlay.png": b"PNG",
    }
    assert sorted(file.name for file in (tmp_path / "made/out").iterdir()) == ["1.2.3", "findings.json"]


def test_uids_that_two_inputs_share_name_nothing(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    for digit in "abc":
        folder.write(digit * 64, ALL)
    # the one with the same UID was declined, and counts all the same
    folder.finish([entry("a", "1.2.3"), entry("b", "1.2.4"), entry("c", "../x"), entry("d", "1.2.4", written=False)])
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_dir()) == ["1.2.3", "b" * 64, "c" * 64]


def test_two_copies_of_one_file_share_a_folder(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path)
    folder.write("a" * 64, ALL)
    folder.write("a" * 64, ALL)
    first, second = listed(folder.finish([entry("a", "1.2.3"), entry("a", "1.2.3")]))
    assert first["outputs"] == second["outputs"]
    assert Path(first["outputs"]["seg"]).read_bytes() == b"SEG"  # type: ignore[index]  # an object of JSON


def test_what_was_not_made_is_null_and_not_left_over_from_before(tmp_path: Path) -> None:
    before = OutputFolder(tmp_path)
    before.write("a" * 64, ALL)
    before.finish([entry("a", "1.2.3")])
    (tmp_path / "1.2.3" / "notes.txt").write_text("somebody's")
    folder = OutputFolder(tmp_path)
    written = folder.write("a" * 64, {"sc": b"new", "overlay": b"new"})
    again = Entry(digest="a" * 64, sop_instance_uid="1.2.3", values={}, written=written)
    (found,) = listed(folder.finish([again]))
    assert found["outputs"]["seg"] is None  # type: ignore[index]  # an object of JSON
    assert sorted(f.name for f in (tmp_path / "1.2.3").iterdir()) == ["notes.txt", "overlay.png", "sc.dcm"]
    assert (tmp_path / "1.2.3" / "sc.dcm").read_bytes() == b"new"


def test_inputs_without_outputs_are_listed_in_order(tmp_path: Path) -> None:
    found = listed(OutputFolder(tmp_path).finish([entry("b", None, written=False), entry("a", "1.2", written=False)]))
    assert [each["path"] for each in found] == ["b", "a"]
    assert found[0]["outputs"] == {"seg": None, "sc": None, "overlay": None}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "out")
    (tmp_path / "out" / ("a" * 64)).write_text("a file where the image's folder should be")
    with pytest.raises(OutOfRoom, match="--out"):
        folder.write("a" * 64, ALL)


def test_a_report_lies_under_its_study_or_under_a_harmless_name(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "out", keys=("seg", "sr"))
    assert folder.write_report("1.2.3", b"SR") == "1.2.3.dcm"
    odd = folder.write_report("../../etc/x", b"SR")
    assert re.fullmatch(r"[0-9a-f]{64}\.dcm", odd)
    folder.write("a" * 64, ALL)
    (found,) = listed(folder.finish([replace(entry("a", "1.2.3"), report=odd)]))
    assert found["outputs"] == {
        "seg": str(tmp_path / "out/1.2.3/seg.dcm"),
        "sr": str(tmp_path / "out/reports" / odd),
    }
    assert (tmp_path / "out/reports" / odd).read_bytes() == b"SR"
