"""One list of all sources: written, read, counted; what it says of NIH's films; and MONAI reads it too."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monai.data import load_decathlon_datalist
from PIL import Image

from tests.training.test_coco import written as coco_set
from tests.training.vindr_set import kaggle, physionet
from training import datalist
from training.data.vindr import read_vindr
from training.datalist import (
    OPACITIES,
    DataError,
    Example,
    Finding,
    Region,
    Status,
    read_datalist,
    read_films,
    read_nih,
    write_datalist,
)

TRIANGLE = [[0.1, 0.1], [0.3, 0.3], [0.1, 0.3]]
ROW: dict[str, Any] = {
    "id": "00000003_001",
    "file": "images/3.png",
    "patient": "00000003",
    "width": 64,
    "view": "PA",
    "age": 50,
    "sex": "F",
    "split": "train",
    "status": "abnormal_localised",
    "annotators": ["chestx-det", "rsna"],
    "nlp_labels": ["Infiltration", "Pleural_Thickening"],
    "rsna_class": "Lung Opacity",
    "regions": [
        {"label": "Consolidation", "reader": "chestx-det", "box": [0.1, 0.1, 0.3, 0.3], "polygon": TRIANGLE},
        {"label": "Lung Opacity", "reader": "rsna", "box": [0.12, 0.1, 0.32, 0.3]},
        {"label": "Nodule", "reader": "chestx-det", "box": [0.6, 0.6, 0.7, 0.7]},
    ],
}


def nih_set(folder: Path, *changes: dict[str, object]) -> Path:
    """annotations.json with a film a change, and their pictures."""
    (folder / "images").mkdir(parents=True)
    rows = [
        ROW | {"id": f"0000000{number}_001", "patient": f"0000000{number}", "file": f"images/{number}.png"} | change
        for number, change in enumerate(changes)
    ]
    for row in rows:
        Image.new("L", (64, 64), rows.index(row)).save(folder / row["file"])
    (folder / "annotations.json").write_text(json.dumps(rows))
    return folder


def test_nih_says_who_looked_for_what(tmp_path: Path) -> None:
    mass = {"label": "Mass", "reader": "nih-bbox", "box": [0.1, 0.1, 0.3, 0.3]}
    both, opacities, normal, listed, mined, unread = read_nih(
        nih_set(
            tmp_path,
            {},
            {"annotators": ["rsna"], "regions": ROW["regions"][1:2]},
            {"annotators": ["rsna"], "regions": [], "status": "normal", "rsna_class": "Normal"},
            {"annotators": ["nih-bbox"], "regions": [mass]},
            {"annotators": ["nlp"], "regions": [], "status": "normal_nlp", "nlp_labels": [], "rsna_class": None},
            {"annotators": ["rsna"], "regions": [], "status": "abnormal_unlocalised", "nlp_labels": ["No Finding"]},
        )
    )
    assert both.looked_for is None
    assert both.reported == {"Infiltrate", "Pleural Thickening"}
    assert (both.age, both.sex, both.rsna_class) == (50, "F", "Lung Opacity")
    opacity, nodule = both.findings
    assert opacity == Finding(
        box=(0.1, 0.1, 0.32, 0.3), labels=frozenset({"Consolidation", "Lung Opacity"}), agreement=1.0
    )
    assert (nodule.labels, nodule.agreement) == ({"Nodule"}, 1.0)
    assert opacities.looked_for == OPACITIES
    assert not opacities.fully_read
    assert normal.looked_for is None
    assert listed.looked_for == frozenset()
    assert not listed.fully_read
    assert mined.looked_for is None
    assert (mined.reported, mined.rsna_class) == (frozenset(), "")
    assert (unread.looked_for, unread.reported) == (OPACITIES, frozenset())


def test_one_of_two_who_looked_is_half_an_agreement(tmp_path: Path) -> None:
    (film,) = read_nih(nih_set(tmp_path, {"regions": [ROW["regions"][0], ROW["regions"][2]]}))
    assert [finding.agreement for finding in film.findings] == [0.5, 1.0]


def test_what_is_wrong_in_nih_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"annotations.json is not there: name the folder"):
        read_nih(tmp_path)
    nih_set(tmp_path, {}, {"id": "00000000_001"})
    with pytest.raises(DataError, match=r"row 1: film 00000000_001 stands in row 0 already"):
        read_nih(tmp_path)
    (tmp_path / "annotations.json").write_text(json.dumps([ROW | {"status": "odd"}]))
    with pytest.raises(DataError, match=r"row 0 \(00000003_001\): 'odd' is not a valid Status"):
        read_nih(tmp_path)
    (tmp_path / "annotations.json").write_text("[")
    with pytest.raises(DataError, match="is no JSON"):
        read_nih(tmp_path)


fractions = st.floats(0, 1)
labels = st.frozensets(st.sampled_from(("Mass", "Nodule", "Effusion")))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    x0, x1 = sorted(draw(st.tuples(fractions, fractions).filter(lambda pair: pair[0] != pair[1])))
    y0, y1 = sorted(draw(st.tuples(fractions, fractions).filter(lambda pair: pair[0] != pair[1])))
    return x0, y0, x1, y1


examples = st.builds(
    Example,
    id=st.text(),
    path=st.sampled_from((Path("/far/away/a.dcm"), Path("/near/films/b.png"))),
    patient=st.text(),
    width=st.integers(1, 5000),
    view=st.text(),
    split=st.sampled_from(tuple(datalist.SECTIONS)),
    status=st.sampled_from(Status),
    readers=st.frozensets(st.text()),
    regions=st.lists(
        st.builds(
            Region,
            label=st.text(),
            reader=st.text(),
            box=boxes(),
            polygon=st.none() | st.lists(st.tuples(fractions, fractions), min_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    age=st.none() | st.integers(0, 120),
    sex=st.sampled_from(("M", "F", "")),
    reported=labels,
    rsna_class=st.text(),
    looked_for=st.none() | labels,
    findings=st.lists(st.builds(Finding, box=boxes(), labels=labels, agreement=fractions), max_size=3).map(tuple),
)


@given(examples)
def test_every_film_comes_back_as_it_was(example: Example) -> None:
    entry = json.loads(json.dumps(datalist._entry(example, Path("/near"))))
    assert datalist._example(entry, example.split, Path("/near")) == example


def test_all_sources_in_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = tmp_path / "sets"
    coco, images = coco_set(sets / "coco")
    words = ["--nih", nih_set(sets / "nih", {}, {"split": "val"}), "--vindr", physionet(sets / "vindr")]
    words += ["--coco", coco, "--images", images, "--out", tmp_path / "list" / "all.json", "--validation", "0.5"]
    datalist.main([str(word) for word in words])
    shown = capsys.readouterr().out
    films = read_films(tmp_path / "list" / "all.json")
    assert len(films) == 2 + 6 + 5
    for said in ("abnormal_localised", "partly_normal", "Effusion", "Nodule/Mass", "0.67", "everything", "test"):
        assert said in shown
    datalist.main(["--show", str(tmp_path / "list" / "all.json")])
    assert shown.endswith(capsys.readouterr().out)
    vindr = {film.id: film for film in read_vindr(sets / "vindr", validation=0.5)}
    assert {film.id: film for film in films if film.id in vindr} == vindr


def test_paths_move_with_the_list_and_monai_finds_them(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    write_datalist(read_vindr(kaggle(folder)), folder / "list.json")
    moved = folder.rename(tmp_path / "there")
    assert all(film.path.is_file() for film in read_datalist(moved / "list.json"))
    for section in ("training", "validation"):
        for entry in load_decathlon_datalist(str(moved / "list.json"), False, section):
            assert Path(entry["image"]).is_file()
    entries = json.loads((moved / "list.json").read_text())["training"]
    assert entries[0]["image"].startswith("train/")


def test_a_list_written_by_hand_needs_no_findings(tmp_path: Path) -> None:
    films = read_vindr(kaggle(tmp_path))
    write_datalist(films, tmp_path / "list.json")
    content = json.loads((tmp_path / "list.json").read_text())
    for entry in (*content["training"], *content["validation"]):
        del entry["findings"]
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert {film.id: film for film in read_datalist(tmp_path / "list.json")} == {film.id: film for film in films}


def test_a_folder_is_read_by_what_is_in_it(tmp_path: Path) -> None:
    nih_set(tmp_path / "nih", {})
    kaggle(tmp_path / "vindr")
    write_datalist(read_nih(tmp_path / "nih"), tmp_path / "list.json")
    assert read_films(tmp_path / "nih") == read_nih(tmp_path / "nih") == read_films(tmp_path / "list.json")
    assert read_films(tmp_path / "vindr") == read_vindr(tmp_path / "vindr")
    with pytest.raises(DataError, match="no table of boxes"):
        read_films(tmp_path)


def test_an_interrupted_write_leaves_the_list_before_it(tmp_path: Path) -> None:
    films = read_nih(nih_set(tmp_path / "nih", {}))
    path = tmp_path / "list.json"
    write_datalist(films, path)
    before = path.read_bytes()
    twice = [*films, *films[:0], Example(**{**vars(films[0]), "split": "val", "id": "other"})]
    with pytest.raises(DataError, match="1 patients have films in more than one split"):
        write_datalist(twice, path)
    assert path.read_bytes() == before


def test_what_cannot_be_listed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = nih_set(tmp_path / "nih", {}, {}, {})
    films = read_nih(folder)
    with pytest.raises(DataError, match="film 00000000_001 stands in the list twice"):
        write_datalist([*films, Example(**{**vars(films[0]), "path": tmp_path})], tmp_path / "list.json")
    (folder / "images" / "1.png").unlink()
    out = ["--nih", str(folder), "--out", str(tmp_path / "list.json")]
    with pytest.raises(SystemExit, match=r"1 of 3 films are listed and not there, the first is .*1.png"):
        datalist.main(out)
    datalist.main([*out, "--skip-absent"])
    assert len(read_datalist(tmp_path / "list.json")) == 2
    capsys.readouterr()
    for words in (["--out", "x.json", "--coco", "y.json"], ["--nih", "z"], []):
        with pytest.raises(SystemExit):
            datalist.main(words)
    assert "--coco and --images go together" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="no film is left"):
        datalist.main(["--out", str(tmp_path / "x.json")])


def test_a_picture_in_two_splits_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = nih_set(tmp_path / "nih", {}, {}, {"split": "val"})
    pictures = [folder / "images" / f"{number}.png" for number in range(3)]
    pictures[1].write_bytes(pictures[0].read_bytes())
    write_datalist(read_nih(folder), tmp_path / "list.json")
    assert "1 pictures are listed twice, the first as films 00000000_001 and 00000001_001" in caplog.text
    pictures[2].write_bytes(pictures[0].read_bytes())
    with pytest.raises(DataError, match=r"0.png \(train\) and .*2.png \(val\) are the same picture"):
        write_datalist(read_nih(folder), tmp_path / "list.json")


def test_a_broken_list_is_named_by_its_row(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    with pytest.raises(DataError, match="is not there"):
        read_datalist(path)
    write_datalist(read_nih(nih_set(tmp_path / "nih", {}, {"split": "val"})), path)
    content = json.loads(path.read_text())
    content["validation"][0]["findings"][0]["box"] = [0.5, 0.5, 0.4, 0.6]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"list.json, validation 0 \(00000001_001\): box .* is not inside the image"):
        read_datalist(path)
    content["validation"][0]["findings"] = []
    del content["validation"][0]["status"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"validation 0 \(00000001_001\): 'status' is missing"):
        read_datalist(path)
    path.write_text('{"films": []}')
    with pytest.raises(DataError, match="is no datalist"):
        read_datalist(path)


@pytest.mark.data
def test_the_real_films(data: Path) -> None:
    films = read_nih(data / "nih")
    assert len(films) == 8_257
    assert sum(len(film.findings) for film in films) == 6_369
    assert {film.sex for film in films} == {"M", "F"}
    assert all(film.looked_for is None for film in films if "chestx-det" in film.readers)
    drawn = {region.label for film in films for region in film.regions}
    assert {"Infiltrate", "Pleural Thickening"} <= drawn & set().union(*(film.reported for film in films))
