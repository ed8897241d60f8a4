"""Drawing patients again: who is drawn, what the interval covers, what a p-value says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.bootstrap import divide, draws, estimate, holm, p_value, ratio


def test_a_patient_is_drawn_with_all_films() -> None:
    patients = ["a", "b", "a", "c"]
    drawn = draws(patients, rounds=200)
    assert drawn.shape == (201, 4)
    assert drawn[0].tolist() == [1, 1, 1, 1]
    assert (drawn[:, 0] == drawn[:, 2]).all()
    # As many patients as there are, in each row.
    assert (drawn[:, [0, 1, 3]].sum(1) == 3).all()
    assert (drawn == draws(patients, rounds=200)).all()


def test_the_interval_of_a_share_is_the_textbooks() -> None:
    found = (np.arange(400) % 4 == 0).astype(np.float64)
    drawn = draws([str(index) for index in range(400)], rounds=4000)
    share = estimate(ratio(drawn, found, np.ones(400)))
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert share.value == 0.25
    assert (share.low, share.high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.004)


def test_films_of_one_patient_are_one_witness() -> None:
    found = np.repeat((np.arange(100) % 4 == 0).astype(np.float64), 4)
    alone = estimate(ratio(draws([str(i) for i in range(400)]), found, np.ones(400)))
    together = estimate(ratio(draws([str(i // 4) for i in range(400)]), found, np.ones(400)))
    assert (together.high - together.low) == pytest.approx(2 * (alone.high - alone.low), rel=0.15)


def test_what_cannot_be_told_is_said() -> None:
    rows = divide(np.array([1.0, 2.0]), np.array([0.0, 4.0]))
    assert np.isnan(rows[0])
    assert str(estimate(rows)) == "–"
    assert str(estimate(np.array([0.5, np.nan, 0.25, 0.75]))) == "0.50 [0.26, 0.74]"
    assert np.isnan(p_value(rows))


def test_p_values() -> None:
    assert p_value(np.array([1.0, *([1.0] * 999)])) == pytest.approx(2 / 1000)
    assert p_value(np.array([0.1, *([1.0] * 500), *([-1.0] * 499)])) == 1.0
    # No difference in any row: no evidence.
    assert p_value(np.zeros(1001)) == 1.0


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_differences_are_found_where_they_are(shift: float) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(shift, 1, 300)
    p = p_value(ratio(draws([str(i) for i in range(300)]), values, np.ones(300)))
    assert (p < 0.01) == (shift > 0)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04 times 3, 2, 1: 0.03, 0.04, 0.04.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, float("nan"), 0.6]) == pytest.approx([1.0, float("nan"), 1.0], nan_ok=True)
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_by_the_definition(p: list[float]) -> None:
    corrected = holm(p)
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for rank, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            if p[index] * (len(p) - rank) > level:
                break
            rejected.add(index)
        assert rejected == {index for index, value in enumerate(corrected) if value <= level}
