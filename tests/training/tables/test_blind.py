"""Baselines that see no picture find what is always in the same place, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.examples import example
from tests.training.tables.conftest import PLACE, film
from training.tables.blind import blind, fixed_boxes

CORNER = (0.7, 0.7, 0.9, 0.9)


def at(number: int, box: tuple[float, float, float, float], split: str) -> object:
    return replace(example(box), id=f"{split} {number}", patient=f"{split} {number}", split=split, view="AP")


def normal(number: int, split: str, view: str = "PA") -> object:
    return replace(film(number, None), id=f"n {split} {number}", patient=f"n {split} {number}", split=split, view=view)


def test_the_first_box_is_where_most_findings_are() -> None:
    films = [at(n, PLACE if n % 3 else CORNER, "train") for n in range(30)]
    boxes = fixed_boxes(films, count=2)
    assert [box for box, _ in boxes] == [PLACE, CORNER]
    assert [score for _, score in boxes] == pytest.approx([20 / 30, 10 / 30])


def test_boxes_and_facts_measured_on_other_patients() -> None:
    rng = np.random.default_rng(0)
    places = [(x, y, x + 0.08, y + 0.08) for x, y in rng.uniform(0, 0.9, (40, 2))]
    train = [at(n, PLACE if n % 2 else place, "train") for n, place in enumerate(places)]
    val = [at(n, PLACE if n % 4 else CORNER, "val") for n in range(40)]
    everybody = [*train, *val, *(normal(n, split) for split in ("train", "val") for n in range(40))]
    froc, images = blind(everybody)
    primary = dict(zip(froc.columns, froc.rows[0], strict=True))
    # Thirty of forty at the first box, which is false on fifty of eighty films.
    assert primary["0.5"].value == 0
    assert primary["1"].value == 0.75
    assert primary["pointing"].value == 0.75
    # Here the view gives everything away, which a reader of any AUROC needs to know.
    assert all(row[-1].value == 1.0 for row in images.rows)


def test_facts_that_tell_nothing_tell_nothing() -> None:
    sides = ("PA", "AP")
    train = [replace(at(n, PLACE, "train"), view=sides[n % 2]) for n in range(40)]
    val = [replace(at(n, PLACE, "val"), view=sides[n % 2]) for n in range(40)]
    both = [normal(n, split, sides[n % 2]) for split in ("train", "val") for n in range(40)]
    _, images = blind([*train, *val, *both])
    assert all(row[-1].value == pytest.approx(0.5, abs=0.01) for row in images.rows)
