"""From heads to predictions, in batches."""

import numpy as np
import pytest
import torch

from model.network import Heads, LocalizationUNet
from training import detect

GRID = 16


class Says(LocalizationUNet):
    """A network that says what it is told, of the film and of its mirror image."""

    def __init__(self, *findings: tuple[int, float, int, int, int, int]) -> None:
        super().__init__(channels=2)
        self.findings = findings

    def forward(self, x: torch.Tensor) -> Heads:
        mirrored = bool(x[0, 0, 0, 0] < x[0, 0, 0, -1])
        n = len(x)
        heat = torch.full((n, 2, GRID, GRID), -9.0)
        mask = torch.full((n, 1, GRID, GRID), -9.0)
        distances = torch.ones(n, 2, 4, GRID, GRID)
        for channel, logit, x0, y0, x1, y1 in self.findings:
            cx, cy = (x0 + x1) // 2, (y0 + y1) // 2
            heat[:, channel, cy, cx] = logit
            edges = torch.tensor([cx + 0.5 - x0, cy + 0.5 - y0, x1 - cx - 0.5, y1 - cy - 0.5])
            distances[:, channel, :, cy, cx] = edges
            mask[:, 0, y0:y1, x0:x1] = logit
        heads = [mask, heat, distances, torch.full_like(heat, 9.0)]
        if mirrored:
            heads = [part.flip(-1) for part in heads]
            heads[2] = heads[2][:, :, [2, 1, 0, 3]]
        return Heads(*heads, torch.full((n,), 2.0), torch.zeros(n, 320), torch.zeros(n, 64, GRID, GRID))


def films(count: int) -> torch.Tensor:
    """Bright on the left, so that a mirror image can be told."""
    grey = torch.linspace(250, 0, 64).to(torch.uint8)
    return grey.expand(count, 64, 64).contiguous()


@pytest.mark.parametrize("components", [False, True])
def test_a_finding_comes_back_where_it_is(components: bool) -> None:
    said = detect.predict(Says((0, 4.0, 2, 4, 8, 12)), films(3), ["a", "b", "c"], batch=2, components=components)
    assert said.ids == ("a", "b", "c")
    for boxes, scores in zip(said.boxes, said.scores, strict=True):
        np.testing.assert_allclose(boxes[0], [2 / GRID, 4 / GRID, 8 / GRID, 12 / GRID], atol=1e-3)
        assert scores[0] == pytest.approx(1 / (1 + np.exp(-4)), abs=0.01)
        assert len(scores) == 1
    assert said.images.tolist() == [2.0, 2.0, 2.0]


def test_the_best_of_overlapping_boxes_stays_whichever_channel_says_it() -> None:
    findings = (0, 1.0, 2, 2, 8, 8), (1, 3.0, 2, 2, 9, 8), (0, 0.0, 10, 10, 14, 14)
    said = detect.predict(Says(*findings), films(1), ["a"])
    boxes, channels = said.boxes[0], said.channels[0]
    assert len(boxes) == 2
    np.testing.assert_allclose(boxes[0] * GRID, [2, 2, 9, 8], atol=1e-3)
    assert channels.tolist() == [1, 0]


def test_components_that_touch_are_one_and_specks_none() -> None:
    said = detect.predict(
        Says((0, 4.0, 2, 2, 6, 6), (0, 4.0, 6, 2, 10, 6), (1, 4.0, 13, 13, 14, 14)), films(1), ["a"], components=True
    )
    np.testing.assert_allclose(said.boxes[0] * GRID, [[2, 2, 10, 6]], atol=1e-3)


def test_nothing_suspicious_is_no_box() -> None:
    said = detect.predict(Says(), films(1), ["a"])
    assert said.boxes[0].shape == (0, 4)


def test_a_suppressed_box_suppresses_no_other() -> None:
    row = torch.tensor([[[0.0, 0, 4, 4], [1.5, 0, 5.5, 4], [3.0, 0, 7.0, 4]]])
    assert detect.suppressed(row, 0.35).tolist() == [[True, False, True]]
