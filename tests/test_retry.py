"""Properties of the one retry function."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.retry import wait

attempts = st.integers(min_value=1, max_value=10**9)
seconds = st.floats(min_value=1e-3, max_value=1e6)
jitters = st.floats(min_value=0, max_value=1)


@given(attempts, seconds, seconds, jitters)
def test_is_positive_finite_and_never_longer_than_the_longest(
    attempts: int, first: float, longest: float, jitter: float
) -> None:
    seconds = wait(attempts, first=first, longest=longest, jitter=jitter)
    assert 0 < seconds <= longest
    assert seconds >= min(first, longest) / 2


@given(attempts, seconds, seconds, jitters)
def test_never_shrinks_with_more_attempts(attempts: int, first: float, longest: float, jitter: float) -> None:
    now = wait(attempts, first=first, longest=longest, jitter=jitter)
    later = wait(attempts + 1, first=first, longest=longest, jitter=jitter)
    assert now <= later <= max(2 * now, longest)


@given(attempts, seconds, seconds, jitters, jitters)
def test_grows_with_jitter_by_at_most_double(
    attempts: int, first: float, longest: float, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    shorter = wait(attempts, first=first, longest=longest, jitter=low)
    longer = wait(attempts, first=first, longest=longest, jitter=high)
    assert shorter <= longer <= 2 * shorter


@given(seconds, seconds, jitters)
def test_reaches_the_longest_and_stays(first: float, longest: float, jitter: float) -> None:
    assert wait(10**9, first=first, longest=longest, jitter=jitter) == longest * (1 + jitter) / 2


def test_doubles_from_the_first_to_the_longest() -> None:
    waits = [wait(n, first=5, longest=900, jitter=1) for n in range(1, 11)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


@pytest.mark.parametrize(
    ("attempts", "first", "longest", "jitter"),
    [
        (0, 5, 900, 0.5),
        (1, 0, 900, 0.5),
        (1, 5, -1, 0.5),
        (1, math.nan, 900, 0.5),
        (1, 5, math.inf, 0.5),
        (1, 5, 900, 1.1),
        (1, 5, 900, math.nan),
    ],
)
def test_refuses_nonsense(attempts: int, first: float, longest: float, jitter: float) -> None:
    with pytest.raises(ValueError, match="is"):
        wait(attempts, first=first, longest=longest, jitter=jitter)
