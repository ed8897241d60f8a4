"""The schema that migrations make is the one that the code was written for; any other is refused."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from dicom_node.errors import SchemaMismatch
from dicom_node.ledger import Ledger, engine
from dicom_node.ledger.migrations import newest
from dicom_node.ledger.schema import REVISION, metadata

_POSTGRES = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
    " WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, ordinal_position",
    "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    " ORDER BY indexname",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    " AND conname <> 'alembic_version_pkc' ORDER BY conname",
)
_SQLITE = ("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' ORDER BY name",)


def _shape(tx: Connection, queries: tuple[str, ...]) -> list[list[tuple[object, ...]]]:
    def plain(value: object) -> object:
        # the order of a table's constraints means nothing
        return sorted(re.split(r"[\s,()]+", value)) if isinstance(value, str) else value

    return [[tuple(map(plain, row)) for row in tx.execute(text(query))] for query in queries]


def _compare(migrated: str, made: str, queries: tuple[str, ...]) -> None:
    Ledger.migrate(migrated)
    shapes = []
    for url in (migrated, made):
        opened = engine.connect(engine.parse(url))
        with opened.begin() as tx:
            if url == made:
                metadata.create_all(tx)
            shapes.append(_shape(tx, queries))
        opened.dispose()
    assert shapes[0] == shapes[1]
    assert all(shapes[0])


def test_migrations_make_the_tables_of_the_code_on_sqlite(folder: Path) -> None:
    _compare(f"sqlite:///{folder}/migrated.sqlite", f"sqlite:///{folder}/made.sqlite", _SQLITE)


@pytest.mark.peer
def test_migrations_make_the_tables_of_the_code_on_postgresql(postgres_url: str, postgres_server: str) -> None:
    _compare(postgres_url, postgres_server, _POSTGRES)


def test_the_code_names_the_newest_migration() -> None:
    assert newest() == REVISION


def test_migrating_twice_is_migrating_once(url: str) -> None:
    Ledger.migrate(url)
    Ledger.open(url).close()


@pytest.mark.parametrize("revision", ["0000", "9999"])
def test_another_schema_is_refused(url: str, revision: str) -> None:
    opened = engine.connect(engine.parse(url))
    with opened.begin() as tx:
        tx.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    opened.dispose()
    with pytest.raises(SchemaMismatch, match=f"{revision}.*{REVISION}"):
        Ledger.open(url)
    with pytest.raises(SchemaMismatch, match="newer"):
        Ledger.migrate(url)


def test_a_database_that_is_no_ledger_is_refused(folder: Path) -> None:
    (folder / "empty.sqlite").touch()
    with pytest.raises(SchemaMismatch, match="no ledger of chexnode"):
        Ledger.open(f"sqlite:///{folder}/empty.sqlite")
