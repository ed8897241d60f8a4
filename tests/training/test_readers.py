"""One team of readers as if it were the model, another as the truth."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.examples import example
from training.datalist import Example, Region, read_nih
from training.readers import PAIRS, compare, reached, sheet

BOX, ELSEWHERE, CORNER = (0.2, 0.2, 0.4, 0.4), (0.6, 0.6, 0.9, 0.9), (0.0, 0.8, 0.1, 0.9)
CHESTX_ON_RSNA, RSNA_ON_CHESTX, ANY_ON_RSNA, _ = PAIRS


def region(label: str, reader: str, box: tuple[float, float, float, float]) -> Region:
    return Region(label=label, reader=reader, box=box, polygon=None)


def film(number: int, *regions: Region) -> Example:
    readers = frozenset({"chestx-det", "rsna"})
    return replace(example(), id=str(number), patient=str(number), readers=readers, regions=regions)


FILM = film(
    1,
    region("Consolidation", "chestx-det", BOX),
    region("Mass", "chestx-det", ELSEWHERE),
    region("Lung Opacity", "rsna", BOX),
    region("Lung Opacity", "rsna", CORNER),
)


def test_only_what_both_looked_for_counts() -> None:
    alone = replace(FILM, id="2", readers=frozenset({"chestx-det"}))
    compared = compare([FILM, alone], CHESTX_ON_RSNA)
    found, false = reached(compared)
    # The mass is no opacity and no false positive; the film that one team alone read is left out.
    assert (len(compared.examples), found.value, false.value) == (1, 0.5, 0.0)
    found, false = reached(compare([FILM], ANY_ON_RSNA))
    assert (found.value, false.value) == (0.5, 1.0)


def test_the_other_way_round_a_box_on_another_kind_is_neither_hit_nor_false() -> None:
    drawn = [*FILM.regions, region("Lung Opacity", "rsna", ELSEWHERE)]
    found, false = reached(compare([film(1, *drawn)], RSNA_ON_CHESTX))
    assert (found.value, false.value) == (1.0, 1.0)


def test_what_is_too_small_to_be_scored_is_not_scored_of_readers_either() -> None:
    speck = (0.5, 0.5, 0.52, 0.52)
    both = film(1, region("Consolidation", "chestx-det", speck), region("Lung Opacity", "rsna", speck))
    compared = compare([both], CHESTX_ON_RSNA)
    assert [len(scores) for scores in compared.predictions.scores] == [0]
    assert [len(truth.findings) for truth in compared.truths] == [0]


def test_small_groups_are_not_told() -> None:
    table = sheet([FILM])
    assert {row[1] for row in table.rows} == {"all"}


def test_the_readers_of_these_films(data: Path) -> None:
    """The figures of the model card, from the films themselves."""
    rows = {(row[0], row[1]): row for row in sheet(read_nih(data / "nih")).rows}
    whole, drew = (rows[CHESTX_ON_RSNA.name, name] for name in ("all", "both drew"))
    assert whole[2] > 800
    assert [cell.value for cell in whole[4:6]] == pytest.approx([0.57, 0.73], abs=0.02)
    assert whole[7].value == pytest.approx(0.57, abs=0.03)
    assert [cell.value for cell in drew[4:6]] == pytest.approx([0.69, 0.88], abs=0.02)
    assert whole[4].low < 0.56 < whole[4].high
