"""The gradients of large depthwise kernels, put together from small ones."""

from typing import Any

import pytest
import torch
from torch import nn

from training.depthwise import convolve


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding"),
    [(6, 5, 1, 2), (3, 5, 1, 2), (9, 5, 2, 0), (27, 5, 2, 0), (12, 7, 1, 3), (8, 3, 1, 1), (9, 4, 1, 0)],
)
def test_gradients_are_torchs(side: int, kernel: int, stride: int, padding: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 8, kernel, stride=stride, padding=padding, groups=8, bias=False)
    film = torch.randn(4, 8, side, side).contiguous(memory_format=torch.channels_last)
    outcomes = []
    for way in (convolution, lambda x: convolve(convolution, x)):
        x = film.clone().requires_grad_()
        y = way(x)
        weights = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
        of_x, of_weight = torch.autograd.grad((y * weights).sum(), (x, convolution.weight))
        outcomes.append((y, of_x, of_weight))
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("more", [{"bias": True}, {"dilation": 2}, {"padding": 2, "padding_mode": "reflect"}])
def test_what_it_cannot_do_is_left_to_torch(more: dict[str, Any]) -> None:
    convolution = nn.Conv2d(8, 8, 5, groups=8, **({"bias": False} | more))
    film = torch.randn(2, 8, 9, 9)
    assert torch.equal(convolve(convolution, film), convolution(film))
