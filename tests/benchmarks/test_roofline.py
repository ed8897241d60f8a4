"""Operations are counted as torch counts them; the roof is the lower of two."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.roofline import Layer, Peaks, Point, kinds_table, layers_of, roofline_table
from model.folding import folded
from model.network import LocalizationUNet


def test_operations_are_those_that_torch_counts() -> None:
    network = folded(LocalizationUNet(channels=2))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.zeros(1, 1, 64, 64))
    counted = [layer for layer in layers_of(network, 64) if layer.kind != "enlarging"]
    assert sum(layer.operations for layer in counted) == counter.get_total_flops()


def test_a_number_of_two_bytes_moves_half() -> None:
    network = folded(LocalizationUNet())
    whole, half = layers_of(network, 64), layers_of(network, 64, width=2)
    assert sum(layer.bytes for layer in whole) == 2 * sum(layer.bytes for layer in half)


def test_each_layer_is_bound_by_what_it_lacks() -> None:
    machine = Peaks(operations_a_second=100e9, bytes_a_second=10e9)
    heavy = Layer(kind="convolution 3×3", operations=10**9, bytes=10**6)
    light = Layer(kind="depthwise 3×3", operations=10**6, bytes=10**8)
    assert machine.bound([heavy, light]) == pytest.approx(0.01 + 0.01)
    point = Point(name="both", layers=[heavy, light], seconds=0.04)
    assert roofline_table([point], machine, "").rows[0][-1] == "20.00 (50%)"
    assert [row[-1] for row in kinds_table(point, machine, "").rows] == ["arithmetic", "memory"]
