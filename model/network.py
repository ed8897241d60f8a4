"""The localization U-Net: where tissue looks abnormal, what is one finding, and how abnormal the film is."""

from typing import NamedTuple

import torch
from monai.networks.blocks import Convolution, UpSample
from torch import Tensor, nn

from model.encoder import EfficientNetLite, channels_of

#: input pixels per cell of the output maps
STRIDE = 4
#: channels of the decoder
WIDTH = 64
#: a distance from a cell to an edge of its box is exp() of a value held in this range, in cells
_LOG_DISTANCE = (-3.0, 6.0)
#: of the maps at strides 4 to 32 the one that the gate looks at. Deeper ones have learnt to tell lesions apart
#: and see a chest in a lateral film; shallower ones see no anatomy
_GATE = 2


class Heads(NamedTuple):
    """What the network says of N films, on a grid of h = H/4 by w = W/4 cells.

    C instance channels stand for what readers looked for (see `training.channels`); M is 1, or C where each
    channel has a mask of its own.
    """

    #: (N, M, h, w) logits: this cell lies in something abnormal
    mask: Tensor
    #: (N, C, h, w) logits: this cell is the centre of one finding
    heat: Tensor
    #: (N, C, 4, h, w) distances from the cell's centre to left, top, right, bottom of its box; cells, > 0
    distances: Tensor
    #: (N, C, h, w) logits: how well the box of this cell will fit (its IoU with the true one)
    quality: Tensor
    #: (N,) logits: the film is abnormal
    image: Tensor
    #: (N, P) means of the features at stride 16 over the film's four quarters: what the gate looks at
    pooled: Tensor
    #: (N, 64, h, w) what the heads are made of: what the contrastive stage compares
    features: Tensor


def _quarters(features: Tensor) -> Tensor:
    """(N, 4 P) means over the quarters of (N, P, h, w): a chest has its heart in one of them, whatever else it has."""
    rows, columns = features.shape[2] // 2, features.shape[3] // 2
    upper, lower = features[:, :, :rows], features[:, :, rows:]
    parts = (upper[..., :columns], upper[..., columns:], lower[..., :columns], lower[..., columns:])
    return torch.cat([part.mean((2, 3)) for part in parts], 1)


def _depthwise(channels: int) -> nn.Sequential:
    """3x3 depthwise, 1x1 pointwise, norm, ReLU: a ninth of a plain convolution's work."""
    spatial = Convolution(2, channels, channels, kernel_size=3, groups=channels, bias=False, conv_only=True)
    mix = Convolution(2, channels, channels, kernel_size=1, bias=False, norm="batch", act="relu")
    return nn.Sequential(spatial, mix)


class LocalizationUNet(nn.Module):
    """(N, 1, H, W) standardised films to `Heads`; H and W are multiples of 32.

    EfficientNet-Lite down to stride 32, a decoder of MONAI blocks with skip sums up to stride 4, and on it
    class-agnostic heads: mask, centre heat with box distances (TTFNet, arXiv 1909.00700), expected box
    quality (after IoU-aware detectors, arXiv 1912.05992); an image score on the encoder.
    """

    def __init__(self, encoder: str = "efficientnet-lite0", channels: int = 1, masks: int = 1) -> None:
        """`channels` of instances, `masks` of tissue. Raises ValueError for an unknown encoder."""
        super().__init__()
        self.encoder = EfficientNetLite(encoder)
        _, *widths = channels_of(encoder)
        self.lateral = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in widths)
        self.up = UpSample(
            2, WIDTH, WIDTH, mode="nontrainable", interp_mode="bilinear", align_corners=False, pre_conv=None
        )
        self.decoder = nn.ModuleList(nn.Sequential(_depthwise(WIDTH), _depthwise(WIDTH)) for _ in widths[1:])
        self.neck = Convolution(2, WIDTH, WIDTH, kernel_size=3, bias=False, norm="batch", act="relu")
        self.mask = nn.Conv2d(WIDTH, masks, 1)
        self.heat, self.quality = (nn.Conv2d(WIDTH, channels, 1) for _ in range(2))
        self.distances = nn.Conv2d(WIDTH, 4 * channels, 1)
        self.image = nn.Linear(widths[-1], 1)
        # Priors: few cells are centres, some lie in a mask, and a box starts out 15 cells wide.
        for head, prior in ((self.heat, -4.0), (self.mask, -2.0), (self.distances, 2.0)):
            assert head.bias is not None
            nn.init.constant_(head.bias, prior)

    def forward(self, x: Tensor) -> Heads:
        _, *features = self.encoder(x)
        pooled = _quarters(features[_GATE])
        deepest = features[-1].mean((2, 3))
        *skips, y = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            y = block(self.up(y) + skip)
        y = self.neck(y)
        distances = torch.exp(self.distances(y).clamp(*_LOG_DISTANCE)).unflatten(1, (-1, 4))  # type: ignore[no-untyped-call]  # torch's stub
        image = self.image(deepest)[:, 0]
        return Heads(self.mask(y), self.heat(y), distances, self.quality(y), image, pooled, y)
