"""What a training does to its process is undone after each test."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _denormals_are_numbers() -> Iterator[None]:
    """A training flushes denormals to zero for speed; hypothesis counts on them."""
    yield
    torch.set_flush_denormal(False)
