"""The node of a demonstration: the real command line, in a process of its own, with settings for loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from dicom_node.config import Settings, load_settings
from dicom_node.dimse.association import echo
from dicom_node.errors import NodeError, Permanent
from dicom_node.ledger import Ledger

AE_TITLE = "CHEXNODE"
#: seconds that the node may take until it answers a C-ECHO, and to drain when it is stopped
_START, _STOP = 90.0, 40.0
#: the settings of a demonstration; strings of TOML and of JSON are written alike
_SETTINGS = """\
# Written by `chexnode demo`. `chexnode init` writes one for your archive.
[node]
ae_title = {ae_title}
folder = {folder}

[receive]
port = {port}
# a demonstration needs little room
low_watermark = 268435456

[conclude]
# seconds; real studies have more images and slower senders
quiet_period = 2

[[peers]]
name = "archive"
ae_title = {archive_ae_title}
host = "127.0.0.1"
port = {archive_port}
sends = true
results_to = ["archive"]
mode = "send"
profile = "ohif"
"""


class Node:
    """`chexnode serve` on a free port of loopback. A context manager: started inside, stopped after."""

    def __init__(self, folder: Path, *, archive_ae_title: str, archive_port: int, port: int) -> None:
        """Write the settings into `folder`/chexnode.toml; the node listens at `port` once it is entered."""
        folder.mkdir(parents=True, exist_ok=True)
        self.settings_path = folder / "chexnode.toml"
        self.log_path = folder / "node.log"
        self.port = port
        self.settings_path.write_text(
            _SETTINGS.format(
                ae_title=json.dumps(AE_TITLE),
                folder=json.dumps(str(folder.resolve() / "data"), ensure_ascii=False),
                port=port,
                archive_ae_title=json.dumps(archive_ae_title),
                archive_port=archive_port,
            )
        )
        self.settings: Settings = load_settings(self.settings_path)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and command line
                [sys.executable, "-m", "dicom_node", "serve", "--config", self.settings_path],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={key: value for key, value in os.environ.items() if not key.startswith("CHEXNODE_")},
                start_new_session=True,  # Ctrl-C ends the demonstration, which then stops the node in good order
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def check(self) -> None:
        """Raises Permanent, with the last lines of its log, when the node is not running any more."""
        if self._process is None or self._process.poll() is not None:
            code = "" if self._process is None else f" (exit code {self._process.returncode})"
            raise Permanent(f"the node has ended{code}; its log, {self.log_path}, ends with:\n{self.last_words()}")

    def last_words(self, lines: int = 8) -> str:
        """The end of its log."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def ledger(self) -> Ledger:
        """The node's ledger, to look at. Raises what Ledger.open does."""
        return Ledger.for_settings(self.settings.node)

    def wait_until_it_answers(self) -> None:
        """Raises Permanent when the node ends, or does not answer a C-ECHO in time."""
        deadline = time.monotonic() + _START
        while True:
            try:
                echo("127.0.0.1", self.port, called=AE_TITLE, calling=self.settings.peers[0].ae_title)
            except NodeError as error:
                self.check()
                if time.monotonic() > deadline:
                    raise Permanent(
                        f"the node did not answer a C-ECHO within {_START:.0f} s ({error}); "
                        f"its log, {self.log_path}, ends with:\n{self.last_words()}"
                    ) from error
                time.sleep(0.1)
            else:
                return

    def _stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
