"""Ledgers of a thousand and of a million images, made by the database itself: years of a node's life in a minute."""

from dataclasses import dataclass

from sqlalchemy import Connection, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from dicom_node.ledger import Ledger
from dicom_node.ledger import engine as engines
from tests.contract.world import MODEL, PARAMETERS

#: images of one study
_IMAGES = 2
#: seconds between two studies of the history
_PACE = 30.0
#: images that wait at each size of the history, as on any day
WAITING = 300

_NUMBERS = {
    "sqlite": "(WITH RECURSIVE c(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM c WHERE n < :last) SELECT n FROM c)",
    "postgresql": "(SELECT generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n)",
}
_DIGEST = "'0123456789abcdef0123456789abcdef0123456789abcdef0000' || {}"
#: twelve digits, so that identifiers sort as they were made: an index is filled from left to right, and soon
_PADDED = {"sqlite": "printf('%012d', {})", "postgresql": "lpad(({})::text, 12, '0')"}

_TABLES = (
    "INSERT INTO study (id, study_instance_uid, state, first_arrival, last_arrival, completed_at, concluded_at,"
    " accession_number, patient_id, identity_key) SELECT n, '1.2.826.0.1.3680043.10.511.9.' || {study_number},"
    " :study_state, {at}, {at}, {completed}, {concluded}, 'A' || {study_number}, 'P' || {study_number},"
    " {digest} FROM {studies} AS numbers",
    "INSERT INTO instance (id, study_id, sop_instance_uid, sop_class_uid, digest, transfer_syntax_uid, size,"
    " calling_ae_title, spool_key, received_at, state, is_current, without_job, picture_digest, identity)"
    " SELECT n, (n + 1) / 2, '1.2.826.0.1.3680043.10.511.1.' || {number}, '1.2.840.10008.5.1.4.1.1.1.1', {digest},"
    " '1.2.840.10008.1.2.1', 15000000, 'DX' || (n % 7), '0123456789abcdef0000' || {number}, {at}, 'received', TRUE,"
    " FALSE, {digest}, {digest} FROM {images} AS numbers",
    "INSERT INTO job (id, instance_id, study_id, model, parameters, state, attempts, token, owner, not_before,"
    " created_at, ended_at, score, rank) SELECT n, n, (n + 1) / 2, :model, :parameters, :job_state, :tried, :tried,"
    " :owner, {at}, {at}, {ended}, 0.5, {at} FROM {images} AS numbers",
    "INSERT INTO result (id, sop_instance_uid, study_id, job_id, kind, profile, encoder_version, sop_class_uid,"
    " series_instance_uid, transfer_syntax_uid, spool_key, digest, is_current, state, created_at)"
    " SELECT n, '2.25.30000000000000000000000000' || {number}, (n + 1) / 2, n, 'seg', 'strict', '0',"
    " '1.2.840.10008.5.1.4.1.1.66.4', '2.25.40000000000000000000000000' || {study_number}, '1.2.840.10008.1.2.1',"
    " '0123456789abcdef0000' || {number}, {digest}, TRUE, 'kept', {at} FROM {images} AS numbers",
    "INSERT INTO delivery (id, result_id, study_id, destination, state, attempts, token, owner, not_before,"
    " created_at, ended_at) SELECT n, n, (n + 1) / 2, 'pacs', :delivery_state, :sent, :sent, '', {at}, {at},"
    " {sent_at} FROM {images} AS numbers",
    "INSERT INTO event (study_id, noun, key, from_state, to_state, at)"
    " SELECT (n + 1) / 2, 'job', n, 'queued', 'running', {at} FROM {images} AS numbers",
)


@dataclass(frozen=True, kw_only=True)
class Filling:
    """Images in one state of their life."""

    #: numbers of the first and the last image
    first: int
    last: int
    #: they wait to be analysed, and what an earlier model made of them to be delivered; else all of it is over
    waits: bool


def fill(url: str, *, history: int, waiting: int) -> float:
    """Make the ledger at `url`, with that many images that are over and that many that wait; its now.

    The times of SQLite and PostgreSQL are the ledger's own: seconds since the first image.
    """
    Ledger.migrate(url)
    parsed = engines.parse(url)
    opened = engines.connect(parsed)
    if opened.dialect.name == "sqlite":
        event.listen(opened, "connect", _in_one_go)
    with opened.connect() as connection:
        with connection.begin():
            if connection.dialect.name == "postgresql":
                # no look-up of what is referred to: all of it is made here
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            _models(connection)
            _insert(connection, Filling(first=1, last=history, waits=False))
            _insert(connection, Filling(first=history + 1, last=history + waiting, waits=True))
            _go_on_counting(connection)
        _analyse(connection)
    opened.dispose()
    return (history + waiting) / _IMAGES * _PACE + 1


def _in_one_go(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    """It is filled at once or not at all; what is measured later has connections of its own."""
    del record
    cursor = connection.cursor()
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-262144", "foreign_keys=OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _models(connection: Connection) -> None:
    connection.execute(
        text(
            "INSERT INTO model (id, digest, name, version, active, registered_at, family)"
            " VALUES (1, :model, 'chexnode', '1', TRUE, 0, '')"
        ),
        {"model": MODEL},
    )


def _insert(connection: Connection, filling: Filling) -> None:
    dialect = connection.dialect.name
    padded, over = _PADDED[dialect], not filling.waits
    words = {
        "digest": _DIGEST.format(padded.format("n")),
        "number": padded.format("n"),
        "study_number": padded.format("(n + 1) / 2"),
        "at": f"(n * {_PACE / _IMAGES})",
        "completed": f"(n * {_PACE} + 10)" if over else "NULL",
        "concluded": f"(n * {_PACE} + 20)" if over else "NULL",
        "ended": f"(n * {_PACE / _IMAGES} + 5)" if over else "NULL",
        "sent_at": f"(n * {_PACE / _IMAGES} + 25)" if over else "NULL",
        "images": _NUMBERS[dialect],
        "studies": _NUMBERS[dialect],
    }
    values = {
        "model": MODEL,
        "parameters": PARAMETERS,
        "study_state": "concluded" if over else "open",
        "job_state": "done" if over else "queued",
        "delivery_state": "stored" if over else "pending",
        "tried": int(over),
        "sent": int(over),
        "owner": "node:1" if over else "",
    }
    for statement in _TABLES:
        per_study = statement.startswith("INSERT INTO study ")
        own = words | ({"study_number": padded.format("n"), "at": f"(n * {_PACE})"} if per_study else {})
        bounds = {"first": filling.first, "last": filling.last}
        if per_study:
            bounds = {"first": (filling.first + 1) // _IMAGES, "last": filling.last // _IMAGES}
        if bounds["last"] >= bounds["first"]:
            connection.execute(text(statement.format(**own)), {**values, **bounds})


def _go_on_counting(connection: Connection) -> None:
    """PostgreSQL counts identifiers by itself, and not those that were given."""
    if connection.dialect.name == "postgresql":
        for table in ("study", "instance", "job", "result", "delivery", "model"):
            statement = f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))"  # noqa: S608 - our own tables
            connection.execute(text(statement))


def _analyse(connection: Connection) -> None:
    """What autovacuum does within minutes; SQLite's planner is left with what it knows on any node: nothing."""
    if connection.dialect.name == "postgresql":
        connection.commit()
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")
