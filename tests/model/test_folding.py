"""Without batch norms the network says what it said with them."""

import torch
from torch import nn

from model.folding import folded
from model.network import LocalizationUNet


def trained() -> LocalizationUNet:
    """A network whose norms have seen films: their statistics are far from those they start with."""
    torch.manual_seed(0)
    network = LocalizationUNet(channels=2).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 1, 64, 64) * 3 + 1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def test_every_norm_is_folded_and_nothing_else_changes() -> None:
    network = trained()
    plain = folded(network)
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
    films = torch.randn(2, 1, 96, 64)
    with torch.inference_mode():
        for before, after in zip(network(films), plain(films), strict=True):
            torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_what_is_folded_can_be_folded_again() -> None:
    once = folded(trained())
    twice = folded(once)
    assert once.state_dict().keys() == twice.state_dict().keys()
