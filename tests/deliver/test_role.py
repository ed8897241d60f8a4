"""The deliver role as a whole: real archives that are down, full, stuck or rude; two destinations; kill -9."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_node.config import Settings
from dicom_node.deliver import role
from dicom_node.domain import Kind
from dicom_node.ledger import holding
from tests.deliver.archives import Archive, StoreSCP
from tests.deliver.node import Node, peer, settings_of
from tests.deliver.wire import AwkwardWire, Manner
from tests.peers import free_port
from tests.waiting import wait_for

STUDY = "1.2.3"


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


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    made: list[Node] = []
    yield made
    for node in made:
        node.close()


def make(nodes: list[Node], folder: Path, *peers: dict[str, Any], **sections: dict[str, Any]) -> Node:
    nodes.append(Node(settings_of(folder, *peers, **sections)))
    return nodes[-1]


def all_stored(node: Node, destination: str = "archive") -> bool:
    return set(node.states(destination)) == {"stored"}


def test_an_archive_that_is_down_gets_everything_once_it_is_up(nodes: list[Node], tmp_path: Path) -> None:
    port = free_port()
    node = make(nodes, tmp_path, peer("archive", port))
    uids = node.queue("archive", node.result(STUDY), node.result(STUDY, Kind.SEG))
    with delivering(node.settings):
        wait_for("two failed attempts", lambda: all(one.attempts >= 2 for one in node.deliveries()))
        assert all("cannot connect" in one.last_error for one in node.deliveries() if one.state == "pending")
        with StoreSCP(tmp_path / "dcmtk", port, "+xa") as archive:
            wait_for("delivery", lambda: all_stored(node))
            assert archive.uids() == sorted(uids)
        uids += node.queue("archive", node.result(STUDY))
        with StoreSCP(tmp_path / "dcmtk", port, "+xa") as archive:
            wait_for("delivery", lambda: all_stored(node))
            assert archive.uids() == sorted(uids)


def test_an_archive_without_room_is_asked_again(nodes: list[Node], tmp_path: Path) -> None:
    with Archive(statuses=[0xA700, 0xA701]) as archive:
        node = make(nodes, tmp_path, peer("archive", archive.port))
        (uid,) = node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("delivery", lambda: all_stored(node))
        assert archive.came[uid] == 3
    assert "it answered with status A700" in node.reasons("delivery")


def test_a_result_that_is_refused_for_good_delays_no_other(nodes: list[Node], tmp_path: Path) -> None:
    with Archive(statuses=[0xA900]) as archive:
        node = make(nodes, tmp_path, peer("archive", archive.port))
        bad, good = node.queue("archive", node.result(STUDY), node.result(STUDY))
        with delivering(node.settings):
            wait_for("both to end", lambda: node.states() == ["failed", "stored"])
            with node.ledger.transaction() as tx:
                assert holding.requeue(tx, now=time.time(), destination="archive") == 1
            wait_for("the operator's retry", lambda: all_stored(node))
        assert (archive.came[bad], archive.came[good]) == (2, 1)


@pytest.mark.parametrize("manner", [Manner.STALL, Manner.DROP_ANSWER])
def test_a_connection_that_fails_in_the_middle_loses_and_doubles_nothing(
    nodes: list[Node], tmp_path: Path, manner: Manner
) -> None:
    with Archive() as archive, AwkwardWire(archive.port, manner) as wire:
        node = make(nodes, tmp_path, peer("archive", wire.port))
        uids = node.queue("archive", *(node.result(STUDY) for _ in range(3)))
        with delivering(node.settings):
            wait_for("a spoilt connection", lambda: wire.spoilt)
            wire.manner = Manner.THROUGH
            wait_for("delivery", lambda: all_stored(node))
        assert sorted(archive.kept) == sorted(uids)
    if manner is Manner.DROP_ANSWER:
        # stored, and not known to be: sent again under the same UID
        assert sum(archive.came.values()) > len(uids)


@pytest.mark.parametrize("trouble", ["dead", "stuck"])
def test_one_destination_in_trouble_delays_no_other(nodes: list[Node], tmp_path: Path, trouble: str) -> None:
    with Archive() as healthy, Archive() as silent:
        silent.answers.clear()
        port = silent.port if trouble == "stuck" else free_port()
        node = make(
            nodes,
            tmp_path,
            peer("bad", port),
            peer("archive", healthy.port),
            deliver={"response_timeout": 30, "connect_timeout": 5, "retry_first": 0.05, "retry_longest": 0.2},
        )
        node.queue("bad", *(node.result(STUDY) for _ in range(3)))
        with delivering(node.settings):
            if trouble == "stuck":
                wait_for("the silent one to be sent to", lambda: silent.came)
            uids = node.queue("archive", *(node.result(STUDY) for _ in range(3)))
            wait_for("the healthy one", lambda: all_stored(node, "archive"), seconds=20)
            assert sorted(healthy.kept) == sorted(uids)
            assert "stored" not in node.states("bad")
            silent.answers.set()


def test_stops_in_time_although_a_peer_is_stuck_and_hands_back(
    nodes: list[Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role, "DRAIN", 0.3)
    with Archive() as archive:
        archive.answers.clear()
        node = make(nodes, tmp_path, peer("archive", archive.port), deliver={"response_timeout": 30})
        node.queue("archive", node.result(STUDY), node.result(STUDY))
        stop = threading.Event()
        thread = threading.Thread(target=role.run, args=(node.settings, stop), daemon=True)
        thread.start()
        wait_for("the archive to be sent to", lambda: archive.came)
        stop.set()
        thread.join(15)
        assert not thread.is_alive()
        assert node.states() == ["pending", "pending"]
        archive.answers.set()
        with delivering(node.settings):
            wait_for("delivery", lambda: all_stored(node))
    assert all(count <= 2 for count in archive.came.values())


def test_sends_nothing_to_a_destination_that_is_off_and_says_so(
    nodes: list[Node], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Archive() as archive, Archive() as other:
        node = make(nodes, tmp_path, peer("archive", archive.port, mode="off"), peer("live", other.port))
        node.queue("archive", node.result(STUDY))
        node.queue("gone", node.result(STUDY))
        node.queue("live", node.result(STUDY))
        with delivering(node.settings):
            wait_for("the live one", lambda: all_stored(node, "live"))
        assert node.states("archive") == node.states("gone") == ["pending"]
        assert not archive.came
    said = capsys.readouterr().out
    assert said.count("nothing is sent to this destination") == 2
    assert "not configured" in said


def test_a_destination_put_on_hold_gets_what_a_person_releases_and_nothing_else(
    nodes: list[Node], tmp_path: Path
) -> None:
    with Archive() as archive:
        node = make(nodes, tmp_path, peer("archive", archive.port, mode="hold"))
        released = node.queue("archive", node.result(STUDY), held=True)
        with node.ledger.transaction() as tx:
            assert holding.release(tx, now=time.time(), destination="archive") == 1
        # queued while the mode was still `send`
        node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("the released one", lambda: node.states() == ["stored", "held"])
        assert list(archive.kept) == released


def test_what_is_held_goes_out_once_released(nodes: list[Node], tmp_path: Path) -> None:
    with Archive() as archive:
        node = make(nodes, tmp_path, peer("archive", archive.port))
        held = node.queue("archive", node.result(STUDY), held=True)
        sent = node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("what is not held", lambda: node.states() == ["held", "stored"])
            assert list(archive.kept) == sent
            with node.ledger.transaction() as tx:
                assert holding.release(tx, now=time.time(), destination="archive") == 1
            wait_for("what was held", lambda: sorted(archive.kept) == sorted(held + sent))


def test_a_warning_counts_as_stored(nodes: list[Node], tmp_path: Path) -> None:
    with Archive(statuses=[0xB000]) as archive:
        node = make(nodes, tmp_path, peer("archive", archive.port))
        (uid,) = node.queue("archive", node.result(STUDY))
        with delivering(node.settings):
            wait_for("delivery", lambda: all_stored(node))
        assert archive.came[uid] == 1
    assert "it answered with status B000" in node.reasons("delivery")


_PROCESS = """
import sys, threading
from pathlib import Path
from dicom_node.config import load_settings
from dicom_node.deliver.role import run
run(load_settings(Path(sys.argv[1])), threading.Event())
"""


@contextlib.contextmanager
def process(config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The role in a process of its own, killed on leaving."""
    started = subprocess.Popen(
        [sys.executable, "-c", _PROCESS, str(config)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        yield started
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()


def test_killed_in_the_middle_of_a_send_everything_arrives_once(nodes: list[Node], tmp_path: Path) -> None:
    with Archive() as archive:
        folder = tmp_path / "node"
        config = tmp_path / "chexnode.toml"
        config.write_text(
            f'[node]\nfolder = "{folder}"\n[deliver]\nretry_first = 0.05\nretry_longest = 0.2\n'
            f'[[peers]]\nname = "archive"\nae_title = "ARCHIVE"\nhost = "127.0.0.1"\nport = {archive.port}\n'
            'mode = "send"\n'
        )
        node = make(nodes, folder, peer("archive", archive.port))
        uids = node.queue("archive", *(node.result(STUDY) for _ in range(5)))
        archive.stall_at = 3
        with process(config):
            wait_for("the third message", lambda: sum(archive.came.values()) == 3, seconds=120)
            wait_for("two outcomes", lambda: node.states().count("sending") == 3)
        archive.answers.set()
        with process(config):
            wait_for("delivery", lambda: all_stored(node), seconds=120)
        assert sorted(archive.kept) == sorted(uids)
        assert sorted(archive.came.values()) == [1, 1, 1, 1, 2]
