"""The report: who belongs to which group, and what each figure counts."""

from dataclasses import replace

from tests.training.test_targets import example
from training.datalist import Status
from training.evaluate import Marks, report, validation
from training.readers import compare

BOX = (0.2, 0.2, 0.4, 0.4)
ELSEWHERE = (0.6, 0.6, 0.9, 0.9)


def test_figures_by_size_and_reader() -> None:
    examples = [
        example(BOX),
        replace(example(BOX, readers=("rsna",)), width=128),
        example(status=Status.NORMAL, readers=("rsna",)),
    ]
    marks: list[Marks] = [([(BOX, 0.9)], 0.9), ([(ELSEWHERE, 0.8)], 0.4), ([(BOX, 0.7)], 0.5)]
    figures = report(examples, marks, threshold=0.75)
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


def test_only_films_whose_state_is_known_are_measured_on() -> None:
    known = replace(example(BOX), split="val")
    others = [example(BOX), replace(known, status=Status.NORMAL_REPORT), replace(known, status=Status.UNLOCALISED)]
    assert validation([known, *others]) == [known]


def test_one_team_of_readers_against_another() -> None:
    both = example(BOX)
    drawn = both.regions[0]
    theirs = replace(drawn, label="Consolidation"), replace(drawn, label="Mass", box=ELSEWHERE)
    ours = replace(drawn, reader="rsna"), replace(drawn, reader="rsna", box=(0.0, 0.8, 0.1, 0.9))
    film = replace(both, readers=frozenset({"chestx-det", "rsna"}), regions=theirs + ours)
    reached = compare([film, both], least_iou=0.4)
    # The mass is no opacity and no false positive; the film that one team alone read is left out.
    assert (reached["films"], reached["sensitivity"], reached["false_per_image"]) == (1, 0.5, 0.0)
