"""Preprocessing, fusion and masks."""

import numpy as np
import pytest
import torch

from model.confidence import mask_means
from model.contract import Film
from model.fusion import Boxes, fuse, overlaps, suppress
from model.postprocess import mask_in, pixel_box
from model.preprocess import network_input
from tests.datasets import film as drawn


def as_film(rows: int, columns: int, low: float = 0, high: float = 65535) -> Film:
    grey = drawn(rows, columns, bits=16).astype(float) / 65535
    return Film(pixels=(low + grey * (high - low)).round().astype(np.uint16))


@pytest.mark.parametrize("size", [512, 1024, 2500])
def test_size_does_not_matter(size: int) -> None:
    same = network_input([as_film(768, 768), as_film(size, size)], 160)
    assert (same[0] - same[1]).abs().mean() < 0.02


def test_window_and_depth_do_not_matter() -> None:
    wide, narrow = as_film(600, 600), as_film(600, 600, low=9000, high=30000)
    eight = Film(pixels=(wide.pixels >> 8) * np.uint16(257))
    inputs = network_input([wide, narrow, eight], 160)
    assert (inputs[0] - inputs[1]).abs().max() < 0.02
    assert (inputs[0] - inputs[2]).abs().max() < 0.1


def test_what_is_not_picture_does_not_count() -> None:
    whole = as_film(320, 320)
    valid = np.zeros((320, 320), bool)
    valid[40:280, 40:280] = True
    shut = np.where(valid, whole.pixels, 0).astype(np.uint16)
    glare = np.where(valid, whole.pixels, 65535).astype(np.uint16)
    inputs = network_input([Film(pixels=shut, valid=valid), Film(pixels=glare, valid=valid)], 160)
    torch.testing.assert_close(inputs[0], inputs[1])
    inside = inputs[0][0, 20:140, 20:140]
    assert inside.mean().abs() < 0.1
    assert (inputs[0][0, :18] == inputs[0].min()).all()


def test_a_blank_film_is_no_nan() -> None:
    blank = network_input([Film(pixels=np.zeros((100, 100), np.uint16))], 64)
    assert torch.isfinite(blank).all()


def boxes(*rows: tuple[float, float, float, float, float]) -> Boxes:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Boxes(table[:, :4], table[:, 4])


def test_looks_that_agree_are_averaged_and_a_lone_one_counts_for_less() -> None:
    fused = fuse([boxes((0.1, 0.1, 0.3, 0.3, 0.8), (0.6, 0.6, 0.8, 0.8, 0.6)), boxes((0.1, 0.1, 0.34, 0.3, 0.4))], 0.5)
    assert fused.scores.tolist() == pytest.approx([0.6, 0.3])
    assert fused.corners[0].tolist() == pytest.approx([0.1, 0.1, 0.3 + 0.04 / 3, 0.3])


def test_fusing_nothing_is_nothing() -> None:
    fused = suppress(fuse([boxes(), boxes()], 0.5), 0.3)
    assert fused.corners.shape == (0, 4)


def test_of_overlapping_boxes_the_best_stays() -> None:
    kept = suppress(boxes((0, 0, 1, 1, 0.9), (0, 0, 1, 0.9, 0.8), (0, 0, 0.1, 0.1, 0.7)), 0.35)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.7])
    assert overlaps(kept.corners[0], kept.corners).tolist() == pytest.approx([1.0, 0.01])


def test_mask_means_by_integral_image() -> None:
    mask = np.zeros((10, 10), np.float32)
    mask[2:4, 5:8] = 1
    assert mask_means(boxes((0.5, 0.2, 0.8, 0.4, 1), (0.5, 0.2, 0.8, 0.6, 1)), mask).tolist() == pytest.approx([1, 0.5])


def test_a_mask_lies_in_its_box_at_native_size() -> None:
    probabilities = np.zeros((80, 80), np.float32)
    probabilities[20:30, 40:60] = 0.9
    probabilities[35:37, 40:42] = 0.9
    box = pixel_box(np.array([0.45, 0.2, 0.8, 0.5], np.float32), (2000, 1600))
    (row, column), mask = mask_in(probabilities, box, (2000, 1600))
    assert abs(row - 500) <= 15
    assert abs(column - 800) <= 12
    assert abs(mask.shape[0] - 250) <= 25
    assert abs(mask.shape[1] - 400) <= 25
    assert mask.mean() > 0.95
    assert mask[0].any()
    assert mask[:, -1].any()


@pytest.mark.parametrize("level", [0.0, 0.2])
@pytest.mark.parametrize("corners", [(0, 0, 0.001, 0.001), (0.999, 0.999, 1, 1), (0.3, 0.3, 0.6, 0.6)])
def test_a_mask_is_never_empty_and_never_outside(level: float, corners: tuple[float, ...]) -> None:
    box = pixel_box(np.array(corners, np.float32), (500, 300))
    (row, column), mask = mask_in(np.full((80, 80), level, np.float32), box, (500, 300))
    assert mask.any()
    assert row + mask.shape[0] <= 500
    assert column + mask.shape[1] <= 300
    assert int(box[0]) <= column
    assert int(box[1]) <= row
