"""A copy of the whole ledger as it was at one moment, taken while it is at work."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from sqlalchemy import URL

from dicom_node.errors import ConfigurationError, LedgerUnavailable, OutOfRoom, StorageFault
from dicom_node.ledger import engine as engines
from dicom_node.ledger.ledger import Ledger
from dicom_node.ledger.named import Named, named

#: what the copy is called, by the database that it is of
NAMES = {"sqlite": "ledger.sqlite", "postgresql": "ledger.dump"}


def take(url: str, to: Path) -> list[Named]:
    """Copy the ledger at `url` to the file `to`, which is new; the objects that the copy names.

    Of SQLite it is a database like the ledger itself; of PostgreSQL what pg_dump writes in its custom format.
    Raises ConfigurationError where pg_dump is missing, OutOfRoom, StorageFault, LedgerUnavailable.
    """
    parsed = engines.parse(url)
    to.touch(mode=0o600, exist_ok=False)
    return _of_sqlite(parsed, to) if parsed.get_backend_name() == "sqlite" else _of_postgresql(url, parsed, to)


def name_for(url: str) -> str:
    """What the copy of the ledger at `url` is called in a backup."""
    return NAMES[engines.parse(url).get_backend_name()]


def _of_sqlite(url: URL, to: Path) -> list[Named]:
    try:
        source = sqlite3.connect(f"file:{url.database}?mode=ro", uri=True, timeout=engines.BUSY_TIMEOUT)
        copy = sqlite3.connect(to)
        try:
            source.backup(copy)
        finally:
            copy.close()
            source.close()
    except sqlite3.Error as error:
        code = error.sqlite_errorname
        if code == "SQLITE_FULL":
            raise OutOfRoom(f"no room for a copy of the ledger at {to}: make room there") from error
        raise StorageFault(f"copying the ledger {url.database} to {to} failed ({error}): look at both disks") from error
    ledger = Ledger.open(URL.create("sqlite", database=str(to)).render_as_string())
    try:
        with ledger.reading() as tx:
            return list(named(tx))
    finally:
        ledger.close()


def _of_postgresql(url: str, parsed: URL, to: Path) -> list[Named]:
    program = shutil.which("pg_dump")
    if program is None:
        raise ConfigurationError(
            "pg_dump is not installed, so the PostgreSQL ledger cannot be copied: apt-get install postgresql-client"
        )
    ledger = Ledger.open(url)
    try:
        with ledger.reading() as tx:
            # what is dumped is this very snapshot, of which the names are read
            snapshot = str(tx.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one())
            _dump(program, parsed, snapshot, to)
            return list(named(tx))
    finally:
        ledger.close()


def _dump(program: str, url: URL, snapshot: str, to: Path) -> None:
    """Raises LedgerUnavailable with the last line that pg_dump said."""
    # the password goes by the environment: arguments are everybody's to read
    where = url.set(drivername="postgresql", password=None).render_as_string()
    known = {} if url.password is None else {"PGPASSWORD": str(url.password)}
    done = subprocess.run(  # noqa: S603 - the program of the site's own PATH, arguments of our own making
        [program, "--format=custom", f"--snapshot={snapshot}", f"--file={to}", f"--dbname={where}", "--no-password"],
        env={**os.environ, **known},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise LedgerUnavailable(f"pg_dump could not copy the ledger ({why}): is it of the server's version or later?")
