"""What bounds the network: its operations and bytes beside what this machine's arithmetic and memory can do.

Operations are counted layer by layer, 2 for a multiplication with its addition. Bytes are those that a layer cannot
avoid when it is run by itself: its input, its weights and its output, once each. The bound is the sum over the layers
of the longer of the two times; a runtime that keeps a map in the cache from one layer to the next may beat it.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.measure import seconds
from benchmarks.record import Plot, Section, Table
from model.network import LocalizationUNet

#: side of the matrices, and bytes copied, that the peaks are measured with
_SIDE, _COPIED = 2048, 256 << 20
_ROUNDS = 7


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer's work on one picture."""

    kind: str
    operations: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What was measured of the machine, in this run."""

    #: of a large product of matrices
    operations_a_second: float
    #: read and written by a large copy
    bytes_a_second: float

    def bound(self, layers: Sequence[Layer]) -> float:
        """Seconds that the layers take at least."""
        return sum(max(one.operations / self.operations_a_second, one.bytes / self.bytes_a_second) for one in layers)


@dataclass(frozen=True, kw_only=True)
class Point:
    """A network at one size, as it was measured."""

    name: str
    layers: Sequence[Layer]
    #: for one picture
    seconds: float

    @property
    def operations(self) -> int:
        return sum(layer.operations for layer in self.layers)

    @property
    def bytes(self) -> int:
        return sum(layer.bytes for layer in self.layers)


@torch.inference_mode()
def layers_of(network: LocalizationUNet, size: int, *, width: int = 4) -> list[Layer]:
    """Every convolution, product and enlargement of one picture of `size`; `width` bytes a number."""
    found: list[Layer] = []

    def counted(module: nn.Module, taken: tuple[Tensor, ...], said: Tensor) -> None:
        moved = width * (taken[0].numel() + said.numel() + sum(part.numel() for part in module.parameters()))
        found.append(Layer(kind=_kind(module), operations=_operations(module, said), bytes=moved))

    watched = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear | nn.Upsample)]
    hooks = [part.register_forward_hook(counted) for part in watched]
    try:
        network(torch.zeros(1, 1, size, size))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _kind(module: nn.Module) -> str:
    if not isinstance(module, nn.Conv2d):
        return "enlarging" if isinstance(module, nn.Upsample) else "linear"
    side = "×".join(map(str, module.kernel_size))
    return f"depthwise {side}" if module.groups > 1 else f"convolution {side}"


def _operations(module: nn.Module, said: Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        rows, columns = module.kernel_size
        return 2 * said.numel() * rows * columns * (module.in_channels // module.groups)
    if isinstance(module, nn.Linear):
        return 2 * said.numel() * module.in_features
    return 8 * said.numel()  # four neighbours each


def peaks(device: torch.device, precision: torch.dtype = torch.float32) -> Peaks:
    """Measured now, with the threads that torch has now."""
    side = _SIDE if device.type == "cpu" else 4 * _SIDE
    one, other = (torch.randn(side, side, device=device).to(precision) for _ in range(2))
    source = torch.zeros(_COPIED, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return Peaks(
        operations_a_second=2 * side**3 / _fastest(lambda: one @ other, device),
        bytes_a_second=2 * _COPIED / _fastest(lambda: target.copy_(source), device),
    )


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest round: a peak is what the machine can do, not what it does beside others."""

    def waited() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return min([seconds(waited) for _ in range(_ROUNDS)][1:])


def roofline_table(points: Sequence[Point], machine: Peaks, title: str) -> Table:
    """What each point reaches, and what it could."""
    rows = []
    for point in points:
        speed, moved = point.operations / point.seconds, point.bytes / point.seconds
        rows.append(
            (
                point.name,
                f"{point.operations / 1e9:.2f}",
                f"{point.bytes / 1e6:.0f}",
                f"{point.operations / point.bytes:.1f}",
                f"{1e3 * point.seconds:.2f}",
                f"{speed / 1e9:,.0f} ({speed / machine.operations_a_second:.0%})",
                f"{moved / 1e9:,.1f} ({moved / machine.bytes_a_second:.0%})",
                f"{1e3 * machine.bound(point.layers):.2f} ({machine.bound(point.layers) / point.seconds:.0%})",
            )
        )
    head = ("one picture", "GFLOP", "MB", "FLOP/byte", "ms", "GFLOP/s", "GB/s", "ms at the roofline, layer by layer")
    note = (
        f"Peaks of this run: {machine.operations_a_second / 1e9:,.0f} GFLOP/s (a product of large matrices), "
        f"{machine.bytes_a_second / 1e9:,.0f} GB/s (a large copy, read and written): above "
        f"{machine.operations_a_second / machine.bytes_a_second:.0f} FLOP/byte arithmetic is the limit. "
        "In brackets the share of the peak, or of the time taken."
    )
    return Table(section=Section.ANALYSE, title=title, head=head, rows=rows, note=note)


def kinds_table(point: Point, machine: Peaks, title: str) -> Table:
    """Where the roofline's time goes, by kind of layer."""
    of_kind: dict[str, list[Layer]] = defaultdict(list)
    for layer in point.layers:
        of_kind[layer.kind].append(layer)
    total, rows = machine.bound(point.layers), []
    for kind, layers in sorted(of_kind.items(), key=lambda item: -machine.bound(item[1])):
        operations, moved = sum(one.operations for one in layers), sum(one.bytes for one in layers)
        memory = moved / machine.bytes_a_second > operations / machine.operations_a_second
        rows.append(
            (
                kind,
                str(len(layers)),
                f"{operations / point.operations:.0%}",
                f"{moved / point.bytes:.0%}",
                f"{machine.bound(layers) / total:.0%}",
                "memory" if memory else "arithmetic",
            )
        )
    head = ("layers", "how many", "of the operations", "of the bytes", "of the roofline's time", "bound by")
    return Table(section=Section.ANALYSE, title=title, head=head, rows=rows)


def roofline_plot(points: Sequence[Point], machine: Peaks, name: str, title: str) -> Plot:
    """GFLOP/s over FLOP/byte, both logarithmic: the roof, and where the points lie under it."""
    knee = machine.operations_a_second / machine.bytes_a_second
    roof = [(x, min(x * machine.bytes_a_second, machine.operations_a_second) / 1e9) for x in (1.0, knee, 10 * knee)]
    lines = {"the machine's roof": roof}
    for point in points:
        lines[point.name] = [(point.operations / point.bytes, point.operations / point.seconds / 1e9)]
    return Plot(
        section=Section.ANALYSE,
        name=name,
        title=title,
        x="FLOP a byte of layers run one by one",
        y="GFLOP/s",
        lines=lines,
        logarithmic=True,
    )
