"""What of a step computes in bfloat16 on a CPU, and what does not."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from training import precision

CPU = torch.device("cpu")


def test_depthwise_convolutions_compute_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "lower", lambda _: True)  # as on a CPU with AMX
    torch.manual_seed(0)
    dense, depthwise = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3, groups=8, bias=False)
    network = nn.Sequential(dense, depthwise)
    precision.keep_depthwise(network, CPU)
    with precision.autocast(CPU):
        between = dense(torch.randn(2, 4, 16, 16))
        y = network[1](between)
    assert between.dtype == y.dtype == torch.bfloat16
    assert torch.equal(y, functional.conv2d(between.float(), depthwise.weight, groups=8).bfloat16())
    y.float().square().sum().backward()
    for convolution in (dense, depthwise):
        assert convolution.weight.grad is not None
        assert convolution.weight.grad.dtype == torch.float32
        assert convolution.weight.grad.abs().sum() > 0


def test_without_it_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "lower", lambda _: False)
    network = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4))
    precision.keep_depthwise(network, CPU)
    with precision.autocast(CPU):
        assert network(torch.randn(1, 4, 8, 8)).dtype == torch.float32
