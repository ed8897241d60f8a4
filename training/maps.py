"""The network as hosts of single-tensor models want it: all that it says of a film in one tensor of maps."""

from pathlib import Path

import torch
from torch import Tensor, nn

from model.contract import ModelError
from model.gate import take_gate
from model.network import Heads, LocalizationUNet
from model.weights import describe, load_tensors


class Maps(nn.Module):
    """(N, 1, H, W) standardised films to (N, M + 6 C + 1, H/4, W/4) float32; weights and work are the network's own.

    Channels in order: M masks, C heats and C qualities (logits), C times the distances to left, top, right and
    bottom (cells), and the film's logit of being abnormal, the same in every cell. See `model.network.Heads`.
    MONAI's `verify_net_in_out` and TorchScript hosts know one tensor, not a tuple of them.
    """

    def __init__(self, network: LocalizationUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        heads: Heads = self.network(x)
        image = heads.image[:, None, None, None].expand_as(heads.mask[:, :1])
        return torch.cat([heads.mask, heads.heat, heads.quality, heads.distances.flatten(1, 2), image], 1)


def maps_of(folder: str | Path | None = None) -> Maps:
    """The network of a model's folder, or of the packaged model. Raises ModelError."""
    description = describe(None if folder is None else Path(folder))
    tensors = load_tensors(description)
    take_gate(tensors)
    try:
        network = LocalizationUNet(**description.network)
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{description.folder} holds another network: {error}") from error
    return Maps(network).eval()


def save_checkpoint(maps: Maps, path: str | Path) -> None:
    """Write the `ckpt_file` that MONAI's `ckpt_export` reads: the state of `maps`, as `torch.save` has it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(maps.state_dict(), path)
