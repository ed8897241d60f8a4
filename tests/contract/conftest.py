"""The one suite that every backend passes: each test runs on SQLite and on PostgreSQL."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from dicom_node.ledger import Ledger
from dicom_node.ledger import engine as engines
from dicom_node.ledger.schema import metadata
from tests.contract.world import World
from tests.memory import MEMORY
from tests.postgres import create_database


@pytest.fixture(scope="session")
def sqlite_template() -> Iterator[Path]:
    """A migrated, empty SQLite ledger."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        database = Path(folder) / "ledger.sqlite"
        Ledger.migrate(f"sqlite:///{database}")
        yield database


@pytest.fixture(scope="session")
def postgres_ledger(postgres_server: str) -> str:
    """URL of a migrated PostgreSQL ledger, which each test empties first."""
    url = create_database(postgres_server)
    Ledger.migrate(url)
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def ledger_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a fresh ledger."""
    if request.param == "sqlite":
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            shutil.copy(request.getfixturevalue("sqlite_template"), folder)
            yield f"sqlite:///{folder}/ledger.sqlite"
        return
    url: str = request.getfixturevalue("postgres_ledger")
    engine = engines.connect(engines.parse(url))
    with engine.begin() as tx:
        tables = ", ".join(table.name for table in metadata.sorted_tables)
        tx.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    engine.dispose()
    yield url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A fresh ledger."""
    opened = Ledger.open(ledger_url)
    yield opened
    opened.close()


@pytest.fixture
def world(ledger: Ledger) -> World:
    """A fresh ledger with one active model."""
    return World(ledger)
