"""FROC and ROC: cases counted by hand, and any case against the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.evaluation import slow
from tests.training.evaluation.slow import Film, predictions, truths
from training.evaluation.curves import auroc, false_positives, marked, recall, sensitivity, threshold_at
from training.evaluation.matching import Outcomes, match

FIRST = (0.0, 0.0, 0.1, 0.1)
SECOND = (0.5, 0.5, 0.6, 0.6)
NOWHERE = (0.8, 0.8, 0.9, 0.9)

FILMS = [
    Film(predicted=[(FIRST, 0.9), (NOWHERE, 0.8), (SECOND, 0.3)], findings=[FIRST, SECOND]),
    Film(predicted=[(NOWHERE, 0.5)], findings=[], normal=True),
]
ONCE = np.ones((1, 2))
NORMAL = np.array([False, True])


def of(films: list[Film]) -> Outcomes:
    return match(predictions(films), truths(films))


def test_sensitivity_by_false_positives_an_image() -> None:
    # By falling score: hit, false, false (on the normal), hit; two films, two findings.
    assert sensitivity(of(FILMS), ONCE, (0.0, 0.5, 0.9, 1.0))[0].tolist() == [0.5, 0.5, 0.5, 1.0]


def test_false_positives_on_normal_films_alone() -> None:
    assert sensitivity(of(FILMS), ONCE, (0.5, 1.0), counted=NORMAL)[0].tolist() == [0.5, 1.0]


def test_only_the_findings_asked_for() -> None:
    second = np.array([False, True])
    assert sensitivity(of(FILMS), ONCE, (0.5, 1.0), of=second)[0].tolist() == [0.0, 1.0]
    assert recall(of(FILMS), ONCE, 0.25, of=second).tolist() == [1.0]
    assert recall(of(FILMS), ONCE, 0.35, of=second).tolist() == [0.0]


def test_equal_scores_stand_or_fall_together() -> None:
    tied = [Film(predicted=[(FIRST, 0.5), (NOWHERE, 0.5)], findings=[FIRST])]
    assert sensitivity(of(tied), np.ones((1, 1)), (0.5, 1.0))[0].tolist() == [0.0, 1.0]


def test_a_film_drawn_twice_counts_twice() -> None:
    drawn = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    rows = sensitivity(of(FILMS), drawn, (0.5,))[:, 0]
    # Twice the first: two false positives on two films; hits at 0 a film are two of four. Twice the normal: none.
    assert rows[:2].tolist() == [0.5, 0.5]
    assert np.isnan(rows[2])


def test_one_threshold() -> None:
    outcomes = of(FILMS)
    every = np.ones(2, bool)
    assert recall(outcomes, ONCE, 0.4).tolist() == [0.5]
    assert false_positives(outcomes, ONCE, 0.4, every).tolist() == [1.0]
    assert false_positives(outcomes, ONCE, 0.4, NORMAL).tolist() == [1.0]
    assert marked(outcomes, ONCE, 0.6, NORMAL).tolist() == [0.0]
    # One threshold a film: cross-fitted folds have their own.
    assert recall(outcomes, ONCE, np.array([0.2, 0.9])).tolist() == [1.0]


def test_a_threshold_lies_just_above_the_first_false_positive_too_many() -> None:
    outcomes = of(FILMS)
    assert threshold_at(outcomes, 1.0, NORMAL) == -np.inf
    assert threshold_at(outcomes, 0.5, NORMAL) == pytest.approx(0.5)
    assert false_positives(outcomes, ONCE, threshold_at(outcomes, 0.5, NORMAL), NORMAL)[0] == 0
    assert threshold_at(outcomes, 1.0, np.zeros(2, bool)) == np.inf
    tied = of([Film(predicted=[(NOWHERE, 0.5)], findings=[]) for _ in range(4)])
    assert false_positives(tied, np.ones((1, 4)), threshold_at(tied, 0.5, np.ones(4, bool)), np.ones(4, bool))[0] == 0


def test_nothing_predicted_is_nothing_found() -> None:
    blind = of([Film(predicted=[], findings=[FIRST])])
    assert sensitivity(blind, np.ones((1, 1)), (1.0, 8.0))[0].tolist() == [0.0, 0.0]
    assert recall(blind, np.ones((1, 1)), -np.inf).tolist() == [1.0] or recall(blind, np.ones((1, 1)), 0).tolist() == [
        0
    ]


EDGES = st.integers(0, 7)
BOX = st.tuples(EDGES, EDGES, st.integers(1, 3), st.integers(1, 3)).map(
    lambda v: (v[0] / 16, v[1] / 16, (v[0] + v[2]) / 16, (v[1] + v[3]) / 16)  # exact in binary: IoU 0.4 is a hit
)
SCORE = st.sampled_from([0.125, 0.25, 0.5, 0.75, 0.875])


@st.composite
def film(draw: st.DrawFn) -> Film:
    findings = draw(st.lists(BOX, max_size=2, unique=True))
    # The order of equal scores within a film is not defined: keep them apart there, not between films.
    scores = draw(st.lists(SCORE, max_size=4, unique=True))
    return Film(predicted=[(draw(BOX), score) for score in scores], findings=findings, normal=not findings)


@given(
    films=st.lists(film(), min_size=1, max_size=6).filter(lambda films: any(f.findings for f in films)),
    point=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
    normals=st.booleans(),
)
def test_any_films_by_the_definition(films: list[Film], point: float, normals: bool) -> None:
    counted = np.array([f.normal for f in films]) if normals else None
    ours = sensitivity(of(films), np.ones((1, len(films))), (point,), counted)[0, 0]
    assert ours == pytest.approx(slow.froc(films, point, normals=normals))


@given(
    films=st.lists(film(), min_size=2, max_size=5),
    counts=st.lists(st.integers(0, 3), min_size=5, max_size=5),
    point=st.sampled_from([0.25, 1.0]),
)
def test_drawing_a_film_often_is_having_it_often(films: list[Film], counts: list[int], point: float) -> None:
    drawn = np.array([counts[: len(films)]], np.float64)
    copies = [f for f, n in zip(films, counts, strict=False) for _ in range(n)]
    ours = sensitivity(of(films), drawn, (point,))[0, 0]
    if any(f.findings for f in copies):
        assert ours == pytest.approx(slow.froc(copies, point))
    else:
        assert np.isnan(ours)


def test_auroc() -> None:
    scores, positive = np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])
    assert auroc(scores, positive, ~positive, np.ones((1, 4)))[0] == pytest.approx(3.5 / 4)
    assert np.isnan(auroc(scores, positive, np.zeros(4, bool), np.ones((1, 4)))[0])
    assert np.isnan(auroc(np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), np.ones((1, 0)))[0])


def test_auroc_within_strata_is_not_fooled_by_them() -> None:
    # One stratum scores higher as a whole and holds most positives: unmatched that looks like knowledge.
    scores, strata = np.array([5.0, 5.0, 5.0, 5.0, 1.0, 1.0, 1.0, 1.0]), np.array([0] * 4 + [1] * 4)
    positive = np.array([1, 1, 1, 0, 1, 0, 0, 0], bool)
    once = np.ones((1, 8))
    assert auroc(scores, positive, ~positive, once)[0] == 0.75
    assert auroc(scores, positive, ~positive, once, strata)[0] == 0.5
    assert np.isnan(auroc(scores, positive, ~positive, once, np.arange(8))[0])


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.sampled_from("+-?"), st.integers(0, 2)), min_size=1, max_size=12),
)
def test_any_auroc_by_the_definition(rows: list[tuple[int, str, int]]) -> None:
    above = [score for score, side, count in rows if side == "+" for _ in range(count)]
    below = [score for score, side, count in rows if side == "-" for _ in range(count)]
    sides = np.array([side for _, side, _ in rows])
    drawn = np.array([[count for *_, count in rows]], np.float64)
    ours = auroc(np.array([float(score) for score, *_ in rows]), sides == "+", sides == "-", drawn)[0]
    if above and below:
        wins = [(a > b) + 0.5 * (a == b) for a in above for b in below]
        assert ours == pytest.approx(sum(wins) / len(wins))
    else:
        assert np.isnan(ours)
