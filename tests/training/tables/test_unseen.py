"""Diseases never seen: each network at its own threshold, both halves together, paired with those that saw."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.tables.conftest import ELSEWHERE, PLACE, Said, film, said
from training.datalist import Example
from training.protocol import fold_of
from training.tables.runs import read_runs
from training.tables.unseen import exchanged
from training.tables.unseen_sheets import unseen

KINDS = ["Effusion", "Mass", None, None]
FILMS = [film(n, KINDS[n % 4]) for n in range(400)]


def finds(share: float, shift: float = 0.0) -> Callable[[Example], Said]:
    """Finds this share of what is there; on every fourth normal a box; all scores moved by `shift`."""

    def of(one: Example) -> Said:
        number = int(one.id.split()[1]) // 4
        if not one.boxes:
            return ([(ELSEWHERE, 0.5 + shift)] if number % 4 == 0 else []), number % 5 - 10.0
        found = number % 10 < share * 10
        return [(PLACE if found else ELSEWHERE, 0.6 + shift)], float(found)

    return of


def half(fold: int, of: Callable[[Example], Said]):
    return said([one for one in FILMS if fold_of(one.patient) == fold], of)


def test_recall_of_each_role(leave: Callable[..., Path]) -> None:
    for fold in (0, 1):
        # One network of the two scores all higher: its own threshold makes up for it.
        high = 0.3 * fold
        leave("unseen", f"seen-{fold}", half(fold, finds(0.8, high)), arm="binary", role="seen", fold=fold)
        for arm, role, share in (
            ("binary", "left_out", 0.4),
            ("transfer", "left_out", 0.7),
            ("diseases", "left_out", 0.6),
            ("contrastive", "left_out", 0.7),
            ("binary", "control", 0.7),
        ):
            facts = {"arm": arm, "role": role, "fold": fold, "target": "Effusion"}
            runs = leave("unseen", f"{arm}-{role}-{fold}", half(fold, finds(share)), **facts)
    quarter, one, arms, images = unseen(FILMS, read_runs(runs, "unseen"))

    rows = {(row[0], row[3]): dict(zip(quarter.columns, row, strict=True)) for row in quarter.rows}
    effusion = rows["Effusion", "binary"]
    assert (effusion["films"], effusion["findings"]) == (100, 100)
    assert [effusion[role].value for role in ("seen", "left out", "control")] == pytest.approx([0.8, 0.4, 0.7])
    assert effusion["share kept"].value == pytest.approx(0.5)
    assert effusion["left out − seen"].value == pytest.approx(-0.4)
    # Paired: half of the films change, which unpaired intervals would not know.
    assert effusion["left out − seen"].high < -0.25
    # Here all findings lie in the same place: by chance as much is found as at all.
    assert effusion["left out, by chance"].value == pytest.approx(0.4)
    assert effusion["left out − control"].value == pytest.approx(-0.3)
    assert one.rows[0][4].value == pytest.approx(0.8)
    # The target is effusions, though the films show masks as well.
    assert rows["pleural", "binary"]["seen"].value == pytest.approx(0.8)
    assert rows["pleural", "binary"]["left out"] is None
    assert "contrastive control Effusion" in quarter.notes[-1]
    assert "binary seen Effusion" not in quarter.notes[-1]

    # Each against the arm that it changes one thing of.
    against = {row[1]: (row[2], round(row[3].value, 2)) for row in arms.rows}
    assert against == {
        "transfer": ("binary", 0.3),
        "diseases": ("transfer", -0.1),
        "contrastive": ("transfer", 0.0),
    }
    change = dict(zip(arms.columns, arms.rows[0], strict=True))
    assert change["recall at 1/4"].value == pytest.approx(0.3)
    assert change["p of recall at 1/4 (Holm)"] < 0.01

    ranks = {(row[0], row[3]): dict(zip(images.columns, row, strict=True)) for row in images.rows}
    assert ranks["Effusion", "binary"]["left out"].value == 1.0


def test_a_network_that_marks_normals_first_finds_nothing_at_equal_false_positives(leave: Callable[..., Path]) -> None:
    def of(one: Example) -> Said:
        return [(PLACE, 0.5 if one.boxes else 0.9)], 0.0

    for fold in (0, 1):
        runs = leave("unseen", f"seen-{fold}", half(fold, of), arm="binary", role="seen", fold=fold)
    quarter, one, *_ = unseen(FILMS, read_runs(runs, "unseen"))
    assert quarter.rows[0][4].value == 0
    assert one.rows[0][4].value == 1


def test_by_chance_is_with_the_boxes_of_another_film() -> None:
    films = [film(0, None), *(film(n, "Effusion") for n in range(1, 5))]
    own = {one.id: (0.1 * index, 0.0, 0.1 * index + 0.1, 0.1) for index, one in enumerate(films)}
    predictions = said(films, lambda one: ([(own[one.id], 0.5)], float(one.id.split()[1])))
    others = exchanged(predictions, np.array([False, True, True, True, True]))
    places = [boxes[0, 0] for boxes in others.boxes]
    assert sorted(places) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=1e-6)
    assert places[0] == 0
    assert all(abs(place - 0.1 * index) > 0.05 for index, place in enumerate(places) if index)
    assert others.images.tolist() == predictions.images.tolist()


def test_half_of_the_patients_will_do_until_the_trainings_for_the_others_are_there(
    leave: Callable[..., Path],
) -> None:
    facts = {"arm": "binary", "target": "Effusion"}
    for fold in (0, 1):
        leave("unseen", f"seen-{fold}", half(fold, finds(0.8)), arm="binary", role="seen", fold=fold)
    runs = leave("unseen", "left-0", half(0, finds(0.4)), role="left_out", fold=0, **facts)
    sheet = unseen(FILMS, read_runs(runs, "unseen"))[0]
    effusion = dict(zip(sheet.columns, sheet.rows[0], strict=True))
    assert effusion["films"] == len([one for one in FILMS if one.boxes and fold_of(one.patient) == 0]) / 2
    assert effusion["left out − seen"].value == pytest.approx(-0.4, abs=0.1)
    assert any("half of the patients (fold 0)" in note for note in sheet.notes)
    leave("unseen", "left-1", half(1, finds(0.4)), role="left_out", fold=1, **facts)
    both = unseen(FILMS, read_runs(runs, "unseen"))[0]
    assert both.rows[0][1] == 100
    assert not any("half of the patients" in note for note in both.notes)


def test_no_run_at_all_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"python -m training\.study unseen"):
        unseen(FILMS, [])


def test_a_finding_of_two_kinds_is_the_target(leave: Callable[..., Path]) -> None:
    both = [replace(one, reported=frozenset({"Effusion"})) if not one.boxes else one for one in FILMS]
    for fold in (0, 1):
        runs = leave("unseen", f"seen-{fold}", half(fold, finds(1.0)), arm="binary", role="seen", fold=fold)
    # Normals that report the target do not set its threshold; there are then none.
    sheet = unseen(both, read_runs(runs, "unseen"))[-1]
    assert [row[2] for row in sheet.rows if row[0] == "Effusion"] == [0]
