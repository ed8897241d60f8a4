"""Averaged weights: what is evaluated and shipped."""

import torch
from torch import Tensor, nn

#: share of the old average that one step keeps, once warm
_KEEP = 0.998


class Average:
    """Exponential moving average of a module's weights and running statistics."""

    def __init__(self, module: nn.Module, state: dict[str, Tensor] | None = None, updates: int = 0) -> None:
        self.state = state or {name: value.clone() for name, value in module.state_dict().items()}
        self.updates = updates
        live = module.state_dict()
        floating = [name for name, value in live.items() if value.dtype.is_floating_point]
        self._averaged, self._live = [self.state[n] for n in floating], [live[n] for n in floating]
        self._counters = [(self.state[n], live[n]) for n in live.keys() - set(floating)]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after one more step; the first steps count for more."""
        self.updates += 1
        keep = min(_KEEP, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._averaged, self._live, 1 - keep)
        for mine, live in self._counters:
            mine.copy_(live)

    def copy_to(self, module: nn.Module) -> None:
        """Make the module the average."""
        module.load_state_dict(self.state)
