"""Films that one team called normal and another marked: which they are, and how often a model sides with whom."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.tables.conftest import ELSEWHERE, PLACE, Said, film, said
from training.datalist import Example, Region
from training.protocol import fold_of
from training.tables.perceptual import DISAGREEMENTS, Model, of_runs, perceptual
from training.tables.runs import read_runs

BOTH = frozenset({"chestx-det", "rsna"})


def drawn_by(number: int, reader: str, rsna_class: str, reported: frozenset[str] = frozenset({"Mass"})) -> Example:
    regions = (Region(label="Lung Opacity", reader=reader, box=PLACE, polygon=None),)
    return replace(film(number, "Mass"), readers=BOTH, regions=regions, rsna_class=rsna_class, reported=reported)


OVERLOOKED = [drawn_by(n, "chestx-det", "Normal") for n in range(40)]
SEEN = [drawn_by(n, "chestx-det", "No Lung Opacity / Not Normal") for n in range(100, 140)]
NORMAL = [film(n, None) for n in range(200, 280)]
FILMS = OVERLOOKED + SEEN + NORMAL


def speaks(one: Example) -> Said:
    """Half of what was overlooked, all of the rest; a faint box on every tenth normal."""
    number = int(one.id.split()[1])
    if one.boxes:
        found = number >= 100 or number % 2
        return ([(PLACE, 0.9)] if found else []), 1.0 if found else -3.0
    return ([(ELSEWHERE, 0.3)] if number % 10 == 0 else []), -1.0


def test_who_disagreed_with_whom() -> None:
    rsna, chestx, report = DISAGREEMENTS
    unread = replace(drawn_by(1, "chestx-det", ""), readers=frozenset({"chestx-det"}))
    assert [rsna.overlooked(one) for one in (OVERLOOKED[0], SEEN[0], NORMAL[0], unread)] == [True, False, False, False]
    assert [rsna.expected(one) for one in (OVERLOOKED[0], SEEN[0], unread)] == [False, True, False]
    theirs = drawn_by(2, "rsna", "Lung Opacity")
    assert chestx.overlooked(theirs)
    assert not chestx.overlooked(OVERLOOKED[0])
    assert not chestx.overlooked(replace(theirs, readers=frozenset({"rsna"})))
    assert report.overlooked(drawn_by(3, "rsna", "Lung Opacity", frozenset()))
    assert not report.overlooked(OVERLOOKED[0])
    assert not report.overlooked(NORMAL[0])


def test_how_often_the_model_sides_with_those_who_marked() -> None:
    (sheet,) = perceptual(FILMS, {"model": Model(said(FILMS, speaks), threshold=0.2)})
    rows = {row[1]: dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows}
    first = rows[DISAGREEMENTS[0].name]
    assert (first["n"], first["found"].value, first["films with any box"].value) == (40, 0.5, 0.5)
    # Half of the films rank above all normals, half below.
    assert first["AUROC against clean normals"].value == 0.5
    beside = sheet.rows[1]
    assert (beside[2], beside[4].value) == (40, 1.0)
    normals = rows["clean normals"]
    assert (normals["n"], normals["films with any box"].value) == (80, 0.1)
    assert normals["AUROC against clean normals"] is None


def test_films_that_were_not_predicted_are_not_counted() -> None:
    (sheet,) = perceptual(FILMS, {"model": Model(said(OVERLOOKED[:10] + NORMAL, speaks), threshold=0.2)})
    assert sheet.rows[0][2] == 10


def test_each_half_is_told_by_the_network_that_has_not_seen_it(leave: Callable[..., Path]) -> None:
    def louder(one: Example) -> Said:
        boxes, logit = speaks(one)
        return [(box, score + 0.5) for box, score in boxes], logit

    for fold, voice in ((0, speaks), (1, louder)):
        films = [one for one in FILMS if fold_of(one.patient) == fold]
        runs = leave("unseen", f"seen-{fold}", said(films, voice), arm="binary", role="seen", fold=fold)
        leave("unseen", f"left-{fold}", said(films, voice), arm="binary", role="left_out", fold=fold, target="Nodule")
    models = of_runs(read_runs(runs, "unseen"))
    assert list(models) == ["binary"]
    (sheet,) = perceptual(FILMS, models)
    # A tenth of the normals is less than a quarter: each network's threshold lets all boxes through.
    assert sheet.rows[0][2] == 40
    assert sheet.rows[0][4].value == pytest.approx(0.5)


def test_half_of_the_films_alone_is_no_model(leave: Callable[..., Path]) -> None:
    runs = leave("unseen", "seen-0", said(FILMS, speaks), arm="binary", role="seen", fold=0)
    assert of_runs(read_runs(runs, "unseen")) == {}
