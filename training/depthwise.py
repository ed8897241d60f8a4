"""Depthwise convolutions whose weights learn at the speed of the rest of the network on a CPU.

oneDNN has a fast gradient for the weights of 3 × 3 depthwise convolutions and a reference loop for larger ones: for the
5 × 5 ones of EfficientNet-Lite0 at 96 px it took a fifth of a whole step (torch.profiler). Here such a kernel's
gradient is put together from those of the 3 × 3 kernels that cover it, each on the film shifted to its place.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: side of the kernels that have a fast gradient
_FAST = 3


def convolve(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """What a convolution says of x (N, C, H, W); this way where it is depthwise, large and plain."""
    depthwise = convolution.groups == convolution.in_channels == convolution.out_channels
    plain = convolution.bias is None and convolution.dilation == (1, 1) and convolution.padding_mode == "zeros"
    if min(convolution.kernel_size) <= _FAST or not depthwise or not plain:
        y: Tensor = convolution._conv_forward(x, convolution.weight, convolution.bias)
        return y
    y = _Depthwise.apply(x, convolution.weight, convolution.stride, convolution.padding)  # type: ignore[no-untyped-call]  # torch's stub
    return y


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        (of_y,) = gradients
        of_x = _gradient(of_y, x, weight, ctx.stride, ctx.padding, 0)
        return of_x, _of_weight(of_y, x, weight, ctx.stride, ctx.padding), None, None


def _of_weight(of_y: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """(C, 1, k, k) from blocks of 3 × 3: where two blocks overlap they say the same."""
    down, across = padding
    padded = functional.pad(x, (across, across, down, down))
    rows, columns = ((side - 1) * step + _FAST for side, step in zip(of_y.shape[-2:], stride, strict=True))
    whole = torch.empty_like(weight)
    for top in _corners(weight.shape[-2]):
        for left in _corners(weight.shape[-1]):
            seen = padded[..., top : top + rows, left : left + columns].contiguous(memory_format=torch.channels_last)
            block = slice(top, top + _FAST), slice(left, left + _FAST)
            whole[..., *block] = _gradient(of_y, seen, weight[..., *block], stride, (0, 0), 1)
    return whole


def _corners(side: int) -> list[int]:
    return [*range(0, side - _FAST, _FAST), side - _FAST]


def _gradient(
    of_y: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int], which: int
) -> Tensor:
    """Of x (0) or of the weight (1)."""
    mask = [which == 0, which == 1, False]
    found = torch.ops.aten.convolution_backward(
        of_y, x, weight.contiguous(), None, stride, padding, (1, 1), False, (0, 0), len(weight), mask
    )
    gradient: Tensor = found[which]
    return gradient
