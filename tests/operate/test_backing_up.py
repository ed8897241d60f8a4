"""A backup is the node at one moment, whatever the node does meanwhile; the recipe of the manual brings it back."""

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dicom_node.config import load_settings
from dicom_node.dimse.part10 import file_meta
from dicom_node.domain import Arrival, Head
from dicom_node.errors import ConfigurationError, OutOfRoom, SchemaMismatch
from dicom_node.ledger import Ledger, deliveries, instances, named, schema
from dicom_node.operate.backing_up import back_up
from dicom_node.operate.verifying import verify
from dicom_node.retention import Deleted, Retention
from dicom_node.sections import RetentionSection
from dicom_node.spool import Spool
from tests import datasets
from tests.deliver.node import Node, peer, sender, settings_of
from tests.disks import small_disk
from tests.life.node import written
from tests.peers import association, sent
from tests.receive.roles import ReceiveRole

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs" / "operations.md"
LATER = 4e9


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path / "node", sender("MODALITY", "archive"), peer("archive")))
    yield node
    node.close()


@pytest.fixture
def config(node: Node, tmp_path: Path) -> Path:
    return written(node.settings, tmp_path / "chexnode.toml")


def keys(folder: Path) -> set[str]:
    return {path.name for path in (folder / "spool" / "objects").rglob("*") if path.is_file() and path.stat().st_size}


def keys_of_ledger(folder: Path) -> set[str]:
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.sqlite'}")
    try:
        with ledger.reading() as tx:
            return {each.spool_key for each in named.named(tx)}
    finally:
        ledger.close()


def test_a_second_run_copies_only_what_came_since_and_drops_what_was_purged(
    node: Node, config: Path, tmp_path: Path
) -> None:
    node.queue("archive", node.result("1.2.3"))
    to = tmp_path / "backup"
    first = back_up(node.settings, config, to, now=1.0)
    assert (first.objects, first.backup.objects, first.backup.missing) == (2, 2, 0)
    assert keys(to) == keys_of_ledger(to) == keys(node.settings.node.folder)
    node.arrive(str(generate_uid()))
    second = back_up(node.settings, config, to, now=2.0)
    assert (second.objects, second.backup.objects) == (1, 3)
    with node.ledger.transaction() as tx:
        (claim,) = deliveries.claim(tx, destination="archive", now=LATER, owner="test", lease=60, limit=1)
        deliveries.stored(tx, claim, 1.0)
        tx.execute(schema.study.update().values(state="concluded", concluded_at=1.0))
        tx.execute(schema.job.update().values(state="done"))
    assert Retention(node.ledger, node.spool, RetentionSection(days=0, watermark=0)).run(
        now=LATER, stop=threading.Event()
    ) == Deleted(studies=2, orphans=0)
    third = back_up(node.settings, config, to, now=2.0)
    assert (third.objects, third.backup.objects, keys(to)) == (0, 0, set())
    note = json.loads((to / "backup.json").read_text())
    assert (note["taken_at"], note["ledger"], note["revision"]) == (2.0, "ledger.sqlite", schema.REVISION)


