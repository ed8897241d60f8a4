"""What ledger and spool do not agree about is named, and mended where that is asked for; nothing else is touched."""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.domain import DeliveryState, ResultState
from dicom_node.ledger import named, results, schema
from dicom_node.operate.backing_up import back_up
from dicom_node.operate.verifying import Discrepancy, Mended, Wrong, mend, verify
from tests import datasets
from tests.cli.conftest import Run
from tests.deliver.node import Node, peer, sender, settings_of
from tests.life.node import written
from tests.peers import association, sent
from tests.receive.conftest import Receiver

STUDY = "1.2.3"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path / "node", sender("MODALITY", "archive"), peer("archive")))
    yield node
    node.close()


def found(receiver: Receiver) -> list[Discrepancy]:
    return list(verify(receiver.ledger, receiver.spool))


def send(receiver: Receiver, dataset: Dataset) -> int:
    with association(receiver.port, (dataset.SOPClassUID, ExplicitVRLittleEndian)) as opened:
        return sent(opened, dataset)


def object_of(receiver: Receiver, dataset: Dataset) -> Path:
    row = receiver.current(dataset)
    assert row is not None
    return receiver.spool.path(row.spool_key)


def flip(path: Path) -> None:
    """One bit of the last byte."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_node_that_received_agrees_with_itself(receiver: Receiver) -> None:
    assert send(receiver, datasets.chest(64, 64)) == 0
    assert found(receiver) == []


@pytest.mark.parametrize("harm", [Path.unlink, flip, lambda path: os.truncate(path, 40)], ids=["gone", "bit", "cut"])
def test_a_lost_image_is_named_and_taken_when_it_is_sent_again(receiver: Receiver, harm: object) -> None:
    lost, other = datasets.chest(64, 64), datasets.chest(64, 64)
    assert [send(receiver, lost), send(receiver, other)] == [0, 0]
    whole = object_of(receiver, lost).read_bytes()
    harm(object_of(receiver, lost))  # type: ignore[operator]  # each is called with a path
    (one,) = found(receiver)
    assert one.named is not None
    assert one.wrong is (Wrong.MISSING if harm is Path.unlink else Wrong.DAMAGED)
    assert (one.named.sop_instance_uid, one.mended) == (str(lost.SOPInstanceUID), None)
    assert mend(receiver.ledger, receiver.spool, one, now=1.0).mended is Mended.AWAITED
    assert [each.wrong for each in found(receiver)] == [Wrong.MISSING]
    assert send(receiver, lost) == 0
    assert receiver.kept(lost) == whole
    assert found(receiver) == []


def test_a_duplicate_of_what_is_there_changes_nothing(receiver: Receiver) -> None:
    image = datasets.chest(64, 64)
    assert [send(receiver, image), send(receiver, image)] == [0, 0]
    assert len(receiver.files()) == 1
    assert found(receiver) == []


def test_bytes_come_back_from_a_backup_if_they_are_whole_there(receiver: Receiver, tmp_path: Path) -> None:
    image = datasets.chest(64, 64)
    send(receiver, image)
    settings = settings_of(receiver.folder, sender("MODALITY", "archive"), peer("archive"))
    back_up(settings, written(settings, tmp_path / "chexnode.toml"), tmp_path / "backup", now=1.0)
    whole = object_of(receiver, image).read_bytes()
    flip(object_of(receiver, image))
    (one,) = found(receiver)
    assert mend(receiver.ledger, receiver.spool, one, backup=tmp_path / "backup", now=1.0).mended is Mended.RESTORED
    assert receiver.kept(image) == whole
    assert found(receiver) == []
    assert len(list((receiver.folder / "spool" / "damaged").iterdir())) == 1

    flip(object_of(receiver, image))
    kept = tmp_path / "backup" / "spool" / "objects"
    flip(next(path for path in kept.rglob("*") if path.is_file()))
    (one,) = found(receiver)
    assert mend(receiver.ledger, receiver.spool, one, backup=tmp_path / "backup", now=1.0).mended is Mended.AWAITED


def test_a_lost_result_is_given_up_and_what_waits_for_it_ends(node: Node) -> None:
    made = node.result(STUDY)
    node.queue("archive", made)
    node.spool.remove(made.spool_key)
    lost = [one for one in verify(node.ledger, node.spool) if one.wrong is Wrong.MISSING]
    (one,) = lost
    assert one.named is not None
    assert one.named.noun is named.Noun.RESULT
    assert mend(node.ledger, node.spool, one, now=9.0).mended is Mended.GIVEN_UP
    assert node.states() == [DeliveryState.ABANDONED.value]
    assert "its bytes are lost" in node.reasons("delivery")
    with node.ledger.reading() as tx:
        assert results.is_ours(tx, made.sop_instance_uid)
        assert tx.execute(schema.result.select()).mappings().one()["state"] == ResultState.PURGED.value
    assert [one for one in verify(node.ledger, node.spool) if one.wrong is Wrong.MISSING] == []


def test_an_orphan_is_named_once_it_is_a_day_old(receiver: Receiver) -> None:
    key = receiver.spool.put(b"of nobody")
    assert found(receiver) == []
    os.utime(receiver.spool.path(key), (1.0, 1.0))
    (one,) = found(receiver)
    assert (one.wrong, one.named) == (Wrong.ORPHAN, None)
    assert key in one.said


def test_a_quick_look_reads_no_bytes(receiver: Receiver) -> None:
    image = datasets.chest(64, 64)
    send(receiver, image)
    flip(object_of(receiver, image))
    assert list(verify(receiver.ledger, receiver.spool, quick=True)) == []
    assert [one.wrong for one in verify(receiver.ledger, receiver.spool)] == [Wrong.DAMAGED]


def test_a_ledger_whose_rows_refer_to_nothing_is_named(node: Node) -> None:
    node.arrive(STUDY)
    with node.ledger.reading() as tx:
        assert named.unsound(tx) == []
    # as a failing disk would, behind the ledger's back
    with contextlib.closing(sqlite3.connect(node.settings.node.folder / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE instance SET study_id = 4711")
    with node.ledger.reading() as tx:
        assert any("row 1 of instance" in said for said in named.unsound(tx))


def test_the_command_names_mends_and_says_by_its_exit_code(run: Run, node: Node, tmp_path: Path) -> None:
    config = written(node.settings, tmp_path / "site.toml")
    made = node.result(STUDY)
    node.queue("archive", made)
    orphan = node.spool.put(b"of nobody")
    os.utime(node.spool.path(orphan), (1.0, 1.0))
    with node.ledger.transaction() as tx:
        digest = hashlib.sha256(node.spool.read(made.spool_key)).hexdigest()
        tx.execute(schema.result.update().values(digest=digest))
        tx.execute(schema.instance.update().values(state="purged"))
    flip(node.spool.path(made.spool_key))

    looked = run("verify", "--config", config)
    assert looked.exit_code == 1
    assert f"damaged  result {made.sop_instance_uid}" in looked.output
    assert f"orphan   {orphan}" in looked.output
    assert node.states() == [DeliveryState.PENDING.value]

    mended = run("verify", "--mend", "--config", config)
    assert mended.exit_code == 0
    assert "given up" in mended.output
    assert not node.spool.path(orphan).exists()
    again = run("verify", "--config", config)
    assert (again.exit_code, "agree" in again.output) == (0, True)
