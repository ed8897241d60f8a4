"""`chexnode demo` as a newcomer runs it: the real command line, the real node, the weights that ship."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from dicom_node.demo.archive import Archive
from dicom_node.demo.chest import Planted
from dicom_node.demo.node import AE_TITLE, Node, free_port
from dicom_node.demo.opacities import Opacity
from dicom_node.demo.returned import complaints, is_marked, marks_of, overlap, results_of
from dicom_node.demo.sending import send_all
from dicom_node.demo.studies import Expected, Study, found
from dicom_node.domain import Kind, Reason
from dicom_node.errors import ConfigurationError, Permanent
from tests import datasets

ELSEWHERE = Planted(kind=Opacity.MASS, box=(10.0, 10.0, 200.0, 200.0))


@dataclass(frozen=True, kw_only=True)
class Ran:
    folder: Path
    output: str
    code: int


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The demonstration, once for all tests here."""
    folder = tmp_path_factory.mktemp("demo")
    run = subprocess.run(
        [sys.executable, "-m", "dicom_node", "demo", "--folder", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    return Ran(folder=folder, output=run.stdout, code=run.returncode)


@pytest.fixture
def returned(demo: Ran, tmp_path: Path) -> Iterator[tuple[Archive, Study]]:
    """An archive that holds what the demonstration's held, and the abnormal study with nothing planted."""
    files = sorted((demo.folder / "archive").glob("*.dcm"))
    with Archive(tmp_path / "archive") as archive:
        send_all(files, "127.0.0.1", archive.port, called=archive.ae_title, calling=AE_TITLE)
        (abnormal,) = found([demo.folder / "films" / "abnormal.dcm"]).studies
        yield archive, replace(abnormal, expected=Expected(kinds=frozenset({Kind.SEG, Kind.SC, Kind.SR})))


def test_it_succeeds_and_says_what_was_found_and_what_came_back(demo: Ran) -> None:
    assert demo.code == 0, demo.output
    lines = {line.strip().split("  ")[0]: line for line in demo.output.splitlines() if "×" in line or "nothing" in line}
    assert "1 × SC, 1 × SEG, 1 × SR" in lines["abnormal chest"]
    assert "nothing to mark" in lines["clean chest"]
    assert "not_a_chest" in lines["hand"]


def test_it_ends_with_the_three_lines_that_connect_a_pacs(demo: Ran) -> None:
    *_, one, two, three = demo.output.strip().splitlines()
    assert "chexnode init" in one
    assert "chexnode serve" in two
    assert "PACS" in three


def test_every_result_has_a_picture(demo: Ran) -> None:
    pictures = sorted(demo.folder.glob("overlay-*.png"))
    assert len(pictures) == 2
    for path in pictures:
        assert str(path) in demo.output
        with Picture.open(path) as picture:
            assert min(picture.size) >= 1000
            assert np.asarray(picture).std() > 20, "an empty picture"


def test_a_planted_opacity_that_nobody_marked_is_a_complaint(returned: tuple[Archive, Study]) -> None:
    archive, study = returned
    results = results_of(archive, study.study_instance_uid)
    assert complaints(study, results, []) == []
    images = tuple(replace(image, planted=(ELSEWHERE,)) for image in study.images)
    (complaint,) = complaints(replace(study, images=images), results, [])
    assert "mass planted at (10, 10, 200, 200) is not marked" in complaint


def test_a_mark_covers_what_it_is_about(returned: tuple[Archive, Study]) -> None:
    archive, study = returned
    (seg,) = [r for r in results_of(archive, study.study_instance_uid) if r.kind is Kind.SEG]
    assert seg.source == study.images[0].sop_instance_uid
    marks = marks_of(seg)
    assert marks
    assert all(is_marked(Planted(kind=Opacity.MASS, box=mark), marks) for mark in marks)


def test_what_is_missing_surplus_or_declined_for_another_reason_is_a_complaint(
    returned: tuple[Archive, Study],
) -> None:
    archive, study = returned
    results = results_of(archive, study.study_instance_uid)
    capture = [result for result in results if result.kind is Kind.SC]
    assert "no SEG and no SR came back" in complaints(study, capture, [])[0]
    nothing = replace(study, expected=Expected(kinds=frozenset(), reason=Reason.NOT_A_CHEST))
    surplus, reason = complaints(nothing, capture, ["lateral_view"])
    assert "SC came back" in surplus
    assert "not_a_chest" in reason
    assert "lateral_view" in reason
    assert complaints(replace(study, expected=None), [], []) == []


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (1, 1, 2, 2)) == 0


def test_ones_own_files_are_sorted_by_study_and_what_is_no_dicom_is_named(tmp_path: Path) -> None:
    first, other = datasets.chest(), datasets.chest()
    same = datasets.chest(StudyInstanceUID=first.StudyInstanceUID)
    for name, dataset in (("a", first), ("b", other), ("c", same), ("d", first)):
        datasets.write(dataset, tmp_path, name)
    (tmp_path / "notes.txt").write_text("not an image")
    sorted_out = found([tmp_path])
    assert [(s.study_instance_uid, len(s.images)) for s in sorted_out.studies] == [
        (first.StudyInstanceUID, 2),
        (other.StudyInstanceUID, 1),
    ]
    assert [path.name for path, _ in sorted_out.left_out] == ["notes.txt"]
    assert all(study.expected is None for study in sorted_out.studies)


def test_no_dicom_file_at_all_is_an_error_that_names_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(ConfigurationError, match=r"notes\.txt"):
        found([tmp_path])
    with pytest.raises(ConfigurationError, match="does not exist"):
        found([tmp_path / "absent"])


def test_a_node_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the node's folder should be")
    with (
        Node(tmp_path, archive_ae_title="ARCHIVE", archive_port=free_port(), port=free_port()) as node,
        pytest.raises(Permanent, match=r"node\.log"),
    ):
        node.wait_until_it_answers()