def test_it_is_nobody_elses_to_read_and_holds_no_half_file(node: Node, config: Path, tmp_path: Path) -> None:
    node.queue("archive", node.result("1.2.3"))
    to = tmp_path / "backup"
    back_up(node.settings, config, to, now=1.0)
    for path in (to, *to.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert {path.name for path in to.iterdir()} == {"ledger.sqlite", "spool", "chexnode.toml", "backup.json"}


def test_what_retention_deletes_meanwhile_is_in_neither_the_copy_nor_its_ledger(
    node: Node, config: Path, tmp_path: Path
) -> None:
    """Arrivals, deletions and backups at once: each backup names exactly the objects that it holds."""
    stop = threading.Event()

    def churn() -> None:
        retention = Retention(node.ledger, node.spool, RetentionSection(days=0, watermark=0))
        while not stop.is_set():
            node.queue("archive", node.result("1.2.3"))
            with node.ledger.transaction() as tx:
                for claim in deliveries.claim(tx, destination="archive", now=LATER, owner="t", lease=60, limit=9):
                    deliveries.stored(tx, claim, 1.0)
                tx.execute(schema.study.update().values(state="concluded", concluded_at=1.0))
            retention.run(now=LATER, stop=stop)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        done = [back_up(node.settings, config, tmp_path / "backup", now=1.0) for _ in range(8)]
    finally:
        stop.set()
        thread.join(60)
    assert [each.backup.missing for each in done] == [0] * 8
    assert keys(tmp_path / "backup") == keys_of_ledger(tmp_path / "backup")


def test_what_the_spool_lost_is_counted(node: Node, config: Path, tmp_path: Path) -> None:
    node.arrive("1.2.3")
    (lost,) = keys(node.settings.node.folder)
    node.spool.remove(lost)
    assert back_up(node.settings, config, tmp_path / "backup", now=1.0).backup.missing == 1


@pytest.mark.peer
@pytest.mark.parametrize("which", ["rename", "fsync"])
def test_killed_at_any_moment_it_leaves_the_backup_before_whole(
    node: Node, config: Path, tmp_path: Path, which: str
) -> None:
    from tests.peers import program

    strace = program("strace")
    to = tmp_path / "backup"
    node.arrive("1.2.3")
    back_up(node.settings, config, to, now=1.0)
    for when in (1, 3):
        node.arrive(str(generate_uid()))
        command = [sys.executable, "-m", "dicom_node", "backup", str(to), "--config", str(config)]
        inject = f"inject={which}:signal=SIGKILL:when={when}"
        killed = subprocess.run(
            [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={which}", "-e", inject, *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if "PTRACE" in killed.stderr or "not permitted" in killed.stderr:
            pytest.skip("strace may not trace here: run where ptrace is allowed (--cap-add SYS_PTRACE)")
        assert killed.returncode != 0
        assert keys_of_ledger(to) <= keys(to)
    done = back_up(node.settings, config, to, now=2.0)
    assert keys(to) == keys_of_ledger(to)
    assert done.backup.objects == 3


@pytest.mark.peer
def test_a_full_disk_is_told_and_leaves_the_backup_before_whole(node: Node, config: Path, tmp_path: Path) -> None:
    node.arrive("1.2.3")
    with small_disk(tmp_path, megabytes=16) as disk:
        to = disk / "backup"
        back_up(node.settings, config, to, now=1.0)
        before = keys(to)
        node.arrive("1.2.4")
        (fresh,) = keys(node.settings.node.folder) - before
        node.spool.path(fresh).write_bytes(bytes(32 << 20))
        with pytest.raises(OutOfRoom, match="make room"):
            back_up(node.settings, config, to, now=2.0)
        assert keys_of_ledger(to) == before
        assert before <= keys(to)
        assert json.loads((to / "backup.json").read_text())["taken_at"] == 1.0


@pytest.mark.parametrize("where", ["inside", "foreign", "a file"])
def test_it_refuses_a_place_that_is_none(node: Node, config: Path, tmp_path: Path, where: str) -> None:
    to = tmp_path / "elsewhere"
    if where == "inside":
        to = node.settings.node.folder / "backup"
    elif where == "foreign":
        to.mkdir()
        (to / "thesis.tex").touch()
    else:
        to.touch()
    with pytest.raises(ConfigurationError, match=r"backup"):
        back_up(node.settings, config, to, now=1.0)
    assert not (to / "backup.json").exists()


def test_without_a_ledger_nothing_is_made(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "node", sender("MODALITY", "archive"), peer("archive"))
    with pytest.raises(SchemaMismatch):
        back_up(settings, tmp_path / "chexnode.toml", tmp_path / "backup", now=1.0)
    assert not (tmp_path / "backup").exists()


def recipe(name: str) -> str:
    """A block of the manual."""
    (block,) = re.findall(rf"```sh {name}\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    return str(block)


def followed(text: str, *, backup: Path, folder: Path, config: Path, **environment: str) -> None:
    """Run lines of the manual, its places exchanged for the test's, without the one that serves for ever."""
    for theirs, ours in (
        ("/mnt/backup/chexnode", str(backup)),
        ("/var/lib/chexnode/chexnode-data", str(folder)),
        ("/etc/chexnode/chexnode.toml", str(config)),
    ):
        text = text.replace(theirs, ours)
    lines = [line for line in text.splitlines() if not line.startswith("chexnode serve")]
    done = subprocess.run(
        ["bash", "-e", "-c", f'chexnode() {{ "{sys.executable}" -m dicom_node "$@"; }}\n' + "\n".join(lines)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if "verify" in text:
        assert "Ledger and spool agree." in done.stdout


@pytest.mark.peer
def test_the_recipe_of_the_manual_brings_a_node_back_that_was_backed_up_at_work(tmp_path: Path) -> None:
    role = ReceiveRole(tmp_path)
    places = {"backup": tmp_path / "backup", "folder": role.folder, "config": role.config}
    images = [datasets.chest(64, 64) for _ in range(4)]
    context = (images[0].SOPClassUID, ExplicitVRLittleEndian)
    with role.running(), association(role.port, context, seconds=60) as opened:
        assert [sent(opened, image) for image in images[:2]] == [0, 0]
        followed(recipe("backup"), **places)
        assert [sent(opened, image) for image in images[2:]] == [0, 0]
    role.folder.rename(tmp_path / "lost")
    followed(recipe("restore"), **places)
    with role.running(), association(role.port, context, seconds=60) as opened:
        assert [sent(opened, image) for image in images] == [0] * 4
    settings = load_settings(role.config)
    ledger = Ledger.for_settings(settings.node)
    try:
        with ledger.reading() as tx:
            assert {each.sop_instance_uid for each in named.named(tx)} == {str(each.SOPInstanceUID) for each in images}
        assert list(verify(ledger, Spool(role.folder / "spool"))) == []
    finally:
        ledger.close()


@pytest.mark.peer
def test_the_recipe_brings_a_postgresql_ledger_back(tmp_path: Path, postgres_server: str, postgres_url: str) -> None:
    from tests.postgres import drop_database

    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    restored = postgres_server.replace("/postgres?", "/chexnode?")
    Ledger.migrate(postgres_url)
    settings = settings_of(
        tmp_path / "node",
        sender("MODALITY", "archive"),
        peer("archive"),
        node={"folder": tmp_path / "node", "ledger_url": postgres_url},
    )
    config = written(settings, tmp_path / "chexnode.toml")
    spool = Spool(settings.node.folder / "spool")
    ledger = Ledger.open(postgres_url)
    with ledger.transaction() as tx:
        instances.record(
            tx,
            Arrival(
                head=Head(sop_class_uid="1.2.3", sop_instance_uid="1.2.4", study_instance_uid="1.2.5"),
                transfer_syntax_uid=ExplicitVRLittleEndian,
                digest=hashlib.sha256(b"data set").hexdigest(),
                size=8,
                calling_ae_title="MODALITY",
                spool_key=spool.put(
                    file_meta(
                        sop_class_uid="1.2.3",
                        sop_instance_uid="1.2.4",
                        transfer_syntax_uid=ExplicitVRLittleEndian,
                        calling_ae_title="MODALITY",
                    )
                    + b"data set"
                ),
                received_at=1.0,
            ),
            parameters="0" * 64,
            now=1.0,
        )
    ledger.close()
    places = {"backup": tmp_path / "backup", "folder": tmp_path / "again", "config": config}
    path = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    followed(recipe("backup"), **places, **path)
    try:
        followed(recipe("restore-postgresql"), **places, **path, SERVER=postgres_server, DATABASE=restored)
        again = settings.model_copy(
            update={"node": settings.node.model_copy(update={"folder": tmp_path / "again", "ledger_url": restored})}
        )
        places["config"] = written(again, tmp_path / "again.toml")
        followed(recipe("restore"), **places)
    finally:
        drop_database(postgres_server, restored)
