"""Nothing of a disease held back leaks into the training that is to meet it for the first time."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from tests.training.examples import example
from training.data.example import merged
from training.datalist import Example, Region, Status, read_nih
from training.protocol import (
    TARGETS,
    clean_normal,
    control,
    fold_of,
    involves,
    left_out,
    measured,
    seen,
    shows,
)

BOX = (0.2, 0.2, 0.4, 0.4)
EFFUSION = TARGETS["Effusion"]


def drawn(*labels: str, box: tuple[float, float, float, float] = BOX, reader: str = "chestx-det") -> Example:
    regions = tuple(Region(label=label, reader=reader, box=box, polygon=None) for label in labels)
    return replace(example(readers=(reader,)), regions=regions, findings=merged(regions, {reader}))


@pytest.fixture(scope="module")
def films(data: Path) -> list[Example]:
    return read_nih(data / "nih")


def test_drawn_reported_or_too_small_to_be_scored_all_involve_the_target() -> None:
    speck = drawn("Effusion", box=(0.5, 0.5, 0.51, 0.51))
    assert involves(drawn("Mass", "Effusion"), EFFUSION)
    assert involves(speck, EFFUSION)
    assert not shows(speck, EFFUSION)
    assert involves(replace(drawn("Mass"), reported=frozenset({"Effusion"})), EFFUSION)
    assert not involves(replace(drawn("Mass"), reported=frozenset({"Nodule"})), EFFUSION)


def test_opacities_go_by_several_names() -> None:
    consolidation = frozenset({"Consolidation"})
    assert involves(drawn("Lung Opacity", reader="rsna"), consolidation)
    assert involves(replace(drawn("Mass"), rsna_class="Lung Opacity"), consolidation)
    assert involves(replace(drawn("Mass"), reported=frozenset({"Pneumonia"})), consolidation)
    assert not involves(drawn("Lung Opacity", reader="rsna"), EFFUSION)


def test_clean_normals() -> None:
    normal = example(status=Status.NORMAL, readers=("rsna",))
    assert clean_normal(normal)
    assert not clean_normal(replace(normal, reported=frozenset({"Nodule"})))
    assert clean_normal(example(status=Status.NORMAL_WEAK))
    assert not clean_normal(drawn("Mass"))
    assert not clean_normal(example(status=Status.NORMAL_REPORT, readers=("nlp",)))
    assert not clean_normal(example(status=Status.UNLOCALISED))


def test_an_unknown_target_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="'Hernia' is unknown: use one of Effusion"):
        seen([], 0, "Hernia")


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_leaks(films: list[Example], target: str) -> None:
    labels = TARGETS[target]
    for fold in (0, 1):
        parts = [seen(films, fold, target), left_out(films, fold, target), control(films, fold, target)]
        with_target, normals = measured(films, fold, target)
        tested = {film.patient for film in with_target + normals}
        for part in parts:
            assert not tested & {film.patient for film in part}
        assert not [film.id for film in parts[1] if labels & ({r.label for r in film.regions} | film.reported)]
        # By construction, but on the real films: enough of them to say something.
        assert len(with_target) > 50
        assert len(normals) > 300
        assert not {film.id for film in with_target} & {film.id for film in normals}


@pytest.mark.parametrize("target", TARGETS)
def test_the_control_is_as_large_and_made_of_the_same_sizes_and_states(films: list[Example], target: str) -> None:
    for fold in (0, 1):
        everything, without, matched = (f(films, fold, target) for f in (seen, left_out, control))
        assert Counter((e.status, e.width) for e in matched) == Counter((e.status, e.width) for e in without)
        assert {e.id for e in matched} <= {e.id for e in everything}
        if len(without) < len(everything):
            assert any(involves(e, TARGETS[target]) for e in matched)
        assert matched == control(films, fold, target)
        assert matched != control(films, fold, target, seed=1)


def test_a_target_that_no_report_names_is_trained_on_films_that_were_looked_at(films: list[Example]) -> None:
    for film in seen(films, 0, "Fracture"):
        assert "chestx-det" in film.readers or film.status is Status.NORMAL
    assert any(film.status is Status.NORMAL_REPORT for film in seen(films, 0, "Effusion"))


def test_the_folds_halve_the_patients_and_know_nothing_of_the_split(films: list[Example]) -> None:
    folds = {film.patient: fold_of(film.patient) for film in films}
    share = sum(folds.values()) / len(folds)
    assert share == pytest.approx(0.5, abs=0.03)
    of_val = [folds[film.patient] for film in films if film.split == "val"]
    assert sum(of_val) / len(of_val) == pytest.approx(0.5, abs=0.06)


def test_every_film_with_the_target_is_measured_on_once(films: list[Example]) -> None:
    for target, labels in TARGETS.items():
        parts = [{film.id for film in measured(films, fold, target)[0]} for fold in (0, 1)]
        assert not any(a & b for a, b in combinations(parts, 2))
        assert set().union(*parts) == {film.id for film in films if shows(film, labels)}
