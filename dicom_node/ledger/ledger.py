"""The door to the ledger: transactions, snapshots, and the check that its schema is ours."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, inspect, text

from dicom_node.ballast import Ballast
from dicom_node.config import NodeSection
from dicom_node.errors import LedgerUnavailable, OutOfRoom, SchemaMismatch
from dicom_node.ledger import engine as engines
from dicom_node.ledger import schema
from dicom_node.ledger.bell import Bell, notify, requested

#: an open transaction: what every function of the ledger takes first
Tx = Connection


class Ledger:
    """Every fact and every transition, on SQLite or PostgreSQL. Made by open() or for_settings()."""

    def __init__(self, url: URL, engine: Engine) -> None:
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._where = url.render_as_string(hide_password=True)
        # SQLite has one writer: within this process they queue up here, in turn, and not in its busy loop
        self._writing: contextlib.AbstractContextManager[object] = (
            _Turn(self._where) if self._sqlite else contextlib.nullcontext()
        )
        #: beside an SQLite database; None: PostgreSQL's disk is its own
        self.ballast = Ballast(Path(str(url.database)).parent) if self._sqlite else None
        #: rings by itself for whatever is committed; roles listen to it
        self.bell = Bell(url.render_as_string(hide_password=False), run_folder(url))

    @classmethod
    def open(cls, url: str) -> "Ledger":
        """Open the ledger at `url`.

        Raises SchemaMismatch where its schema is not this version's, ConfigurationError for a URL or a place
        that cannot be used, LedgerUnavailable where it does not answer.
        """
        parsed = engines.parse(url)
        if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).is_file():
            raise SchemaMismatch(f"there is no ledger at {parsed.database} yet: `chexnode serve` makes it")
        engine = engines.connect(parsed)
        try:
            with engines.our_errors(parsed.render_as_string(hide_password=True)):
                _check_schema(engine, parsed.render_as_string(hide_password=True))
        except BaseException:
            engine.dispose()
            raise
        return cls(parsed, engine)

    @classmethod
    def for_settings(cls, node: NodeSection) -> "Ledger":
        """Open the ledger that the settings name: by default SQLite in the node's folder."""
        return cls.open(url_for(node))

    @staticmethod
    def migrate(url: str) -> None:
        """Make the ledger at `url`, or bring it forward to this version's schema.

        For `serve`, `demo` and tests. Raises what open() does; SchemaMismatch for a newer version's ledger.
        """
        parsed = engines.parse(url)
        if parsed.get_backend_name() == "sqlite":
            database = Path(str(parsed.database))
            database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            database.touch(mode=0o600)
        engine = engines.connect(parsed)
        try:
            with engines.our_errors(parsed.render_as_string(hide_password=True)), engine.begin() as tx:
                if _revision(tx) == schema.REVISION:
                    return
                # Alembic loads slowly, so only where there is something for it to do
                from dicom_node.ledger.migrations import upgrade

                upgrade(tx)
        finally:
            engine.dispose()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Tx]:
        """A transaction that writes: committed on leaving, rolled back on an error, then whoever waits is rung.

        Raises OutOfRoom, StorageFault, LedgerUnavailable; none of it was committed then. Of OutOfRoom the next one may
        be spared: the ballast was dropped.
        """
        with self._making_room(), engines.our_errors(self._where), self._writing, self._engine.connect() as connection:
            requested(connection)  # left over from a transaction of this connection that was rolled back
            with connection.begin():
                yield connection
                rings = requested(connection)
                if not self._sqlite:
                    notify(connection, rings)
        if self._sqlite:
            for channel in rings:
                self.bell.ring(channel)

    @contextlib.contextmanager
    def _making_room(self) -> Iterator[None]:
        """Drop the ballast where a transaction would find no room, or has found none."""
        if self.ballast is None:
            yield
            return
        self.ballast.drop_if_low()
        try:
            yield
        except OutOfRoom:
            self.ballast.drop()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Tx]:
        """A snapshot that only reads, and waits for no writer. Raises StorageFault, LedgerUnavailable."""
        options: dict[str, object] = (
            {engines.READ_ONLY: True}
            if self._sqlite
            else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        with engines.our_errors(self._where), self._engine.connect() as connection:
            reader = connection.execution_options(**options)
            with reader.begin():
                yield reader

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


class _Turn:
    """A lock with a deadline."""

    def __init__(self, where: str) -> None:
        self._lock = threading.Lock()
        self._where = where

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=engines.BUSY_TIMEOUT):
            raise LedgerUnavailable(
                f"the ledger {self._where} was busy for {engines.BUSY_TIMEOUT} s: is its disk too slow?"
            )

    def __exit__(self, *raised: object) -> None:
        self._lock.release()


def url_for(node: NodeSection) -> str:
    """The URL of the ledger that the settings name."""
    if node.ledger_url:
        return node.ledger_url
    return URL.create("sqlite", database=str(node.folder.absolute() / "ledger.sqlite")).render_as_string()


def run_folder(url: URL) -> Path:
    """Where the sockets of the bell stand: beside an SQLite database; PostgreSQL needs none."""
    return Path(str(url.database)).parent / "run"


def _check_schema(engine: Engine, where: str) -> None:
    with engine.connect().execution_options(**{engines.READ_ONLY: True}) as connection:
        found = _revision(connection)
    if found is None:
        raise SchemaMismatch(f"{where} is no ledger of chexnode yet: `chexnode serve` makes it")
    if found != schema.REVISION:
        raise SchemaMismatch(
            f"the ledger {where} has schema {found}, this chexnode needs {schema.REVISION}: stop every role and "
            "start `chexnode serve` of the newer version, which brings it forward"
        )


def _revision(connection: Connection) -> str | None:
    """The migration that a ledger was brought forward to; None: it is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found
