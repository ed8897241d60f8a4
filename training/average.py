"""Averaged weights: what is evaluated and shipped."""

import torch
from torch import Tensor, nn

#: share of the old average that one step keeps, once warm
_KEEP = 0.998


class Average:
    """Exponential moving average of a network's weights and running statistics."""

    def __init__(self, network: nn.Module, state: dict[str, Tensor] | None = None, updates: int = 0) -> None:
        self.state = state or {name: value.clone() for name, value in network.state_dict().items()}
        self.updates = updates

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights after one more step; the first steps count for more."""
        self.updates += 1
        keep = min(_KEEP, (1 + self.updates) / (10 + self.updates))
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].mul_(keep).add_(value, alpha=1 - keep)
            else:
                self.state[name].copy_(value)

    def copy_to(self, network: nn.Module) -> None:
        """Make the network the average."""
        network.load_state_dict(self.state)
