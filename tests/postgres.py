"""A PostgreSQL of our own for a test session: Debian's programs, a temporary folder, a Unix socket, no network."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.memory import MEMORY
from tests.waiting import wait_for

#: no network, no waiting for the disk
_SETTINGS = ("listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=60")
_MISSING = "apt-get install -y --no-install-recommends postgresql"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of the server's maintenance database; skips where PostgreSQL or its driver is not installed."""
    with running() as url:
        yield url


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The same for whoever is no test: pytest.skip.Exception where something is missing."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip(f"PostgreSQL is not installed: {_MISSING}")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'chexnode[postgresql]'")
    binaries = programs[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="chexnode-pg-", dir=MEMORY))
    # initdb refuses to run as root
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    cluster = folder / "cluster"
    try:
        _run(
            user,
            folder,
            [
                binaries / "initdb",
                "-D",
                cluster,
                "-U",
                "chexnode",
                *["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
            ],
        )
        log = (folder / "log").open("wb")
        server = subprocess.Popen(
            [binaries / "postgres", "-D", cluster, "-k", folder, *(f"-c{setting}" for setting in _SETTINGS)],
            cwd=folder,
            user=user,
            stdout=log,
            stderr=log,
        )
        log.close()
        url = f"postgresql://chexnode@/postgres?host={folder}"
        try:
            wait_for("PostgreSQL to answer", lambda: _answers(server, url, folder), seconds=60)
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # the "fast" shutdown
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database, dropped after the test."""
    url = create_database(postgres_server)
    yield url
    drop_database(postgres_server, url)


def create_database(server: str) -> str:
    """URL of a new, empty database."""
    import psycopg

    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


def drop_database(server: str, url: str) -> None:
    """Drop a database of create_database(), whoever is still connected."""
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        name = url.partition("?")[0].rpartition("/")[2]
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _run(user: str | None, folder: Path, command: list[object]) -> None:
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, user=user, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _answers(server: "subprocess.Popen[bytes]", url: str, folder: Path) -> bool:
    import psycopg

    assert server.poll() is None, (folder / "log").read_text()
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


class Away:
    """Takes a database away from everybody, and gives it back."""

    def __init__(self, server: str, url: str) -> None:
        self._server = server
        self._name = url.partition("?")[0].rpartition("/")[2]

    @contextlib.contextmanager
    def gone(self) -> Iterator[None]:
        """Every connection is cut, and new ones are refused."""
        self._run(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
        self._run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'")
        try:
            yield
        finally:
            self._run(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")

    def _run(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement.encode())
