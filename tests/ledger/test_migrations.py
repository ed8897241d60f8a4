"""The schema that migrations make is the one that the code was written for; any other is refused."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from dicom_node.domain import RejectionTitle
from dicom_node.errors import SchemaMismatch
from dicom_node.ledger import Ledger, commitments, encodings, engine, jobs, pledges, reanalysis, recall, withdrawals
from dicom_node.ledger.migrations import newest, upgrade
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


_FIRST_RELEASE = (
    "INSERT INTO study (id, study_instance_uid, state, first_arrival, last_arrival, concluded_at, accession_number,"
    " identity_key) VALUES (1, '1.2.3', 'concluded', 0, 0, 20, 'A-1', 'k')",
    "INSERT INTO instance (id, study_id, sop_instance_uid, sop_class_uid, digest, transfer_syntax_uid, size,"
    " calling_ae_title, spool_key, received_at, state, is_current, without_job, identity)"
    " VALUES (1, 1, '1.2.3.4', 'c', 'd', 't', 1, 'PACS', 'k', 0, 'received', TRUE, FALSE, 'i')",
    "INSERT INTO model (id, digest, name, version, active, registered_at) VALUES (1, 'm', 'chexnode', '1', TRUE, 0)",
    "INSERT INTO job (id, instance_id, study_id, model, parameters, state, not_before, created_at, ended_at)"
    " VALUES (1, 1, 1, 'm', 'p', 'done', 0, 0, 9)",
    *(
        "INSERT INTO instance (id, study_id, sop_instance_uid, sop_class_uid, digest, transfer_syntax_uid, size,"
        " calling_ae_title, spool_key, received_at, state, is_current, without_job, identity)"
        f" VALUES ({number}, 1, '1.2.3.4.{number}', 'c', 'd', 't', 1, 'PACS', 'k', 0, 'received', TRUE, FALSE, 'i')"
        for number in range(2, 6)
    ),
    *(
        "INSERT INTO job (id, instance_id, study_id, model, parameters, priority, state, not_before, created_at)"
        f" VALUES ({number}, {number}, 1, 'm', 'p', {priority}, 'queued', 0, {created_at})"
        for number, priority, created_at in ((2, -1, 10), (3, 0, 11), (4, 1, 12), (5, 2, 13))
    ),
    "INSERT INTO result (id, sop_instance_uid, study_id, job_id, kind, profile, encoder_version, sop_class_uid,"
    " series_instance_uid, transfer_syntax_uid, spool_key, digest, is_current, state, created_at)"
    " VALUES (1, '2.25.1', 1, 1, 'seg', 'strict', '1', 'c', 's', 't', 'k', 'd', TRUE, 'kept', 9)",
    "INSERT INTO delivery (id, result_id, study_id, destination, state, not_before, created_at, ended_at)"
    " VALUES (1, 1, 1, 'pacs', 'stored', 0, 0, 21)",
)


def _forward(url: str) -> None:
    """A ledger of the first release, with a delivered result, is brought forward and goes on."""
    opened = engine.connect(engine.parse(url))
    with opened.begin() as tx:
        upgrade(tx, to="0001")
        for statement in _FIRST_RELEASE:
            tx.execute(text(statement))
    opened.dispose()
    Ledger.migrate(url)
    ledger = Ledger.open(url)
    with ledger.transaction() as tx:
        (found,) = recall.find(tx)
        assert (found.sop_instance_uid, found.recalled, found.told) == ("2.25.1", False, True)
        assert encodings.find(tx, model_digest="m", digest="p") is None, "the first release noted nothing"
        candidate, *_ = reanalysis.candidates(tx, 1, parameters="p", by_source={})
        assert candidate.prospect is reanalysis.Prospect.UP_TO_DATE
        # what waited has its turn by priority and age, a possible rejection note (2, then) before all
        taken = jobs.claim(tx, owner="w", now=30.0, lease=60.0, limit=9, model_digest="m")
        assert [claim.job_id for claim in taken] == [5, 4, 3, 2]
        assert recall.mark(tx, [1], title=RejectionTitle.QUALITY, now=30.0) == 1
        (withdrawn,) = withdrawals.find(tx)
        assert (withdrawn.destination, withdrawn.note) == ("pacs", None)
        # what was stored before there were commitments stays stored; what was received can be pledged
        assert commitments.next_due(tx, "pacs") is None
        assert [row.sop_instance_uid for row in pledges.pledge(tx, "1.2.3.4")] == ["1.2.3.4"]
        assert pledges.count(tx) == 1
    ledger.close()


def test_a_ledger_of_the_first_release_is_brought_forward_on_sqlite(folder: Path) -> None:
    _forward(f"sqlite:///{folder}/first.sqlite")


@pytest.mark.peer
def test_a_ledger_of_the_first_release_is_brought_forward_on_postgresql(postgres_url: str) -> None:
    _forward(postgres_url)


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
