"""The conclude role as a whole: it sleeps until somebody rings or the alarm does, and keeps nothing to itself."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from dicom_node.conclude import role
from dicom_node.config import Settings
from dicom_node.deliver import role as deliver
from dicom_node.domain import StudyState
from dicom_node.ledger import deliveries, jobs, processes
from dicom_node.retention import ORPHAN_AGE
from tests.deliver.archives import Archive
from tests.deliver.node import Node, peer, sender, settings_of
from tests.waiting import wait_for


@contextlib.contextmanager
def running(node: Node, run: Callable[[Settings, threading.Event], None] = role.run) -> Iterator[threading.Event]:
    """A role, in a thread of this process."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(node.settings, stop), daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path, sender("MODALITY", "archive"), peer("archive")))
    yield node
    node.close()


def test_concludes_without_being_asked(node: Node) -> None:
    uid = str(generate_uid())
    with running(node):
        node.arrive(uid)
        wait_for("quiet", lambda: node.study(uid).study.state is StudyState.COMPLETE, seconds=10)
        node.analyse(node.result(uid))
        wait_for("the conclusion", lambda: node.study(uid).study.state is StudyState.CONCLUDED, seconds=10)
    assert node.states() == ["pending"]


def test_finds_what_was_left_when_it_last_stopped(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid)
    node.analyse(node.result(uid))
    with running(node):
        wait_for("the conclusion", lambda: node.study(uid).study.state is StudyState.CONCLUDED, seconds=10)


def test_gives_up_waiting_for_a_job_that_nobody_does(node: Node) -> None:
    uid = str(generate_uid())
    with running(node):
        node.arrive(uid)
        wait_for("the conclusion", lambda: node.study(uid).study.state is StudyState.CONCLUDED, seconds=20)
    assert "partial" in node.reasons("study")


def test_takes_back_what_its_holder_let_lapse(node: Node) -> None:
    node.queue("archive", node.result("1.2.3"))
    node.arrive(str(generate_uid()))
    with node.ledger.transaction() as tx:
        now = time.time()
        assert deliveries.claim(tx, destination="archive", now=now, owner="dead", lease=0.3, limit=1)
        assert jobs.claim(tx, owner="dead", now=now, lease=0.3, limit=1)
    with running(node):
        wait_for("the delivery", lambda: node.states() == ["pending"], seconds=20)
        wait_for("the job", lambda: any("vanished" in reason for reason in node.reasons("job")), seconds=20)


def test_says_that_it_lives_and_keeps_house(node: Node) -> None:
    orphan = node.spool.path(node.spool.put(b"whose row was never written"))
    os.utime(orphan, (time.time() - 2 * ORPHAN_AGE,) * 2)
    with running(node):
        wait_for("the sweep", lambda: not orphan.exists(), seconds=10)
    with node.ledger.reading() as tx:
        assert [one.role for one in processes.seen(tx)] == ["conclude"]


def test_stops_at_once(node: Node) -> None:
    with running(node) as stop:
        wait_for("a sign of life", lambda: _alive(node), seconds=10)
        before = time.monotonic()
        stop.set()
    assert time.monotonic() - before < 4, "it waited for the bell instead of hearing that it must stop"


def test_a_study_and_its_late_image_reach_the_archive_once_each(tmp_path: Path) -> None:
    with Archive() as archive:
        node = Node(settings_of(tmp_path, sender("MODALITY", "archive"), peer("archive", archive.port)))
        uid = str(generate_uid())
        with running(node), running(node, deliver.run):
            node.arrive(uid)
            first = node.result(uid)
            node.analyse(first)
            wait_for("the first result", lambda: first.sop_instance_uid in archive.kept)
            node.arrive(uid)
            late = node.result(uid)
            node.analyse(late)
            wait_for("the late image's result", lambda: late.sop_instance_uid in archive.kept)
            wait_for("the second revision", lambda: node.study(uid).study.revision == 2)
        assert set(archive.came.values()) == {1}
        assert len(archive.came) == 2
        node.close()


def _alive(node: Node) -> bool:
    with node.ledger.reading() as tx:
        return bool(processes.seen(tx))
