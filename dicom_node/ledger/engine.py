"""Connections: what SQLite and PostgreSQL need to keep the laws, and their errors in our own tree."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from dicom_node.errors import ConfigurationError, LedgerUnavailable, NodeError, OutOfRoom, StorageFault

#: seconds that a transaction waits for another one's lock
BUSY_TIMEOUT = 30
#: execution option of a connection that only reads
READ_ONLY = "chexnode_read_only"
#: types of mounts (proc_pid_mountinfo(5)) on which SQLite's locks or its shared memory do not hold
_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs"}
)
_FUSE_NETWORK = frozenset(
    {"ceph", "davfs2", "gcsfuse", "glusterfs", "mount.davfs", "rclone", "s3fs", "smbnetfs", "sshfs"}
)


def parse(url: str) -> URL:
    """The URL of a ledger, its driver filled in. Raises ConfigurationError naming the key."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "node.ledger_url is no URL of a database; write postgresql://user:password@host/name, "
            "or leave it empty for SQLite in node.folder"
        ) from error
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg") or (
        parsed.drivername == "sqlite" and not parsed.database
    ):
        raise ConfigurationError(
            f"node.ledger_url: a ledger on {parsed.drivername!r} is not supported; "
            "write postgresql://user:password@host/name, or leave it empty for SQLite in node.folder"
        )
    return parsed


def connect(url: URL) -> Engine:
    """An engine for `url`. Raises ConfigurationError for SQLite on a network file system."""
    if url.get_backend_name() == "postgresql":
        try:
            return create_engine(url, pool_size=5, max_overflow=27, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "node.ledger_url asks for PostgreSQL, but its driver is missing: pip install 'chexnode[postgresql]'"
            ) from error
    refuse_network(Path(str(url.database)))
    engine = create_engine(
        url,
        pool_size=5,
        max_overflow=-1,
        connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    del record
    connection.isolation_level = None  # BEGIN is ours: the driver's comes too late, and is DEFERRED
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "journal_size_limit=67108864"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = bool(connection.get_execution_options().get(READ_ONLY))
    connection.exec_driver_sql(f"PRAGMA query_only={int(reading)}")
    # IMMEDIATE: a transaction that starts by reading and writes later would fail, not wait (SQLITE_BUSY_SNAPSHOT)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def refuse_network(database: Path, mountinfo: str | None = None) -> None:
    """Raises ConfigurationError where `database` would lie on a network file system.

    `mountinfo`: what proc_pid_mountinfo(5) describes; None: this process's own, where there is one.
    """
    if mountinfo is None:
        mounts = Path("/proc/self/mountinfo")
        if not mounts.is_file():
            return  # not Linux: `infer` and training only
        mountinfo = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    kind = mount_type(database.resolve(), mountinfo)
    if kind in _NETWORK or kind.removeprefix("fuse.") in _FUSE_NETWORK:
        raise ConfigurationError(
            f"node.folder: {database.parent} lies on a network file system ({kind}), where SQLite would lose "
            "data; move the folder to a local disk, or set node.ledger_url to a PostgreSQL"
        )


def mount_type(path: Path, mountinfo: str) -> str:
    """The type of the file system that `path` (absolute) lies on, by `mountinfo` (proc_pid_mountinfo(5))."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
        # a later mount on the same point lies over an earlier one
        if path.is_relative_to(point) and len(Path(point).parts) >= best:
            best, kind = len(Path(point).parts), right.split(" ")[0]
    return kind


@contextlib.contextmanager
def our_errors(where: str) -> Iterator[None]:
    """Turn what the database says into the node's own errors, `where` being the ledger as users know it."""
    try:
        yield
    except OperationalError as error:
        raise _ours(error, where) from error


def _ours(error: OperationalError, where: str) -> NodeError:
    cause = error.orig
    code = str(
        getattr(cause, "sqlite_errorname", "")
        if isinstance(cause, sqlite3.Error)
        else getattr(cause, "sqlstate", "") or ""
    )
    if code in ("SQLITE_FULL", "53100"):  # PostgreSQL: disk_full
        return OutOfRoom(f"no room for the ledger {where}: make room on its disk")
    if code.startswith("SQLITE_IOERR") or code == "58030":  # PostgreSQL: io_error
        return StorageFault(f"the disk of the ledger {where} failed ({code}): check it and its mount")
    if code.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
        return ConfigurationError(
            f"the ledger {where} cannot be opened for writing ({cause}): check that node.folder exists and "
            "belongs to the user that runs chexnode"
        )
    return LedgerUnavailable(f"the ledger {where} did not answer ({cause}): see that it runs and is reachable")
