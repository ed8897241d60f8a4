"""`chexnode serve` as a process: it keeps its roles alive, and none of them outlives it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.config import load_settings
from dicom_node.ledger import Channel, Ledger
from dicom_node.ledger.ledger import url_for
from dicom_node.supervisor import RECEIVE_FIRST
from tests.peers import association, echoed, echoscu, free_port
from tests.site import configure
from tests.waiting import wait_for

#: seconds; a role loads torch, and the machine may be busy
PATIENCE = 90


class Served:
    """One node in a folder, and what may be seen of it from outside."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self.configuration = configure(folder, port=self.port, archive_port=free_port())
        self._log = folder / "serve.log"
        self.process = self.serve()

    def serve(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dicom_node", "serve", "--config", str(self.configuration)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def roles(self) -> dict[str, int]:
        """Process id of each role that runs for this node's configuration."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"dicom_node.app" in words and str(self.configuration).encode() in words:
                found[words[words.index(b"dicom_node.app") + 1].decode()] = int(entry.name)
        return found

    def when(self, **said: str) -> datetime:
        """When the first line that says so was written."""
        lines = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return next(datetime.fromisoformat(line["timestamp"]) for line in lines if said.items() <= line.items())

    def log(self) -> str:
        return self._log.read_text(errors="replace")


@contextlib.contextmanager
def serving(folder: Path, port: int | None = None) -> Iterator[Served]:
    node = Served(folder, port)
    try:
        yield node
    finally:
        node.process.terminate()
        try:
            node.process.wait(60)
        finally:
            node.process.kill()
            node.process.wait()
        wait_for("every role to leave", lambda: not node.roles(), seconds=60)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as node:
        wait_for("the node to listen", node.listens, seconds=PATIENCE)
        yield node


def test_it_runs_a_process_a_role_and_drains_when_told(node: Served) -> None:
    wait_for("four roles", lambda: set(node.roles()) == {"receive", "analyse", "conclude", "deliver"}, seconds=PATIENCE)
    assert echoed(echoscu(node.port, calling="ARCHIVE"))
    # torch loads once senders are let in, or when they have waited for too long
    waited = node.when(child="receive") + timedelta(seconds=RECEIVE_FIRST - 0.1)
    assert node.when(child="analyse") > min(node.when(event="listening"), waited)
    node.process.terminate()
    assert node.process.wait(60) == 0
    assert node.roles() == {}
    assert "killed" not in node.log()


def test_a_role_that_dies_is_started_again_and_the_others_go_on(node: Served) -> None:
    before = wait_for("four roles", lambda: len(found := node.roles()) == 4 and found, seconds=PATIENCE)
    os.kill(before["receive"], signal.SIGKILL)

    def back() -> bool:
        now = node.roles()
        return now.get("receive") not in (None, before["receive"]) and node.listens()

    wait_for("another receive role", back, seconds=PATIENCE)
    after = node.roles()
    assert {role: pid for role, pid in after.items() if role != "receive"} == {
        role: pid for role, pid in before.items() if role != "receive"
    }


def test_a_port_that_is_taken_keeps_no_other_role_from_its_work(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, serving(tmp_path, other.getsockname()[1]) as node:
        others = {"analyse", "conclude", "deliver"}
        wait_for("the other roles", lambda: others <= set(node.roles()), seconds=PATIENCE)
        wait_for("a word of it", lambda: "receive.host/port: cannot listen" in node.log(), seconds=PATIENCE)


def test_no_role_outlives_a_supervisor_that_was_killed(node: Served) -> None:
    wait_for("four roles", lambda: len(node.roles()) == 4, seconds=PATIENCE)
    node.process.kill()
    node.process.wait()
    wait_for("every role to leave", lambda: not node.roles(), seconds=60)
    assert not node.listens()


def test_a_second_node_on_the_same_folder_is_refused(node: Served) -> None:
    second = node.serve()
    assert second.wait(60) == 1
    assert "another `chexnode serve` runs on" in node.log()
    assert node.process.poll() is None


def test_sighup_takes_new_settings_and_drops_no_association(node: Served) -> None:
    before = wait_for("four roles", lambda: len(found := node.roles()) == 4 and found, seconds=PATIENCE)
    was = node.configuration.read_text()
    with association(node.port, calling="ARCHIVE") as opened:
        node.configuration.write_text("this is no TOML")
        node.process.send_signal(signal.SIGHUP)
        wait_for("its refusal", lambda: "the old ones stay" in node.log(), seconds=PATIENCE)
        assert node.roles() == before

        other = '\n[[peers]]\nname = "room"\nae_title = "ROOM"\nsends = true\nallow_from = ["127.0.0.1"]\n'
        node.configuration.write_text(was + other + 'results_to = ["archive"]\n')
        assert not echoed(echoscu(node.port, calling="ROOM"))
        node.process.send_signal(signal.SIGHUP)

        def renewed() -> bool:
            assert opened.send_c_echo().Status == 0x0000
            now = node.roles()
            others = [role for role in before if role != "receive"]
            return set(now) == set(before) and all(now[role] != before[role] for role in others)

        wait_for("the other roles to start again", renewed, seconds=PATIENCE, every=0.2)
        wait_for("the new peer to get in", lambda: echoed(echoscu(node.port, calling="ROOM")), seconds=PATIENCE)
        assert node.roles()["receive"] == before["receive"]
        assert opened.send_c_echo().Status == 0x0000
    assert "role died" not in node.log()


def test_a_role_that_starts_rings_for_the_one_that_was_killed_before_it(tmp_path: Path) -> None:
    configuration = configure(tmp_path, port=free_port(), archive_port=free_port())
    node = load_settings(configuration).node
    Ledger.migrate(url_for(node))
    ledger = Ledger.for_settings(node)
    # nobody has anything to do, so that nothing but the start can ring
    with ledger.bell.listen(Channel.COMMITMENTS) as listener:
        role = subprocess.Popen(
            [sys.executable, "-m", "dicom_node.app", "conclude", str(configuration)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for("the ring", lambda: listener.wait(5.0), seconds=PATIENCE)
        finally:
            role.kill()
            role.communicate(timeout=60)
            ledger.close()
