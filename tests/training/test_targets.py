"""What the heads are told: where, how large, how much it counts, and where nobody knows."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.augment import IDENTITY, View, blur, look, random_view
from training.datalist import Example, Region, Status, merge
from training.targets import Weights, targets

GRID = 40


def example(
    *boxes: tuple[float, float, float, float],
    readers: tuple[str, ...] = ("chestx-det",),
    status: Status = Status.LOCALISED,
    polygon: tuple[tuple[float, float], ...] | None = None,
) -> Example:
    regions = tuple(Region(label="Mass", reader=readers[0], box=box, polygon=polygon) for box in boxes)
    return Example(
        id="1",
        path=Path("1.png"),
        patient="1",
        width=512,
        view="PA",
        split="train",
        status=status,
        readers=frozenset(readers),
        regions=regions,
    )


def of(film: Example, view: View = IDENTITY):  # a NamedTuple of one film's tensors
    wanted = targets([film], [view], GRID, Weights())
    return type(wanted)(*(part[0] for part in wanted))


def test_a_box_is_one_centre_and_weighs_one() -> None:
    wanted = of(example((0.25, 0.5, 0.5, 0.75)))
    assert (wanted.heat == 1).sum() == 1
    assert wanted.heat[25, 15] == 1
    assert wanted.box_weight.sum() == pytest.approx(1, abs=1e-5)
    assert wanted.boxes[:, 25, 15].tolist() == [10, 20, 20, 30]
    assert wanted.image == 1


def test_a_small_box_counts_as_much_as_a_large_one() -> None:
    wanted = of(example((0.1, 0.1, 0.15, 0.15), (0.4, 0.3, 0.9, 0.9)))
    assert wanted.box_weight[:10, :10].sum() == pytest.approx(1, abs=1e-5)
    assert wanted.box_weight[10:, 10:].sum() == pytest.approx(1, abs=1e-5)


def test_of_overlapping_boxes_the_small_one_keeps_its_centre() -> None:
    wanted = of(example((0.0, 0.0, 1.0, 1.0), (0.45, 0.45, 0.55, 0.55)))
    assert wanted.boxes[:, 20, 20].tolist() == pytest.approx([18, 18, 22, 22])


def test_boxes_drawn_twice_are_one_finding() -> None:
    merged = merge([(0.1, 0.1, 0.3, 0.3), (0.12, 0.1, 0.32, 0.3), (0.6, 0.6, 0.8, 0.8)])
    assert sorted(merged) == [(0.1, 0.1, 0.32, 0.3), (0.6, 0.6, 0.8, 0.8)]


def test_a_tiny_region_is_neither_finding_nor_background() -> None:
    wanted = of(example((0.5, 0.5, 0.52, 0.52)))
    assert wanted.heat.max() == 0
    assert wanted.background[20, 20] == 0
    assert wanted.background[5, 5] == 1
    assert wanted.trust == 0


def test_who_did_not_look_everywhere_says_little_of_the_rest() -> None:
    assert of(example((0.2, 0.2, 0.4, 0.4), readers=("rsna",))).background[35, 35] == Weights().partly_read
    assert of(example((0.2, 0.2, 0.4, 0.4))).background[35, 35] == 1
    assert of(example(status=Status.NORMAL, readers=("rsna",))).background[35, 35] == 1
    assert of(example(status=Status.NORMAL_REPORT, readers=("nlp",))).trust == Weights().normal_report


def test_an_outline_is_the_mask_and_a_bare_box_leaves_its_corners_open() -> None:
    box = (0.25, 0.25, 0.75, 0.75)
    outlined = of(example(box, polygon=((0.25, 0.25), (0.75, 0.25), (0.25, 0.75))))
    assert outlined.mask[12, 12] == 1
    assert outlined.mask[28, 28] == 0
    assert outlined.mask_weight[28, 28] == 1
    bare = of(example(box))
    assert bare.mask[20, 20] == 1
    assert bare.mask[10, 10] == 0
    assert bare.mask_weight[10, 10] == 0
    assert bare.mask_weight[2, 2] == 1


@pytest.mark.parametrize("seed", range(5))
def test_boxes_and_pictures_move_together(seed: int) -> None:
    view = random_view(np.random.default_rng(seed))
    film = torch.zeros(1, 1, 160, 160)
    film[..., 64:96, 48:80] = 1
    box = view.box((48 / 160, 64 / 160, 80 / 160, 96 / 160))
    assert box is not None
    seen = look(film, [view])[0, 0] > 0.5
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    found = [columns[0] / 160, rows[0] / 160, (columns[-1] + 1) / 160, (rows[-1] + 1) / 160]
    assert found == pytest.approx(box, abs=0.012)


def test_a_box_that_leaves_the_view_is_gone() -> None:
    view = View(scale=(1.0, 1.0), shift=(1.0, 0.0))
    assert view.box((0.1, 0.1, 0.3, 0.3)) is None
    assert view.box((0.6, 0.1, 0.8, 0.3)) == pytest.approx((0.1, 0.1, 0.3, 0.3))
    assert view.box((0.3, 0.1, 0.8, 0.3)) == pytest.approx((0.0, 0.1, 0.3, 0.3))


def test_blur_takes_its_share_and_leaves_the_rest_alone() -> None:
    films = torch.from_numpy(np.random.default_rng(0).random((200, 1, 32, 32), dtype=np.float32))
    blurred = blur(films, np.random.default_rng(1), share=0.5, sides=(8, 16))
    changed = (blurred != films).flatten(1).any(1)
    assert 70 < int(changed.sum()) < 130
