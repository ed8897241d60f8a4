"""The precision of a training's steps: bfloat16 where the device multiplies tiles of it, float32 elsewhere.

On a CPU with AMX a step of the localization network takes a fifth less time so (57 → 69 films a second at 128 px in
batches of 32, two threads); weights, norms' statistics and losses stay in float32. Depthwise convolutions stay there
too: with theirs in bfloat16 the gradients of all convolutions took 2.3 times as long (torch.profiler), and the whole
step longer than in float32.
"""

from functools import partial

import torch
from torch import Tensor, nn

from training import depthwise


def lower(device: torch.device) -> bool:
    """Whether a step on `device` computes in bfloat16."""
    if device.type == "cuda":
        return True
    return device.type == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def autocast(device: torch.device) -> torch.autocast:
    """What a step's forward pass runs under."""
    # the cache of cast weights would outlive the capture of a graph
    return torch.autocast(device.type, torch.bfloat16, lower(device), cache_enabled=False)


def keep_depthwise(network: nn.Module, device: torch.device) -> None:
    """Have the grouped convolutions of `network` compute in float32 under `autocast` on a CPU."""
    if device.type != "cpu" or not lower(device):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.forward = partial(_in_float32, module)  # type: ignore[method-assign]  # this instance's alone


def _in_float32(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        y = depthwise.convolve(convolution, x.float())
    return y.to(x.dtype)
