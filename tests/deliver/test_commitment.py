"""Storage Commitment as SCU, with a real archive that commits, refuses, is silent, or calls back."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_node.config import ReceiveSection, Settings
from dicom_node.deliver import commitment, outbox, role
from dicom_node.domain import Kind
from dicom_node.ledger import commitments
from dicom_node.receive.commitment import CommitmentSCP
from dicom_node.receive.intake import Intake
from dicom_node.receive.scp import StoreSCP
from dicom_node.retention import Retention
from dicom_node.sections import RetentionSection
from tests.committing import CommittingArchive, Way
from tests.deliver.archives import Archive
from tests.deliver.node import PARAMETERS, Node, peer, settings_of
from tests.deliver.test_role import process
from tests.peers import association, free_port
from tests.waiting import wait_for

STUDY = "1.2.3"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits."""
    monkeypatch.setattr(outbox, "GATHER", 0.3)
    monkeypatch.setattr(commitment, "GATHER", 0.3)
    monkeypatch.setattr(commitment, "STAY", 1.0)
    monkeypatch.setattr(commitments, "SEND_AGAIN_AFTER", 0.1)


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    made: list[Node] = []
    yield made
    for node in made:
        node.close()


@contextlib.contextmanager
def delivering(settings: Settings) -> Iterator[None]:
    """The role, in a thread of this process."""
    stop = threading.Event()
    thread = threading.Thread(target=role.run, args=(settings, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(role.DRAIN + 10)
        assert not thread.is_alive()


@contextlib.contextmanager
def receiving(node: Node) -> Iterator[int]:
    """The node's listener, for reports that come over an association of the archive's; its port."""
    intake = Intake(node.spool, node.ledger, parameters=PARAMETERS, low_watermark=0, max_object_size=1 << 30)
    peers = node.settings.peers
    scp = StoreSCP(
        intake,
        ReceiveSection(port=0),
        peers=peers,
        ae_title="CHEXNODE",
        commitment=CommitmentSCP(node.ledger, peers),
    )
    scp.start()
    try:
        yield scp.port
    finally:
        scp.close(drain=1.0)


def make(nodes: list[Node], folder: Path, archive_port: int, **more: Any) -> Node:
    committing = {**peer("archive", archive_port), "commitment": True, **more}
    nodes.append(Node(settings_of(folder, committing)))
    return nodes[-1]


def purged(node: Node) -> int:
    """Studies that retention deletes, however young, however full the disk."""
    section = RetentionSection(days=0, watermark=1 << 60)
    return Retention(node.ledger, node.spool, section).run(now=time.time() + 1e6, stop=threading.Event()).studies


def test_what_was_stored_is_asked_about_in_one_request_and_committed(nodes: list[Node], tmp_path: Path) -> None:
    with CommittingArchive() as archive:
        node = make(nodes, tmp_path, archive.port)
        uids = node.queue("archive", node.result(STUDY), node.result(STUDY, Kind.SEG))
        with delivering(node.settings):
            wait_for("commitment", lambda: set(node.states()) == {"committed"})
        assert [sorted(asked) for _, asked in archive.requests] == [sorted(uids)]
        assert archive.answers == [0x0000]
        assert set(archive.came.values()) == {1}


def test_a_report_over_an_association_of_the_archive(nodes: list[Node], tmp_path: Path) -> None:
    with CommittingArchive(way=Way.NEW) as archive:
        node = make(nodes, tmp_path, archive.port)
        node.queue("archive", node.result(STUDY))
        with receiving(node) as archive.node_port, delivering(node.settings):
            wait_for("commitment", lambda: node.states() == ["committed"])
        assert archive.answers == [0x0000]


def test_a_report_that_comes_while_the_node_was_restarted(nodes: list[Node], tmp_path: Path) -> None:
    """What was asked stands in the ledger, not in a process."""
    with CommittingArchive(way=Way.NONE) as archive:
        node = make(nodes, tmp_path, archive.port)
        (uid,) = node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("the request", lambda: archive.requests)
        assert node.states() == ["uncommitted"]
        with receiving(node) as archive.node_port:
            archive.report(_asked(archive, uid))
        assert archive.answers == [0x0000]
        assert node.states() == ["committed"]


def test_nothing_is_purged_before_it_is_committed(nodes: list[Node], tmp_path: Path) -> None:
    with CommittingArchive(way=Way.NONE) as archive:
        node = make(nodes, tmp_path, archive.port)
        (uid,) = node.queue("archive", node.result(STUDY))
        _conclude(node)
        with delivering(node.settings):
            wait_for("the request", lambda: archive.requests)
        assert purged(node) == 0
        with receiving(node) as archive.node_port:
            archive.report(_asked(archive, uid))
        assert purged(node) == 1


def test_what_is_not_committed_is_sent_again(nodes: list[Node], tmp_path: Path) -> None:
    with CommittingArchive() as archive:
        archive.reason = lambda uid: 0 if archive.came[uid] > 1 else 0x0112
        node = make(nodes, tmp_path, archive.port)
        (uid,) = node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("commitment", lambda: node.states() == ["committed"])
        assert archive.came[uid] == 2
        assert len({transaction for transaction, _ in archive.requests}) == 2


def test_what_is_never_committed_is_reported_to_a_person_in_the_end(nodes: list[Node], tmp_path: Path) -> None:
    with CommittingArchive() as archive:
        node = make(nodes, tmp_path, archive.port)
        bad, good = node.queue("archive", node.result(STUDY), node.result(STUDY))
        archive.reason = lambda uid: 0x0110 if uid == bad else 0
        with delivering(node.settings):
            wait_for("both to end", lambda: sorted(node.states()) == ["committed", "failed"])
        assert (archive.came[bad], archive.came[good]) == (commitments.ATTEMPTS, 1)
        (failed,) = [one for one in node.deliveries() if one.state == "failed"]
        assert "does not commit to keeping it (Failure Reason 0110)" in failed.last_error
        assert purged(node) == 0


def test_silence_is_asked_again_and_then_reported(nodes: list[Node], tmp_path: Path) -> None:
    with CommittingArchive(way=Way.NONE) as archive:
        node = make(nodes, tmp_path, archive.port, commitment_timeout=0.2)
        (uid,) = node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("the end", lambda: node.states() == ["failed"])
        assert len({transaction for transaction, _ in archive.requests}) == commitments.ATTEMPTS
        assert archive.came[uid] == 1
        (failed,) = node.deliveries()
        assert failed.last_error == commitments.SILENCE
        # good news are good news, however late
        with receiving(node) as archive.node_port:
            archive.report(_asked(archive, uid))
        assert node.states() == ["committed"]


def test_an_archive_that_is_away_is_asked_once_it_is_back(nodes: list[Node], tmp_path: Path) -> None:
    with CommittingArchive() as archive:
        node = make(nodes, tmp_path, free_port())
        _stored(node)
        with delivering(node.settings):
            wait_for("attempts in vain", lambda: node.deliveries()[0].last_error)
            assert "cannot connect" in node.deliveries()[0].last_error
        node.settings = settings_of(tmp_path, {**peer("archive", archive.port), "commitment": True})
        assert node.deliveries()[0].commitment_attempts == 0
        with delivering(node.settings):
            wait_for("commitment", lambda: node.states() == ["committed"])


def test_an_archive_that_does_not_answer_holds_up_no_delivery_and_no_other_archive(
    nodes: list[Node], tmp_path: Path
) -> None:
    with CommittingArchive() as stuck, CommittingArchive() as healthy:
        stuck.answering.clear()
        wanted = [{**peer(name, each.port), "commitment": True} for name, each in (("stuck", stuck), ("good", healthy))]
        nodes.append(Node(settings_of(tmp_path, *wanted, deliver={"response_timeout": 3})))
        node = nodes[-1]
        node.queue("stuck", node.result(STUDY))
        with delivering(node.settings):
            wait_for("the request", lambda: stuck.requests)
            node.queue("stuck", node.result(STUDY))
            node.queue("good", node.result(STUDY))
            wait_for("the healthy one", lambda: node.states("good") == ["committed"])
            wait_for("delivery to the stuck one", lambda: node.states("stuck") == ["uncommitted", "uncommitted"])
            stuck.answering.set()
            wait_for("commitment", lambda: set(node.states("stuck")) == {"committed"})


def test_killed_while_it_asked_it_asks_again(nodes: list[Node], tmp_path: Path) -> None:
    with CommittingArchive() as archive:
        archive.answering.clear()
        config = tmp_path / "chexnode.toml"
        folder = tmp_path / "node"
        config.write_text(
            f'[node]\nfolder = "{folder}"\n[[peers]]\nname = "archive"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\n'
            f'port = {archive.port}\nmode = "send"\ncommitment = true\ncommitment_timeout = 0.5\n'
        )
        node = make(nodes, folder, archive.port)
        node.queue("archive", node.result(STUDY))
        with process(config):
            wait_for("the request", lambda: archive.requests, seconds=60)
        assert node.states() == ["uncommitted"]
        archive.answering.set()
        with process(config):
            wait_for("commitment", lambda: node.states() == ["committed"], seconds=60)
        assert len({transaction for transaction, _ in archive.requests}) > 1


@pytest.mark.parametrize("trouble", ["no such service", "N-ACTION refused"])
def test_an_archive_that_does_not_commit_at_all_is_reported(nodes: list[Node], tmp_path: Path, trouble: str) -> None:
    with CommittingArchive(commits=trouble != "no such service") as archive:
        archive.status = 0x0110
        node = make(nodes, tmp_path, archive.port)
        node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("the end", lambda: node.states() == ["failed"])
        (failed,) = node.deliveries()
        said = "does not accept Storage Commitment" if trouble == "no such service" else "status 0110"
        assert said in failed.last_error


def test_only_the_archive_that_was_asked_is_believed(nodes: list[Node], tmp_path: Path) -> None:
    with CommittingArchive(way=Way.NONE) as archive:
        other = {**peer("other"), "ae_title": "OTHER", "commitment": True}
        nodes.append(Node(settings_of(tmp_path, {**peer("archive", archive.port), "commitment": True}, other)))
        node = nodes[-1]
        (uid,) = node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("the request", lambda: archive.requests)
        request = _asked(archive, uid)
        with receiving(node) as archive.node_port:
            archive.report(request, calling="OTHER")
            unknown = _asked(archive, uid)
            unknown.TransactionUID = generate_uid()
            archive.report(unknown)
            archive.report(request, calling="STRANGER")
            empty = Dataset()
            empty.TransactionUID = request.TransactionUID
            assert archive.send(empty, 1) == 0x0212
            assert archive.send(request, 3) == 0x0113
        assert archive.answers == [0x0115, 0x0115, None]
        assert node.states() == ["uncommitted"]


def test_who_only_reports_may_not_store(nodes: list[Node], tmp_path: Path) -> None:
    node = make(nodes, tmp_path, free_port())
    result = node.result(STUDY)
    from pydicom import dcmread

    file = dcmread(node.spool.path(result.spool_key))
    with (
        receiving(node) as port,
        association(port, (result.sop_class_uid, result.transfer_syntax_uid), calling="ARCHIVE") as opened,
    ):
        assert opened.send_c_store(file).Status == 0x0124


def test_without_commitment_nothing_is_asked(nodes: list[Node], tmp_path: Path) -> None:
    with Archive() as archive:
        node = make(nodes, tmp_path, archive.port, commitment=False)
        _stored(node)
        node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("delivery", lambda: node.states() == ["stored", "stored"])
        assert "commitment is not asked for any more" in node.reasons("delivery")


def _asked(archive: CommittingArchive, uid: str) -> Dataset:
    """The last request, as it came."""
    item, request = Dataset(), Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    item.ReferencedSOPInstanceUID = uid
    request.TransactionUID = archive.requests[-1][0]
    request.ReferencedSOPSequence = [item]
    return request


def _stored(node: Node) -> None:
    """A result that the destination stored, and that nobody has asked about yet."""
    from dicom_node.ledger import deliveries

    node.queue("archive", node.result(STUDY))
    now = time.time()
    with node.ledger.transaction() as tx:
        (claim,) = deliveries.claim(tx, destination="archive", now=now, owner="t", lease=9, limit=1)
        deliveries.stored(tx, claim, now, ask_at=now)


def _conclude(node: Node) -> None:
    """The studies are concluded, so that only deliveries stand in the way of a purge."""
    from dicom_node.ledger import studies

    now = time.time()
    with node.ledger.transaction() as tx:
        for row in studies.quiet(tx, now=now + 100, quiet_period=1):
            studies.complete(tx, row, now=now)
        for row in studies.ready(tx, now=now, conclude_after=1):
            studies.conclude(tx, row, revision=row.revision, now=now, deliveries=(), missing=())
