"""Orthanc with its port for questions, and with the plugin that one would build instead of a node."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.serving import ARCHIVE, CALLED, CALLING
from tests.peers import free_port

PLUGIN = Path(__file__).parent / "plugin" / "chest_plugin.py"
#: Debian's package orthanc-python, which embeds Debian's Python
EMBEDS = Path("/usr/share/orthanc/plugins/libOrthancPython.so")
INSTALL = "apt-get install -y --no-install-recommends orthanc orthanc-python dcmtk"
#: the Python of Debian's plugin: what is built for another one cannot be imported there
_EMBEDDED = (3, 11)
#: seconds until it answers: with the plugin it loads the model first
_START = 300.0


def plugin_missing() -> str:
    """Why the plugin cannot run here, and what brings it; empty where it can."""
    if shutil.which("Orthanc") is None or shutil.which("storescu") is None or not EMBEDS.exists():
        return f"Orthanc, its Python plugin or dcmtk is not installed: {INSTALL}"
    if sys.version_info[:2] != _EMBEDDED:
        return "Debian's plugin embeds Python 3.11, and the packages here are for another one: use a 3.11 environment"
    return ""


class Archive:
    """One Orthanc on loopback; with `threads` it has the chest plugin, whose network takes so many.

    A context manager: it answers inside. Raises FileNotFoundError where Orthanc is missing, RuntimeError where it does
    not start.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        folder.mkdir(parents=True)
        self.port, self._http = free_port(), free_port()
        self.log = folder / "orthanc.log"
        self._folder = folder
        configuration: dict[str, Any] = {
            "Name": "bench",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "DicomAet": ARCHIVE,
            "DicomPort": self.port,
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": True,
            "DicomAlwaysAllowStore": False,
            "DicomAlwaysAllowEcho": False,
            "DicomModalities": {
                "modality": {"AET": CALLING, "Host": "127.0.0.1", "Port": 1},
                "node": {"AET": CALLED, "Host": "127.0.0.1", "Port": 1},
            },
            "HttpPort": self._http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [],
        }
        if threads is not None:
            packages = [path for path in sys.path if path.endswith("site-packages")]
            configuration |= {
                "Plugins": [str(EMBEDS)],
                "PythonScript": str(PLUGIN),
                "PythonVerbose": False,
                "ChestPlugin": {"Path": [str(PLUGIN.parents[2]), *packages], "Threads": threads},
            }
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def count(self) -> int:
        """Instances that it has stored."""
        return int(self._get("/statistics")["CountInstances"])

    def analysed(self) -> list[dict[str, float]]:
        """What the plugin says of each film: stage → milliseconds."""
        said = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line.partition("analysed ")[2]) for line in said if "] analysed {" in line]

    def modalities(self) -> list[str]:
        """The Modality of each series that it has."""
        return [series["MainDicomTags"].get("Modality", "") for series in self._get("/series?expand")]

    def __enter__(self) -> Self:
        if (program := shutil.which("Orthanc")) is None:
            raise FileNotFoundError(f"Orthanc is not installed: {INSTALL}")
        with self.log.open("ab") as log:
            # the environment's own variables of Python would reach the Python that it embeds
            environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
            self._process = subprocess.Popen(  # noqa: S603 - Debian's
                [program, str(self._folder / "orthanc.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http}{path}", timeout=30) as response:
            return json.load(response)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START
        while not self._answers():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Orthanc did not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        # an URLError is an OSError
        with contextlib.suppress(OSError):
            self._get("/system")
            return True
        return False

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
