"""Each term: right at the truth, with gradients that lead there, silent where nobody looked."""

import pytest
import torch
from torch import Tensor

from model.network import Heads
from tests.training.examples import GRID, example, wanted
from training.contrastive import RegionContrast
from training.datalist import Box, Status
from training.losses import (
    box_terms,
    boxes_of,
    filled_boxes,
    filled_term,
    heat_term,
    image_term,
    outline_term,
    overlaps,
)
from training.projection import projection
from training.targets import Targets

BOX: Box = (0.25, 0.5, 0.5, 0.75)
NORMAL = example(status=Status.NORMAL)


def heads(count: int = 1, channels: int = 1, **changed: Tensor) -> Heads:
    torch.manual_seed(0)
    maps = {name: torch.randn(count, channels, GRID, GRID) for name in ("heat", "quality")}
    parts = maps | {
        "mask": torch.randn(count, 1, GRID, GRID),
        "distances": torch.rand(count, channels, 4, GRID, GRID) * 5 + 1,
        "image": torch.randn(count),
        "pooled": torch.zeros(count, 320),
        "features": torch.randn(count, 64, GRID, GRID),
    }
    return Heads(**{name: part.requires_grad_() for name, part in (parts | changed).items()})


def perfect(target: Targets) -> Heads:
    """Heads that say exactly what is wanted."""
    sign = torch.tensor([-1.0, -1.0, 1.0, 1.0])[:, None, None]
    nothing = torch.zeros_like(target.cell_boxes)
    distances = (target.cell_boxes - boxes_of(nothing)) * sign
    return heads(
        len(target.abnormal),
        target.heat.shape[1],
        mask=(target.mask[:, None] * 2 - 1) * 20,
        heat=torch.where(target.centre > 0, 20.0, -20.0),
        distances=torch.where(target.box_weight[:, :, None] > 0, distances, 1.0),
        quality=torch.full_like(target.heat, 20.0),
        image=(target.abnormal * 2 - 1) * 20,
    )


def terms(said: Heads, target: Targets) -> dict[str, Tensor]:
    box, quality = box_terms(said.distances, said.quality, target)
    return {
        "heat": heat_term(said.heat, target),
        "box": box,
        "quality": quality,
        "outline": outline_term(said.mask, target),
        "image": image_term(said, target),
    }


@pytest.mark.parametrize("plan", ["dissociated", "protocols", "diseases"])
def test_the_truth_costs_nothing(plan: str) -> None:
    films = example(BOX), example((0.1, 0.1, 0.2, 0.2), (0.6, 0.6, 1.0, 1.0)), NORMAL
    target = wanted(*films, plan=plan)
    for name, part in terms(perfect(target), target).items():
        # The mask's ellipse leaves some corners open; only their Dice smoothing remains.
        assert part.detach().item() < 0.02, name


def test_every_head_gets_a_gradient() -> None:
    said = heads(2)
    sum(terms(said, wanted(example(BOX), NORMAL)).values(), torch.zeros(())).backward()
    for name in ("mask", "heat", "distances", "quality", "image"):
        gradient = getattr(said, name).grad
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
        assert gradient.abs().sum() > 0, name


def test_a_film_without_a_box_teaches_no_box() -> None:
    said = heads()
    cost = terms(said, wanted(NORMAL))
    assert cost["box"].detach().item() == 0
    sum(cost.values(), torch.zeros(())).backward()
    assert said.distances.grad is not None
    assert said.distances.grad.abs().sum() == 0


def test_silent_where_a_tiny_region_lies() -> None:
    said = heads()
    sum(terms(said, wanted(example(BOX, (0.8, 0.1, 0.82, 0.12)))).values(), torch.zeros(())).backward()
    assert said.heat.grad is not None
    assert said.heat.grad[0, 0, 4, 32] == 0
    assert said.heat.grad[0, 0, 35, 5] != 0


def test_a_channel_nobody_looked_for_gets_no_gradient() -> None:
    said = heads(channels=2)
    heat_term(said.heat, wanted(example(BOX, labels=("Effusion",)), plan="protocols")).backward()
    assert said.heat.grad is not None
    assert said.heat.grad[0, 0].abs().sum() > 0
    assert said.heat.grad[0, 1].abs().sum() == 0


def test_two_boxes_cost_the_mean_of_each() -> None:
    small: Box = (0.1, 0.1, 0.2, 0.2)
    large: Box = (0.4, 0.3, 0.9, 0.9)
    said = heads()
    each = [box_terms(said.distances, said.quality, wanted(example(box)))[0].item() for box in (small, large)]
    both = box_terms(said.distances, said.quality, wanted(example(small, large)))[0].item()
    assert both == pytest.approx(sum(each) / 2, abs=1e-4)


def test_overlaps() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    b = torch.tensor([[0.0, 0.0, 2.0, 1.0], [3.0, 0.0, 4.0, 1.0]])
    iou, giou = overlaps(*(part.T[None, None, :, :, None] for part in (a, b)))
    assert iou.flatten().tolist() == [0.5, 0.0]
    assert giou.flatten().tolist() == [0.5, -0.5]


def test_a_box_at_the_edge_is_finite() -> None:
    said, target = heads(), wanted(example((0.0, 0.9, 0.1, 1.0), (0.97, 0.0, 1.0, 0.1)))
    total = sum(terms(said, target).values(), torch.zeros(())) + projection(said.mask, target).total()
    total.backward()
    assert torch.isfinite(total)


