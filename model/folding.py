"""Batch norms folded into the convolutions before them: the same function in fewer passes over memory."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from typing import NamedTuple

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.network import LocalizationUNet


class _Leaf(NamedTuple):
    parent: nn.Module
    name: str
    module: nn.Module


def folded(network: LocalizationUNet) -> LocalizationUNet:
    """A copy in eval mode without batch norms, for inference alone; its state dict is another one."""
    copy = deepcopy(network).eval()
    for module in list(copy.modules()):
        if isinstance(module, nn.Sequential):
            for first, second in pairwise(_leaves(module)):
                if isinstance(first.module, nn.Conv2d) and isinstance(second.module, nn.BatchNorm2d):
                    setattr(first.parent, first.name, fuse_conv_bn_eval(first.module, second.module))
                    setattr(second.parent, second.name, nn.Identity())
    return copy


def _leaves(sequence: nn.Sequential) -> Iterator[_Leaf]:
    """The modules that data passes one after the other; MONAI nests sequences in sequences."""
    for name, child in sequence.named_children():
        if isinstance(child, nn.Sequential):
            yield from _leaves(child)
        else:
            yield _Leaf(sequence, name, child)
