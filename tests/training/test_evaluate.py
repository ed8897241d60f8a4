"""What a manifest holds: who belongs to which group, and what each figure counts."""

from dataclasses import replace

from tests.training.examples import example
from training.datalist import Status
from training.evaluate import Marks, summary, validation

BOX = (0.2, 0.2, 0.4, 0.4)
ELSEWHERE = (0.6, 0.6, 0.9, 0.9)


def test_figures_by_size_and_reader() -> None:
    examples = [
        replace(example(BOX), id="1"),
        replace(example(BOX, readers=("rsna",)), width=128, id="2", looked_for=frozenset({"Lung Opacity"})),
        replace(example(status=Status.NORMAL, readers=("rsna",)), id="3"),
    ]
    marks: list[Marks] = [([(BOX, 0.9)], 0.9), ([(ELSEWHERE, 0.8)], 0.4), ([(BOX, 0.7)], 0.5)]
    figures = summary(examples, marks, threshold=0.75)
    assert set(figures) == {"all", "fully read", "512px", "128px"}
    everything = figures["all"]
    assert everything["froc"]["1.0"] == 0.5
    assert everything["auroc"] == 0.5
    assert everything["pointing"] == 0.5
    assert everything["operating_point"] == {
        "sensitivity": 0.5,
        "false_per_image": 0.333,
        "false_per_normal": 0.0,
        "normals_marked": 0.0,
    }
    # The film that only RSNA's readers saw does not count as fully read; the normal one does.
    assert figures["fully read"]["films"] == 2
    assert figures["128px"]["froc"]["8.0"] == 0


def test_only_films_whose_state_is_known_are_calibrated_on() -> None:
    known = replace(example(BOX), split="val")
    others = [example(BOX), replace(known, status=Status.NORMAL_REPORT), replace(known, status=Status.UNLOCALISED)]
    assert validation([known, *others]) == [known]
