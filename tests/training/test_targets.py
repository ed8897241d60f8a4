"""What the heads are told: where, how large, how much it counts, and where nobody knows."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.examples import GRID, example, wanted
from training.augment import Views, blur, look, random_views
from training.channels import PARTLY_READ
from training.datalist import Box, Status
from training.targets import Targets


def of(film, plan: str = "dissociated", views: Views | None = None) -> Targets:
    """The targets of one film alone."""
    return Targets(*(part[0] for part in wanted(film, plan=plan, views=views)))


def test_a_box_is_one_centre_and_weighs_one() -> None:
    told = of(example((0.25, 0.5, 0.5, 0.75)))
    assert (told.heat[0] == 1).sum() == 1
    assert told.heat[0, 25, 15] == 1
    assert told.centre.sum() == 1
    assert told.box_weight.sum() == pytest.approx(1, abs=1e-5)
    assert told.cell_boxes[0, :, 25, 15].tolist() == [10, 20, 20, 30]
    assert told.abnormal == 1


def test_a_small_box_counts_as_much_as_a_large_one() -> None:
    told = of(example((0.1, 0.1, 0.15, 0.15), (0.4, 0.3, 0.9, 0.9)))
    assert told.box_weight[0, :10, :10].sum() == pytest.approx(1, abs=1e-5)
    assert told.box_weight[0, 10:, 10:].sum() == pytest.approx(1, abs=1e-5)


def test_of_overlapping_boxes_the_small_one_keeps_its_centre() -> None:
    told = of(example((0.0, 0.0, 1.0, 1.0), (0.45, 0.45, 0.55, 0.55)))
    assert told.cell_boxes[0, :, 20, 20].tolist() == pytest.approx([18, 18, 22, 22])


def test_a_tiny_region_is_neither_finding_nor_background() -> None:
    told = of(example((0.5, 0.5, 0.52, 0.52)))
    assert told.heat.max() == 0
    assert told.background[0, 20, 20] == 0
    assert told.background[0, 5, 5] == 1
    assert told.trust == 0


def test_who_did_not_look_everywhere_says_little_of_the_rest() -> None:
    assert of(example((0.2, 0.2, 0.4, 0.4), readers=("rsna",))).background[0, 35, 35] == pytest.approx(PARTLY_READ)
    assert of(example((0.2, 0.2, 0.4, 0.4))).background[0, 35, 35] == 1
    assert of(example(status=Status.NORMAL, readers=("rsna",))).background[0, 35, 35] == 1
    assert of(example(status=Status.NORMAL_REPORT, readers=("nlp",))).trust == 0.5


def test_a_channel_is_silent_where_nobody_looked_for_it() -> None:
    everything, opacities = 0, 1
    drawn = of(example((0.2, 0.2, 0.4, 0.4), labels=("Effusion",)), plan="protocols")
    assert drawn.centre.sum((1, 2)).tolist() == [1, 0]
    assert drawn.background[everything].min() == 1
    assert drawn.background[opacities].max() == 0
    rsna = of(example((0.2, 0.2, 0.4, 0.4), labels=("Lung Opacity",), readers=("rsna",)), plan="protocols")
    assert rsna.centre.sum((1, 2)).tolist() == [1, 1]
    assert rsna.background[opacities].min() == 1


def test_an_abnormal_film_without_opacities_says_so_of_opacities_alone() -> None:
    told = of(example(status=Status.UNLOCALISED, readers=("rsna",)), plan="protocols")
    assert told.background.amax((1, 2)).tolist() == [0, 1]
    assert told.abnormal == 1
    assert told.trust == 1
    assert told.mask_weight.max() == 0


def test_one_channel_a_disease() -> None:
    told = of(example((0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.8, 0.8), labels=("Mass", "Effusion")), plan="diseases")
    assert told.centre.sum((1, 2)).sum() == 2
    assert told.centre.sum((1, 2)).max() == 1


def test_readers_who_disagree_teach_their_share() -> None:
    box: Box = (0.25, 0.5, 0.5, 0.75)
    film = example(box)
    told = of(film)
    assert told.agreement[0] == film.findings[0].agreement == told.heat.max()


def test_an_outline_is_the_mask_and_a_bare_box_leaves_its_corners_open() -> None:
    box: Box = (0.25, 0.25, 0.75, 0.75)
    outlined = of(example(box, polygon=((0.25, 0.25), (0.75, 0.25), (0.25, 0.75))))
    assert outlined.mask[12, 12] == 1
    assert outlined.mask[28, 28] == 0
    assert outlined.mask_weight[28, 28] == 1
    assert outlined.outlined[0] == 1
    bare = of(example(box))
    assert bare.mask[20, 20] == 1
    assert bare.mask[10, 10] == 0
    assert bare.mask_weight[10, 10] == 0
    assert bare.mask_weight[2, 2] == 1
    assert bare.outlined[0] == 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_boxes_and_pictures_move_together(seed: int) -> None:
    views = random_views(1, torch.device("cpu"), torch.Generator().manual_seed(seed))
    film = torch.zeros(1, 1, 160, 160)
    film[..., 64:96, 48:80] = 1
    (box,), (seen,) = views.boxes(torch.tensor([[[48 / 160, 64 / 160, 80 / 160, 96 / 160]]]))
    assert seen == 1
    lit = look(film, views)[0, 0] > 0.5
    rows, columns = lit.any(1).nonzero(), lit.any(0).nonzero()
    found = [columns[0] / 160, rows[0] / 160, (columns[-1] + 1) / 160, (rows[-1] + 1) / 160]
    assert [float(edge) for edge in found] == pytest.approx(box[0].tolist(), abs=0.012)


def test_a_box_that_leaves_the_view_is_gone() -> None:
    views = Views(torch.ones(1, 2), torch.tensor([[1.0, 0.0]]))
    boxes = torch.tensor([[[0.1, 0.1, 0.3, 0.3], [0.6, 0.1, 0.8, 0.3], [0.3, 0.1, 0.8, 0.3], [0.0, 0.0, 0.0, 0.0]]])
    parts, seen = views.boxes(boxes)
    assert seen[0].tolist() == [0, 1, 1, 0]
    assert parts[0, 1].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.3])
    assert parts[0, 2].tolist() == pytest.approx([0.0, 0.1, 0.3, 0.3])


def test_a_film_whose_findings_left_the_view_is_hardly_believed() -> None:
    told = of(example((0.02, 0.1, 0.2, 0.3)), views=Views(torch.ones(1, 2), torch.tensor([[0.9, 0.0]])))
    assert told.centre.sum() == 0
    assert told.trust == pytest.approx(0.3)


def test_blur_takes_its_share_and_leaves_the_rest_alone() -> None:
    films = torch.rand(200, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = blur(films, 0.5, (8, 16), torch.Generator().manual_seed(1))
    changed = (blurred != films).flatten(1).any(1)
    assert 70 < int(changed.sum()) < 130
    assert torch.equal(blurred[~changed], films[~changed])


def test_what_lies_beyond_the_film_is_known_to_be_empty() -> None:
    told = of(example((0.4, 0.4, 0.6, 0.6)), views=Views(torch.tensor([[1.5, 1.5]]), torch.zeros(1, 2)))
    assert told.mask_weight[0, 0] == 1
    assert told.mask[0, 0] == 0
    assert told.background[0, GRID - 1, GRID - 1] == 1