def test_filled_boxes_want_rectangles() -> None:
    target = wanted(example(BOX), NORMAL)
    filled = filled_boxes(target).amax(1)
    assert filled.sum((1, 2)).tolist() == [100, 0]
    assert filled_term((filled[:, None] * 2 - 1) * 20, target).item() < 1e-4
    ellipse = wanted(example(BOX)).mask
    assert filled_term((ellipse[:, None] * 2 - 1) * 20, wanted(example(BOX))).item() > 0.1


def test_a_mask_a_channel_is_asked_for_its_own_boxes() -> None:
    target = wanted(example((0.1, 0.1, 0.3, 0.3), labels=("Effusion",)), plan="diseases")
    channels = target.channels.shape[2]
    right = (filled_boxes(target)[:, :, None] * target.channels[..., None, None]).amax(1)
    assert filled_term((right * 2 - 1) * 20, target).item() < 1e-4
    wrong = right.roll(1, dims=1)
    assert filled_term((wrong * 2 - 1) * 20, target).item() > 1 / channels


def as_logits(mask: Tensor) -> Tensor:
    return ((mask * 2 - 1) * 12)[:, None]


def test_shadows_are_content_with_an_ellipse_and_with_a_rectangle() -> None:
    target = wanted(example(BOX))
    for mask in (target.mask, filled_boxes(target).amax(1)):
        cost = projection(as_logits(mask), target)
        assert cost.shadow.item() < 0.05
        assert cost.emptiness.item() < 1e-4
        assert cost.fill.item() == 0


def test_shadows_mind_a_box_that_is_too_narrow_too_wide_or_empty() -> None:
    target = wanted(example(BOX))
    exact = projection(as_logits(target.mask), target).total().item()
    narrow, wide, thin = (torch.zeros(1, GRID, GRID) for _ in range(3))
    narrow[:, 20:30, 13:17] = 1
    wide[:, 17:33, 7:23] = 1
    thin[:, 20:30, 15:16] = thin[:, 24:25, 10:20] = 1
    for mask in (narrow, wide, thin, torch.zeros(1, GRID, GRID), torch.ones(1, GRID, GRID)):
        assert projection(as_logits(mask), target).total().item() > exact + 0.02


def test_diagonal_boxes_cast_two_shadows_not_four() -> None:
    both = wanted(example((0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.8, 0.8)))
    four = both.mask.clone()
    four[:, 4:12, 24:32] = four[:, 24:32, 4:12] = 1
    assert projection(as_logits(both.mask), both).total().item() < 0.06
    assert projection(as_logits(four), both).emptiness.item() > 0.1


def test_a_neighbour_is_no_fault_of_a_box() -> None:
    touching = wanted(example((0.2, 0.2, 0.4, 0.4), (0.42, 0.2, 0.62, 0.4)))
    assert projection(as_logits(filled_boxes(touching).amax(1)), touching).shadow.item() < 0.03


def test_a_nodule_weighs_as_much_as_an_effusion() -> None:
    target = wanted(example((0.1, 0.1, 0.16, 0.16), (0.4, 0.4, 0.9, 0.9)))
    filled = filled_boxes(target)
    missing = [projection(as_logits(filled[:, keep]), target).shadow.item() for keep in (0, 1)]
    assert missing[0] == pytest.approx(missing[1], rel=0.1)


def test_emptiness_is_not_asked_for_where_nobody_looked() -> None:
    target = wanted(example(status=Status.UNLOCALISED, readers=("rsna",)))
    mask = torch.zeros(1, 1, GRID, GRID, requires_grad=True)
    cost = projection(mask, target).total()
    cost.backward()
    assert cost.item() == 0
    assert mask.grad is not None
    assert mask.grad.abs().sum() == 0


def contrast(features: Tensor, target: Targets) -> Tensor:
    torch.manual_seed(0)
    return RegionContrast()(features, target, torch.Generator().manual_seed(0))


def test_regions_of_different_diseases_attract_and_normal_tissue_repels() -> None:
    films = example(BOX, labels=("Mass",)), example(BOX, labels=("Effusion",)), NORMAL
    target = wanted(*films)
    alike = torch.zeros(3, 64, GRID, GRID)
    alike[:2, 0], alike[2, 1] = 1, 1
    apart = alike.clone()
    apart[1] = alike[2]
    assert contrast(alike, target) < contrast(apart, target)
    moved = alike.clone().requires_grad_()
    contrast(moved, target).backward()
    assert moved.grad is not None
    assert moved.grad[0].abs().sum() > 0
    assert moved.grad[0, :, 0, 0].abs().sum() == 0


@pytest.mark.parametrize(
    "films",
    [
        (example(BOX), example(BOX), NORMAL),
        (example(BOX), example(BOX, labels=("Effusion",))),
        (NORMAL, NORMAL),
    ],
    ids=["one disease", "no normal film", "no region"],
)
def test_what_cannot_be_compared_costs_nothing_and_has_no_gradient(films) -> None:
    features = torch.randn(len(films), 64, GRID, GRID).requires_grad_()
    cost = contrast(features, wanted(*films))
    cost.backward()
    assert cost.item() == 0
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert features.grad.abs().sum() == 0
