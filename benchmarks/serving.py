"""`chexnode serve` as a site would run it, for benchmarks of the whole way; the archive behind it: see archive.py."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dicom_node.config import load_settings
from dicom_node.dimse.association import echo
from dicom_node.errors import NodeError
from dicom_node.ledger import Ledger
from tests.peers import free_port

CALLING, CALLED, ARCHIVE = "MODALITY", "CHEXNODE", "ORTHANC"
#: seconds that either may take to answer
_START = 90.0

_SETTINGS = """
[node]
ae_title = "{called}"
folder = "{folder}/data"

[receive]
port = {port}
low_watermark = 268435456

[conclude]
quiet_period = {quiet_period}

[[peers]]
name = "modality"
ae_title = "{calling}"
sends = true
allow_from = ["127.0.0.1"]
results_to = ["archive"]

[[peers]]
name = "archive"
ae_title = "{archive}"
host = "127.0.0.1"
port = {archive_port}
mode = "send"
profile = "{profile}"
"""


class Serving:
    """`chexnode serve` with default settings but for its peers. A context manager: it answers C-ECHO inside."""

    def __init__(
        self, folder: Path, *, archive_port: int, quiet_period: float, profile: str = "ohif", more: str = ""
    ) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        self.log = folder / "node.log"
        self._settings_path = folder / "chexnode.toml"
        text = _SETTINGS.format(
            called=CALLED,
            calling=CALLING,
            archive=ARCHIVE,
            folder=folder,
            port=self.port,
            quiet_period=quiet_period,
            archive_port=archive_port,
            profile=profile,
        )
        self._settings_path.write_text(text + more)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        assert self._process is not None
        return self._process.pid

    def ledger(self) -> Ledger:
        """Its ledger, to look at."""
        return Ledger.for_settings(load_settings(self._settings_path).node)

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What its log says under `event`."""
        said = (line for line in self.log.read_text(errors="replace").splitlines() if line.startswith("{"))
        return [line for line in map(json.loads, said) if line.get("event") == event]

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-m", "dicom_node", "serve", "--config", str(self._settings_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until(self._answers)
            self._wait_until(lambda: bool(self.lines("model ready")))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _answers(self) -> bool:
        with contextlib.suppress(NodeError):
            echo("127.0.0.1", self.port, called=CALLED, calling=CALLING)
            return True
        return False

    def _wait_until(self, there: Any) -> None:
        deadline = time.monotonic() + _START
        while not there():
            if time.monotonic() > deadline or (self._process is not None and self._process.poll() is not None):
                raise RuntimeError(f"the node did not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
