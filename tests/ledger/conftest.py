"""A fresh SQLite ledger."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.ledger import Ledger
from tests.contract.world import World
from tests.memory import MEMORY


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in which an fsync costs nothing."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as made:
        yield Path(made)


@pytest.fixture
def url(folder: Path) -> str:
    """URL of a fresh SQLite ledger."""
    made = f"sqlite:///{folder / 'ledger.sqlite'}"
    Ledger.migrate(made)
    return made


@pytest.fixture
def world(url: str) -> Iterator[World]:
    """A fresh SQLite ledger with one active model."""
    ledger = Ledger.open(url)
    yield World(ledger)
    ledger.close()
