"""Predictions come back from their file as they went in, and what does not belong together is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.predictions import Predictions, joined, load, save

SCORES = st.lists(st.floats(0, 1, width=32), max_size=5).map(lambda v: np.array(sorted(v, reverse=True), np.float32))


def of(scores: list[np.ndarray], prefix: str = "film") -> Predictions:
    rng = np.random.default_rng(0)
    return Predictions(
        ids=tuple(f"{prefix} {index}" for index in range(len(scores))),
        boxes=tuple(rng.random((len(part), 4), np.float32) for part in scores),
        scores=tuple(scores),
        channels=tuple(rng.integers(0, 14, len(part)).astype(np.int8) for part in scores),
        images=rng.normal(size=len(scores)).astype(np.float32),
    )


def same(a: Predictions, b: Predictions) -> bool:
    names = ("boxes", "scores", "channels")
    pairs = [pair for name in names for pair in zip(getattr(a, name), getattr(b, name), strict=True)]
    equal = all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)
    return equal and a.ids == b.ids and np.array_equal(a.images, b.images)


@given(st.lists(SCORES, max_size=6))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, scores: list[np.ndarray]) -> None:
    path = tmp_path_factory.mktemp("run") / "predictions.npz"
    save(of(scores), path)
    assert same(load(path), of(scores))
    assert list(path.parent.iterdir()) == [path]


def test_a_film_that_is_missing_is_one_in_which_nothing_was_found() -> None:
    known = of([np.array([0.9, 0.2], np.float32), np.array([0.5], np.float32)])
    asked = known.on(["film 1", "gone", "film 0"])
    assert asked.ids == ("film 1", "gone", "film 0")
    assert [len(scores) for scores in asked.scores] == [1, 0, 2]
    assert asked.images[1] < known.images.min()
    assert asked.images[[0, 2]].tolist() == known.images[[1, 0]].tolist()


def test_folds_are_joined() -> None:
    first, second = of([np.array([0.9], np.float32)], "a"), of([np.zeros(0, np.float32)], "b")
    assert joined([first, second]).ids == ("a 0", "b 0")
    assert same(joined([first]), first)
    assert joined([]).ids == ()
    with pytest.raises(ValueError, match="a 0 is predicted twice"):
        joined([first, first])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"scores": (np.array([0.1, 0.2], np.float32),)}, "film 0: boxes must come by falling score"),
        ({"boxes": (np.zeros((3, 4), np.float32),)}, "film 0: boxes"),
        ({"boxes": (np.full((2, 4), np.nan, np.float32),)}, "film 0: a box or a score is not finite"),
        ({"images": np.zeros(2, np.float32)}, "parts of other lengths"),
    ],
)
def test_what_does_not_belong_together_is_refused(change: dict[str, object], why: str) -> None:
    good = of([np.array([0.9, 0.2], np.float32)])
    with pytest.raises(ValueError, match=why):
        Predictions(**{**vars(good), **change})


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, ids=np.array(["1"]))
    with pytest.raises(ValueError, match=r"other\.npz is no file of predictions"):
        load(other)
    text = tmp_path / "text.npz"
    text.write_text("no archive")
    with pytest.raises(ValueError, match=r"text\.npz"):
        load(text)
