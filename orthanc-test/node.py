"""The node under test: the real command line in processes of its own, between start and kill."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dicom_node.domain import Profile
from tests.peers import free_port
from tests.waiting import wait_for

CONFIGURATION = """
[node]
ae_title = "CHEXNODE"
folder = "{folder}/data"

[receive]
port = {port}

[analyse]
attempts = 8
lease = 60

[conclude]
quiet_period = 1.0

[deliver]
retry_first = 0.5
retry_longest = 2.0
connect_timeout = 3

[results]
clean = "everywhere"
"""

#: the archive, which sends, and under one more name for each profile that it gets
SOURCE = """
[[peers]]
name = "orthanc"
ae_title = "ORTHANC"
host = "127.0.0.1"
sends = true
results_to = {destinations}
"""
DESTINATION = """
[[peers]]
name = "{profile}"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {archive_port}
mode = "send"
profile = "{profile}"
"""


class Node:
    """`chexnode serve` on loopback; its folder outlives `stop`, `kill` and `start`."""

    ae_title = "CHEXNODE"

    def __init__(self, folder: Path, profiles: Sequence[Profile] = (Profile.OHIF,)) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.configuration = folder / "chexnode.toml"
        self._folder = folder
        self._profiles = profiles
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, archive_port: int) -> None:
        """Write the configuration; the archive both sends to the node and receives from it, once a profile."""
        text = CONFIGURATION.format(folder=self._folder, port=self.port)
        text += SOURCE.format(destinations=json.dumps(self._profiles))
        for profile in self._profiles:
            text += DESTINATION.format(profile=profile, archive_port=archive_port)
        self.configuration.write_text(text)

    def start(self) -> None:
        """Start it and wait until it can be associated with."""
        with (self._folder / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dicom_node", "serve", "--config", str(self.configuration)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the node to listen", self._listens, seconds=40)

    def stop(self) -> None:
        """End it as systemd would."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(40)
            self._process = None

    def kill(self) -> None:
        """SIGKILL for the supervisor and every role, at once, wherever they are."""
        assert self._process is not None
        for pid in [self._process.pid, *_children(self._process.pid)]:
            os.kill(pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None
        wait_for("the killed receiver's port to be free", lambda: not self._listens())

    def run(self, *arguments: str) -> str:
        """What a command of the node's prints, its configuration given."""
        command = [sys.executable, "-m", "dicom_node", *arguments, "--config", str(self.configuration)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self, *options: str) -> Any:
        """What `chexnode status --json` says."""
        command = [sys.executable, "-m", "dicom_node", "status", "--config", str(self.configuration), "--json"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=True, timeout=60)
        return json.loads(done.stdout)

    def log(self) -> str:
        return (self._folder / "node.log").read_text(errors="replace")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _children(pid: int) -> list[int]:
    """Process ids of all descendants, deepest last."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_children(child)]
    return found
