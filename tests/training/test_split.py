"""Nothing leaks over patients, and a film stays where it was when others come."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.split import MIN_AGE, adults, check_split, split_of
from training.datalist import DataError, Example, Status

patients = st.text(min_size=1, max_size=12)


def film(number: int, patient: str, split: str, age: int | None = None) -> Example:
    return Example(
        id=str(number),
        path=Path(f"{number}.png"),
        patient=patient,
        width=512,
        view="PA",
        split=split,
        status=Status.NORMAL,
        readers=frozenset({"R1"}),
        regions=(),
        age=age,
    )


@given(st.lists(patients, max_size=40), st.floats(0, 1))
def test_films_of_one_patient_are_in_one_split(whose: list[str], validation: float) -> None:
    films = [film(number, patient, split_of(patient, validation)) for number, patient in enumerate(whose)]
    check_split(films)
    assert {f.patient for f in films if f.split == "train"}.isdisjoint(f.patient for f in films if f.split == "val")


@given(st.lists(patients, min_size=2, max_size=20, unique=True), st.data())
def test_a_patient_in_two_splits_is_found(whose: list[str], data: st.DataObject) -> None:
    leaking = data.draw(st.sampled_from(whose))
    films = [film(number, patient, "train") for number, patient in enumerate(whose)]
    with pytest.raises(DataError, match=r"1 patients .* in (test|train|val) and (test|train|val)") as told:
        check_split([*films, film(99, leaking, "val")])
    assert leaking == str(whose.index(leaking)) or f"film {whose.index(leaking)}," in str(told.value)


@given(patients, st.floats(0, 1), st.floats(0, 1))
def test_more_validation_takes_patients_and_gives_none_back(patient: str, one: float, other: float) -> None:
    if split_of(patient, min(one, other)) == "val":
        assert split_of(patient, max(one, other)) == "val"
    assert split_of(patient, 0.0) == "train"
    assert split_of(patient, 1.0) == "val"


def test_the_share_is_kept_and_the_same_on_every_machine() -> None:
    split = [split_of(f"patient {number}", 0.2) for number in range(4000)]
    assert 0.18 < split.count("val") / 4000 < 0.22
    assert [number for number in range(40) if split_of(str(number)) == "val"] == [0, 7, 10, 38]


def test_children_are_left_out() -> None:
    films = [film(1, "a", "train", age=MIN_AGE - 1), film(2, "b", "train", age=MIN_AGE), film(3, "c", "train")]
    assert [f.id for f in adults(films)] == ["2", "3"]
