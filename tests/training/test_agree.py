"""Several readers' boxes as one: properties that hold for any boxes, and cases that can be reckoned by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.agree import SAME_PLACE, findings_of, fused
from training.data.boxes import Box, area, iou, merge, within
from training.data.example import MIN_AREA, Region, agreement

READERS = ("R1", "R2", "R3")


def drawn(reader: str, box: Box, label: str = "Mass") -> Region:
    return Region(label=label, reader=reader, box=box, polygon=None)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x = sorted(draw(st.lists(st.integers(0, 40), min_size=2, max_size=2, unique=True)))
    y = sorted(draw(st.lists(st.integers(0, 40), min_size=2, max_size=2, unique=True)))
    return x[0] / 40, y[0] / 40, x[1] / 40, y[1] / 40


regions = st.lists(
    st.builds(drawn, st.sampled_from(READERS), boxes(), st.sampled_from(("Mass", "Nodule", "Effusion"))), max_size=9
)


@given(regions)
def test_every_finding_stands_apart_within_the_film_and_is_agreed_on_by_somebody(rows: list[Region]) -> None:
    findings = fused(rows, READERS)
    for finding in findings:
        x0, y0, x1, y1 = finding.box
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert 0 < finding.agreement <= 1
    for index, finding in enumerate(findings):
        assert all(iou(finding.box, other.box) < SAME_PLACE for other in findings[:index])
    assert {label for finding in findings for label in finding.labels} == {row.label for row in rows}


@given(regions, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows: list[Region], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert fused(shuffled, READERS) == fused(rows, reversed(READERS))


@given(st.lists(boxes(), max_size=6))
def test_one_reader_is_believed(drawn_boxes: list[Box]) -> None:
    apart: list[Box] = []
    for box in drawn_boxes:
        if all(iou(box, other) < SAME_PLACE for other in apart):
            apart.append(box)
    findings = fused([drawn("R1", box) for box in apart], ["R1"])
    assert [finding.box for finding in findings] == sorted(apart)
    assert all(finding.agreement == 1 for finding in findings)


@given(regions, st.integers(0, 8))
def test_another_reader_who_draws_the_same_raises_the_agreement(rows: list[Region], which: int) -> None:
    if not rows:
        return
    box = rows[which % len(rows)].box
    alone = [row for row in rows if row.box == box or iou(row.box, box) == 0]
    place = max(fused(alone, [*READERS, "R4"]), key=lambda finding: iou(finding.box, box))
    with_another = fused([*alone, drawn("R4", place.box)], [*READERS, "R4"])
    again = max(with_another, key=lambda finding: iou(finding.box, place.box))
    assert again.agreement == pytest.approx(place.agreement + 1 / 4)
    assert again.box == pytest.approx(place.box)


@given(regions)
def test_all_readers_drawing_alike_agree_wholly(rows: list[Region]) -> None:
    first = [row for row in rows if row.reader == "R1"]
    everybody = [drawn(reader, row.box, row.label) for row in first for reader in READERS]
    assert all(finding.agreement == 1 for finding in fused(everybody, READERS))
    for finding, alone in zip(fused(everybody, READERS), fused(first, READERS), strict=True):
        assert finding.box == pytest.approx(alone.box)
        assert finding.labels == alone.labels


@settings(max_examples=100)
@given(st.lists(st.builds(drawn, st.sampled_from(READERS), boxes()), max_size=6), st.sampled_from((0.02, 0.1)))
def test_what_is_left_out_is_too_small(rows: list[Region], scale: float) -> None:
    tiny = [drawn(row.reader, tuple(side * scale for side in row.box)) for row in rows]  # type: ignore[arg-type]  # four sides
    kept = findings_of(tiny, READERS)
    assert all(area(finding.box) >= MIN_AREA for finding in kept)
    left_out = [finding for finding in fused(tiny, READERS) if finding not in kept]
    assert all(area(finding.box) < MIN_AREA for finding in left_out)


def test_a_place_is_the_mean_of_its_readers_and_who_drew_twice_weighs_once() -> None:
    rows = [
        drawn("R1", (0.2, 0.2, 0.4, 0.4), "Infiltrate"),
        drawn("R1", (0.2, 0.2, 0.4, 0.4), "Consolidation"),
        drawn("R2", (0.24, 0.2, 0.44, 0.4), "Lung Opacity"),
        drawn("R3", (0.7, 0.7, 0.8, 0.8), "Nodule"),
    ]
    opacity, nodule = fused(rows, READERS)
    assert opacity.box == pytest.approx((0.22, 0.2, 0.42, 0.4))
    assert opacity.labels == {"Infiltrate", "Consolidation", "Lung Opacity"}
    assert opacity.agreement == pytest.approx(2 / 3)
    assert nodule.agreement == pytest.approx(1 / 3)


def test_who_does_not_look_for_it_does_not_disagree() -> None:
    readers = {"chestx-det", "rsna", "nih-bbox", "nlp"}
    assert agreement(frozenset({"Nodule"}), {"chestx-det"}, readers) == 1
    assert agreement(frozenset({"Consolidation"}), {"chestx-det"}, readers) == 1 / 2
    assert agreement(frozenset({"Lung Opacity"}), {"rsna"}, readers) == 1 / 2
    assert agreement(frozenset({"Lung Opacity", "Effusion"}), {"rsna", "chestx-det"}, readers) == 1
    assert agreement(frozenset({"Cardiomegaly"}), {"nih-bbox"}, {"rsna", "nih-bbox"}) == 1


@given(st.lists(boxes(), max_size=8))
def test_boxes_merged_hold_all_and_overlap_no_more(rows: list[Box]) -> None:
    merged = merge(rows)
    assert all(iou(a, b) <= 0.3 for index, a in enumerate(merged) for b in merged[:index])
    for box in rows:
        assert any(m[0] <= box[0] and m[1] <= box[1] and m[2] >= box[2] and m[3] >= box[3] for m in merged)


@given(boxes(), st.integers(40, 4000), st.integers(40, 4000))
def test_pixels_to_fractions_and_back(box: Box, columns: int, rows: int) -> None:
    x0, y0, x1, y1 = box
    pixels = (x0 * columns, y0 * rows, x1 * columns, y1 * rows)
    assert within(pixels, columns, rows) == pytest.approx(box)


@pytest.mark.parametrize(
    "box", [(-1, 5, 10, 10), (5, -2, 10, 10), (5, 5, 101, 10), (5, 5, 10, 51), (99.5, 5, 100.5, 60), (100, 5, 100.5, 9)]
)
def test_a_box_outside_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="is not inside the picture of 100 x 50 pixels"):
        within(box, 100, 50)
