"""Receivers on loopback, each as a user would start it: the node's receive role and what might be picked instead."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.ledger import Ledger, models
from tests.peers import free_port, wait_for_port

CALLING = "MODALITY"
_CONFIGURATION = """
[node]
folder = {folder}

[receive]
port = {port}
low_watermark = 0
max_associations_per_peer = 64

[[peers]]
name = "modality"
ae_title = "MODALITY"
host = "127.0.0.1"
sends = true
results_to = ["pacs"]

[[peers]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {unused}
mode = "hold"
"""


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """One that listens."""

    name: str
    ae_title: str
    port: int
    pid: int
    #: where it keeps what it is sent, to be emptied between rounds; None: it keeps a record of it there
    litter: Path | None = None

    def tidy(self) -> None:
        """Remove what it was sent, if nothing but files says that it was."""
        for path in self.litter.iterdir() if self.litter is not None else ():
            path.unlink()


@contextlib.contextmanager
def node(scratch: Path, before: Sequence[str] = ()) -> Iterator[Receiver]:
    """`chexnode receive` with a site's configuration and an active model; `before` goes in front of its command."""
    folder = scratch / "node"
    folder.mkdir()
    port = free_port()
    configuration = folder / "chexnode.toml"
    data = folder / "data"
    configuration.write_text(
        _CONFIGURATION.format(folder=json.dumps(str(data)), port=port, unused=free_port()), encoding="utf-8"
    )
    url = f"sqlite:///{data / 'ledger.sqlite'}"
    Ledger.migrate(url)
    ledger = Ledger.open(url)
    with ledger.transaction() as tx:
        models.register(tx, digest="a" * 64, name="benchmark", version="1", now=0.0)
        models.activate(tx, "a" * 64, parameters="0" * 64)
    ledger.close()
    command = [*before, sys.executable, "-m", "dicom_node", "receive", "--config", str(configuration)]
    with _running(command, port, folder / "log") as process:
        yield Receiver(name="chexnode", ae_title="CHEXNODE", port=port, pid=process.pid)


@contextlib.contextmanager
def orthanc(scratch: Path, program: str) -> Iterator[Receiver]:
    """Orthanc with the settings that it comes with, but for its ports, its folder and who may send."""
    folder = scratch / "orthanc"
    folder.mkdir()
    port = free_port()
    settings = {
        "Name": "benchmark",
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "DicomCheckCalledAet": True,
        "HttpServerEnabled": False,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomModalities": {"modality": [CALLING, "127.0.0.1", free_port()]},
        "Plugins": [],
    }
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(settings), encoding="utf-8")
    with _running([program, str(configuration)], port, folder / "log") as process:
        yield Receiver(name="Orthanc", ae_title="ORTHANC", port=port, pid=process.pid)


@contextlib.contextmanager
def storescp(scratch: Path, program: str) -> Iterator[Receiver]:
    """dcmtk's storescp: bytes as received, PDUs of 16 KiB as it comes."""
    folder = scratch / "storescp"
    folder.mkdir()
    port = free_port()
    command = [program, "-aet", "STORESCP", "+B", "+xa", "-od", str(folder), str(port)]
    with _running(command, port, scratch / "storescp.log") as process:
        yield Receiver(name="storescp", ae_title="STORESCP", port=port, pid=process.pid, litter=folder)


@contextlib.contextmanager
def stock(scratch: Path) -> Iterator[Receiver]:
    """pynetdicom as its documentation shows it: see benchmarks/stock.py."""
    folder = scratch / "stock"
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.stock", str(port), str(folder)]
    with _running(command, port, scratch / "stock.log") as process:
        yield Receiver(name="pynetdicom", ae_title="STOCK", port=port, pid=process.pid, litter=folder)


@contextlib.contextmanager
def sink(scratch: Path) -> Iterator[Receiver]:
    """No DICOM at all: what comes goes into a file and is flushed; see benchmarks/sink.py."""
    folder = scratch / "sink"
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.sink", str(port), str(folder)]
    with _running(command, port, scratch / "sink.log") as process:
        yield Receiver(name="loopback to file", ae_title="", port=port, pid=process.pid, litter=folder)


#: peer → the program that it needs, and how it is started
PEERS: Mapping[str, tuple[str, Callable[[Path, str], contextlib.AbstractContextManager[Receiver]]]] = {
    "Orthanc": ("Orthanc", orthanc),
    "storescp": ("storescp", storescp),
}


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)  # noqa: S603 - a peer
    try:
        wait_for_port(port, seconds=120)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
