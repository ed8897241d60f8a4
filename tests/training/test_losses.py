"""Each term: right at the truth, with gradients that lead there, silent where nobody looked."""

import torch

from model.network import Heads
from tests.training.test_targets import GRID, example
from training.augment import IDENTITY
from training.datalist import Example, Status
from training.losses import Terms, boxes_of, overlaps, terms
from training.targets import Targets, Weights, targets

BOX = (0.25, 0.5, 0.5, 0.75)


def wanted(*films: Example) -> Targets:
    return targets(list(films), [IDENTITY] * len(films), GRID, Weights())


def heads(count: int = 1, **changed: torch.Tensor) -> Heads:
    torch.manual_seed(0)
    maps = {name: torch.randn(count, 1, GRID, GRID) for name in ("mask", "heat", "quality")}
    parts = maps | {
        "distances": torch.rand(count, 4, GRID, GRID) * 5 + 1,
        "image": torch.randn(count),
        "pooled": torch.zeros(count, 320),
    }
    return Heads(**{name: part.requires_grad_() for name, part in (parts | changed).items()})


def perfect(target: Targets) -> Heads:
    """Heads that say exactly what is wanted."""
    truth = target.boxes * torch.tensor([-1.0, -1.0, 1.0, 1.0])[:, None, None]
    centre = boxes_of(torch.zeros_like(target.boxes)) * torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None, None]
    learns = (target.box_weight > 0)[:, None]
    return heads(
        len(target.image),
        mask=(target.mask[:, None] * 2 - 1) * 20,
        heat=torch.where(target.heat == 1, 20.0, -20.0)[:, None],
        distances=torch.where(learns, truth + centre, 1.0),
        quality=torch.full_like(target.heat, 20.0)[:, None],
        image=(target.image * 2 - 1) * 20,
    )


def test_the_truth_costs_nothing() -> None:
    target = wanted(example(BOX), example((0.1, 0.1, 0.2, 0.2), (0.6, 0.6, 1.0, 1.0)), example(status=Status.NORMAL))
    cost = terms(perfect(target), target)
    for name, part in zip(Terms._fields, cost, strict=True):
        # The mask's ellipse leaves some corners open; only their Dice smoothing remains.
        assert part.detach().item() < 0.02, name


def test_every_head_gets_a_gradient() -> None:
    said = heads(2)
    terms(said, wanted(example(BOX), example(status=Status.NORMAL))).total().backward()
    for name in ("mask", "heat", "distances", "quality", "image"):
        gradient = getattr(said, name).grad
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
        assert gradient.abs().sum() > 0, name


def test_a_film_without_a_box_teaches_no_box() -> None:
    said = heads()
    cost = terms(said, wanted(example(status=Status.NORMAL)))
    assert cost.box.detach().item() == 0
    cost.total().backward()
    assert said.distances.grad is not None
    assert said.distances.grad.abs().sum() == 0


def test_silent_where_a_tiny_region_lies() -> None:
    said = heads()
    terms(said, wanted(example(BOX, (0.8, 0.1, 0.82, 0.12)))).total().backward()
    assert said.heat.grad is not None
    assert said.mask.grad is not None
    assert said.heat.grad[0, 0, 4, 32] == 0
    assert said.heat.grad[0, 0, 35, 5] != 0


def test_two_boxes_cost_the_mean_of_each() -> None:
    small, large = (0.1, 0.1, 0.2, 0.2), (0.4, 0.3, 0.9, 0.9)
    said = heads()
    each = [terms(said, wanted(example(box))).box.detach().item() for box in (small, large)]
    both = terms(said, wanted(example(small, large))).box.detach().item()
    assert abs(both - sum(each) / 2) < 1e-4


def test_overlaps() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    b = torch.tensor([[0.0, 0.0, 2.0, 1.0], [3.0, 0.0, 4.0, 1.0]])
    iou, giou = overlaps(a, b)
    assert iou.tolist() == [0.5, 0.0]
    assert giou.tolist() == [0.5, -0.5]


def test_a_box_at_the_edge_is_finite() -> None:
    said = heads()
    cost = terms(said, wanted(example((0.0, 0.9, 0.1, 1.0), (0.97, 0.0, 1.0, 0.1))))
    cost.total().backward()
    assert torch.isfinite(cost.total())
