"""The receive role in a process of its own, as the supervisor starts it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dicom_node.ledger import Ledger
from tests.peers import free_port
from tests.waiting import wait_for

_CONFIG = """
[node]
folder = {folder}

[receive]
port = {port}
low_watermark = 0
{receive}

[[peers]]
name = "pacs"
ae_title = "SENDER"
host = "127.0.0.1"
sends = true
results_to = ["pacs"]
mode = "hold"
"""


class ReceiveRole:
    """A node folder, its configuration, and how to start the role on it."""

    def __init__(self, folder: Path, *, receive: str = "") -> None:
        self.folder = folder / "node"
        self.port = free_port()
        self.config = folder / "chexnode.toml"
        self.config.write_text(_CONFIG.format(folder=json.dumps(str(self.folder)), port=self.port, receive=receive))
        self.ledger_url = f"sqlite:///{self.folder / 'ledger.sqlite'}"
        self.log = folder / "receive.log"
        Ledger.migrate(self.ledger_url)

    @contextlib.contextmanager
    def running(self, *, before: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
        """The role, listening; `before` goes in front of its command (strace …). Killed on leaving, if alive."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "dicom_node.app", "receive", str(self.config)],
                stdin=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        start = self.log.stat().st_size
        try:
            wait_for(
                "the role to listen",
                lambda: process.poll() is not None or b'"listening"' in self.log.read_bytes()[start:],
                seconds=60,
            )
            assert process.poll() is None, self.log.read_text()
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)
            assert process.stdin is not None
            process.stdin.close()
