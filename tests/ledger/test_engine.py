"""What SQLite needs to keep the laws, and its errors in our own words."""

import sqlite3
import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import select, text

from dicom_node.config import NodeSection
from dicom_node.errors import ConfigurationError, LedgerUnavailable, NodeError, OutOfRoom, SchemaMismatch
from dicom_node.ledger import Ledger, engine
from dicom_node.ledger.schema import study
from tests.contract.world import World, arrival

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:40 / /mnt/pacs rw,relatime shared:20 - nfs4 nas:/pacs rw
41 22 0:41 / /mnt/win rw - cifs //nas/win rw
42 22 0:42 / /home/x/remote rw,nosuid - fuse.sshfs x@host: rw
43 22 0:43 / /mnt/with\\040space rw - nfs nas:/b rw
44 40 254:1 / /mnt/pacs/local rw - xfs /dev/vdb rw
45 22 0:45 / /mnt/over rw - nfs nas:/c rw
46 45 254:2 / /mnt/over rw - ext4 /dev/vdc rw
47 22 0:47 / /mnt/bind rw - fuse.bindfs /data rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/chexnode/ledger.sqlite", "ext4"),
        ("/mnt/pacs/chexnode/ledger.sqlite", "nfs4"),
        ("/mnt/pacs2/ledger.sqlite", "ext4"),
        ("/mnt/pacs/local/ledger.sqlite", "xfs"),
        ("/mnt/with space/ledger.sqlite", "nfs"),
        ("/mnt/over/ledger.sqlite", "ext4"),
        ("/home/x/remote/ledger.sqlite", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_counts(path: str, kind: str) -> None:
    assert engine.mount_type(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("where", ["/mnt/pacs", "/mnt/win", "/home/x/remote", "/mnt/with space"])
def test_sqlite_on_a_network_file_system_is_refused(where: str) -> None:
    with pytest.raises(ConfigurationError, match=r"node\.folder.*local disk.*PostgreSQL"):
        engine.refuse_network(Path(where) / "ledger.sqlite", MOUNTS)


@pytest.mark.parametrize("where", ["/var/lib", "/mnt/pacs/local", "/mnt/over", "/mnt/bind"])
def test_sqlite_on_a_local_disk_is_not(where: str) -> None:
    engine.refuse_network(Path(where) / "ledger.sqlite", MOUNTS)


def test_the_pragmas_hold_on_every_connection(world: World) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    with world.ledger.transaction() as tx, world.ledger.reading() as other:
        for connection in (tx, other):
            found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in wanted}
            assert found == wanted


def test_a_writing_transaction_takes_the_lock_at_once(world: World, folder: Path) -> None:
    outside = sqlite3.connect(folder / "ledger.sqlite", timeout=0, isolation_level=None)
    with world.ledger.transaction() as tx:
        tx.execute(select(study.c.id)).all()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            outside.execute("BEGIN IMMEDIATE")
    outside.execute("BEGIN IMMEDIATE")
    outside.close()


def test_a_snapshot_neither_waits_for_a_writer_nor_sees_it(world: World) -> None:
    with world.ledger.reading() as before, world.ledger.transaction() as tx:
        assert before.execute(select(study.c.id)).all() == []
        tx.execute(
            text(
                "INSERT INTO study (study_instance_uid, state, first_arrival, last_arrival) VALUES ('1', 'open', 0, 0)"
            )
        )
        assert before.execute(select(study.c.id)).all() == []


def test_a_snapshot_cannot_write(world: World) -> None:
    def write() -> None:
        with world.ledger.reading() as tx:
            tx.execute(text("DELETE FROM study"))

    with pytest.raises(NodeError):
        write()
    world.receive(arrival(1))


def test_threads_write_in_turn(world: World) -> None:
    threads = [threading.Thread(target=world.receive, args=(arrival(number),)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(world.claim()) == 30


def test_a_ledger_that_stays_locked_is_unavailable(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT", 0.1)
    ledger = Ledger.open(url)
    outside = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
    outside.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable, match="did not answer"), ledger.transaction():
        pass
    outside.close()
    with ledger.transaction():
        pass
    ledger.close()


def test_a_full_disk_is_out_of_room_and_nothing_is_half_done(world: World) -> None:
    with world.ledger.transaction() as tx:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()

    def fill() -> None:
        with world.ledger.transaction() as tx:
            tx.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
            for number in range(1000):
                tx.execute(
                    text(
                        "INSERT INTO study (study_instance_uid, state, first_arrival, last_arrival)"
                        f" VALUES ('{number}{'0' * 200}', 'open', 0, 0)"
                    )
                )

    with pytest.raises(OutOfRoom, match="make room"):
        fill()
    with world.ledger.reading() as tx:
        assert tx.execute(select(study.c.id)).all() == []


def test_the_ledger_is_nobody_elses_to_read(world: World, folder: Path) -> None:
    world.receive(arrival(1))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()}
    assert set(modes.values()) == {0o600}
    assert "ledger.sqlite-wal" in modes


def test_the_settings_name_the_ledger(folder: Path) -> None:
    node = NodeSection(folder=folder / "data")
    with pytest.raises(SchemaMismatch, match="no ledger"):
        Ledger.for_settings(node)
    Ledger.migrate(f"sqlite:///{folder}/data/ledger.sqlite")
    Ledger.for_settings(node).close()


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "not a url", "postgresql+asyncpg://host/db"])
def test_a_url_of_anything_else_names_the_key(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"node\.ledger_url"):
        Ledger.open(url)


def test_a_server_that_is_not_there_is_unavailable(folder: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'chexnode[postgresql]'")
    with pytest.raises(LedgerUnavailable) as raised:
        Ledger.open(f"postgresql://user:hunter2@/db?host={folder}")
    assert "hunter2" not in str(raised.value)
