"""The tables of one model: each counts what it says."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.tables.conftest import ELSEWHERE, PLACE, Said, film, said
from training.datalist import Example, Region
from training.evaluate import for_card, tables
from training.evaluation import pictures
from training.evaluation.against import against
from training.evaluation.masks import cover
from training.evaluation.report import PRIMARY, Measured, report
from training.tables.card import write

FILMS = [
    film(
        n,
        ("Effusion", "Nodule", None)[n % 3],
        width=512 if n % 2 else 128,
        age=20 + n % 60,
        view="PA" if n % 5 else "AP",
    )
    for n in range(240)
]
WIDE = film(990, "Effusion", looked_for=frozenset({"Lung Opacity"}))


def speaks(one: Example) -> Said:
    """Finds effusions with confidence 0.8, nodules not at all; marks a third of the normals with 0.4."""
    if not one.boxes:
        return ([(ELSEWHERE, 0.4)] if int(one.id.split()[1]) % 9 == 2 else []), -2.0
    return [(PLACE if "Effusion" in one.findings[0].labels else ELSEWHERE, 0.8)], 2.0


def rows(sheet: object, key: int = 0) -> dict[object, dict[str, object]]:
    return {row[key]: dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows}


def test_the_primary_films_and_the_others() -> None:
    sheets = report(Measured(FILMS, said(FILMS, speaks), threshold=0.5))
    froc = rows(sheets["froc"])
    assert {PRIMARY, "512 px", "128 px", "AP", "PA", "16–39 years", "all localised and normal"} <= froc.keys()
    first = froc[PRIMARY]
    assert (first["n"], first["findings"], first["normals"]) == (240, 160, 80)
    # 80 of 160 found; the 80 false boxes on nodules' films score as high: all or nothing at a third of a box a film.
    assert [first[point].value for point in ("1/4", "1/2")] == [0.0, 0.5]
    assert first["AUROC"].value == 1.0
    # On normals only the boxes of 0.4 are false.
    assert rows(sheets["froc_normals"])[PRIMARY]["1/8"].value == 0.5

    reached = rows(sheets["operating"])[PRIMARY]
    assert reached["sensitivity"].value == 0.5
    assert reached["false positives an image"].value == pytest.approx(80 / 240)
    assert reached["normals with any box"].value == 0
    assert "0.5, fixed before" in sheets["operating"].notes[0]

    by = rows(sheets["recall"], 1)
    assert (by["Effusion"]["at the operating point"].value, by["Nodule"]["at the operating point"].value) == (1.0, 0.0)
    assert by["2–8 % of the film"]["findings"] == 160

    reliable = {(row[0], row[1]): row for row in sheets["reliability"].rows}
    assert reliable["boxes", "0.8–0.9"][4].value == 0.5
    assert reliable["films", "calibration error"][4].value == pytest.approx(0.119, abs=0.001)
    assert "masks" not in sheets


def test_a_threshold_that_is_found_is_found_on_others() -> None:
    sheets = report(Measured(FILMS, said(FILMS, speaks)))
    reached = rows(sheets["operating"])[PRIMARY]
    # A quarter of a box a normal is less than a third: the boxes of 0.4 are not shown.
    assert reached["boxes on a normal film"].value == 0
    assert reached["sensitivity"].value == 0.5
    assert "found on other patients' clean normals" in sheets["operating"].notes[0]


def test_a_missing_film_is_one_without_findings() -> None:
    half = said(FILMS[::2], speaks)
    froc = rows(report(Measured(FILMS, half, threshold=0.5))["froc"])[PRIMARY]
    assert froc["n"] == 240
    assert froc["8"].value == pytest.approx(0.25)


def test_films_that_were_not_fully_read_are_beside_the_primary_ones() -> None:
    others = [
        replace(WIDE, id=f"film {n}", patient=str(n), readers=frozenset({"rsna"}), width=512 if n % 3 else 128)
        for n in range(900, 930)
    ]
    froc = rows(report(Measured([*FILMS, *others], said(FILMS, speaks), threshold=0.5))["froc"])
    assert froc[PRIMARY]["n"] == 240
    assert froc["all localised and normal"]["n"] == 270
    assert (froc["512 px, all"]["n"], froc["512 px, all"]["findings"]) == (120 + 20, 80 + 20)
    # of those with findings none that was read for everything; the normals are the same
    assert (froc["512 px, opacities alone"]["n"], froc["512 px, opacities alone"]["findings"]) == (40 + 20, 20)


def test_masks_are_told_where_they_are_at_hand() -> None:
    drawn = [example for example in FILMS[:60] if example.boxes]
    covers = {example.id: cover(example, [], 10, 10) for example in drawn}
    masks = report(Measured(FILMS, said(FILMS, speaks), 0.5, covers))["masks"]
    assert rows(masks)["films, against filled boxes"]["Dice"].value == 0
    assert rows(masks)["films, against outlines"]["n"] == 0


def test_the_model_in_the_place_of_readers() -> None:
    both = frozenset({"chestx-det", "rsna"})

    def twice(number: int) -> Example:
        regions = [Region(label="Consolidation", reader="chestx-det", box=PLACE, polygon=None)] if number % 2 else []
        regions += [Region(label="Lung Opacity", reader="rsna", box=PLACE, polygon=None)]
        return replace(film(number, "Mass"), readers=both, regions=tuple(regions))

    films = [twice(number) for number in range(40)]
    sheet = against(films, said(films, lambda one: ([(PLACE, 0.9)], 0.0)))
    first = rows(sheet)["ChestX-Det's opacities against RSNA's"]
    assert (first["the readers"].value, first["the model"].value) == (0.5, 1.0)
    assert first["p (Holm)"] < 0.01


def test_everything_is_written(tmp_path: Path) -> None:
    sheets = tables(Measured(FILMS, said(FILMS, speaks), threshold=0.5))
    write("evaluation", list(sheets.values()), tmp_path)
    pictures.evaluation(sheets, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {
        "evaluation.md",
        "evaluation.json",
        "evaluation-1.csv",
        "froc.png",
        "recall.png",
        "reliability.png",
    } <= names
    assert all(path.stat().st_size > 10_000 for path in tmp_path.glob("*.png"))
    assert for_card(sheets)[0].title == sheets["froc"].title
