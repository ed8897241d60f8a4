"""Real DICOM peers for everybody's tests: dcmtk's programs, and pynetdicom as it comes, as a sender."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context
from pynetdicom.sop_class import Verification

from tests.waiting import wait_for

LOOPBACK = "127.0.0.1"

_DCMTK = ("storescu", "dcmsend", "echoscu", "storescp", "dcmdump", "dcmqrscp", "dcmdrle", "dcmdjpls", "dcmdjpeg")
_PACKAGES = {
    **dict.fromkeys(_DCMTK, "dcmtk"),
    "strace": "strace",
    "openssl": "openssl",
    "Orthanc": "orthanc",
    "dciodvfy": "dicom3tools",
}


def program(name: str) -> str:
    """The path of a peer's program; skips the test where it is absent, saying what brings it."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install -y --no-install-recommends {_PACKAGES.get(name, name)}")
    return path


def free_port() -> int:
    """A port that nobody listens at, at the moment of asking."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def storescu(
    port: int,
    *paths: Path,
    calling: str = "SENDER",
    called: str = "CHEXNODE",
    options: Sequence[str] = (),
    seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """dcmtk's storescu. It proposes what `options` say (-xs, -xr …, see its manual); -R: only what is needed."""
    return _run("storescu", ["-v", "-aet", calling, "-aec", called, *options], port, paths, seconds)


def dcmsend(
    port: int,
    *paths: Path,
    calling: str = "SENDER",
    called: str = "CHEXNODE",
    options: Sequence[str] = (),
    seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """dcmtk's dcmsend: proposes what the files need."""
    return _run("dcmsend", ["-v", "-aet", calling, "-aec", called, *options], port, paths, seconds)


def echoscu(
    port: int,
    *,
    calling: str = "SENDER",
    called: str = "CHEXNODE",
    options: Sequence[str] = (),
    seconds: float = 30,
) -> subprocess.CompletedProcess[str]:
    """dcmtk's echoscu. It exits with 0 also where the peer aborted: ask `echoed`."""
    return _run("echoscu", ["-v", "-aet", calling, "-aec", called, *options], port, (), seconds)


def echoed(run: subprocess.CompletedProcess[str]) -> bool:
    """Whether echoscu got the answer that it wanted."""
    return run.returncode == 0 and "Received Echo Response (Success)" in run.stdout


def _run(
    name: str, options: list[str], port: int, paths: Sequence[Path], seconds: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program(name), *options, LOOPBACK, str(port), *map(str, paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


@contextlib.contextmanager
def storescp(
    folder: Path, *, called: str = "STORESCP", options: Sequence[str] = ("+xa",)
) -> Iterator[tuple[int, Path]]:
    """dcmtk's storescp, listening: its port, and the folder that it writes to (bytes as received: +B)."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    process = subprocess.Popen(
        [program("storescp"), "-aet", called, "+B", "-od", str(folder), *options, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield port, folder
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def dcmqrscp(folder: Path, knows: Mapping[str, int] = MappingProxyType({})) -> Iterator[int]:
    """dcmtk's archive, listening as ARCHIVE; it sends to AE titles that it `knows`, at their ports."""
    hosts = "".join(f"{title} = ({title}, {LOOPBACK}, {port})\n" for title, port in knows.items())
    port = free_port()
    (folder / "db").mkdir()
    (folder / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 4\n"
        f"HostTable BEGIN\n{hosts}HostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nARCHIVE {folder}/db RW (100, 1024mb) ANY\nAETable END\n"
    )
    process = subprocess.Popen(
        [program("dcmqrscp"), "-c", str(folder / "dcmqrscp.cfg")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield port
    finally:
        process.kill()
        process.wait(10)


def wait_for_port(port: int, seconds: float = 20.0) -> None:
    """Until somebody listens at `port`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            threading.Event().wait(0.02)
        else:
            return


def requestor(contexts: Sequence[tuple[str, str | list[str]]], *, calling: str = "SENDER", seconds: float = 20) -> AE:
    """A pynetdicom AE that proposes (SOP class, transfer syntaxes), with deadlines; Verification where none."""
    ae = AE(ae_title=calling)
    ae.requested_contexts = [build_context(uid, syntaxes) for uid, syntaxes in contexts] or [
        build_context(Verification)
    ]
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = seconds
    return ae


@contextlib.contextmanager
def association(
    port: int,
    *contexts: tuple[str, str | list[str]],
    calling: str = "SENDER",
    called: str = "CHEXNODE",
    seconds: float = 20,
    host: str = LOOPBACK,
) -> Iterator[Any]:
    """An association of stock pynetdicom's, as it came out: look at its is_established, is_rejected."""
    opened = requestor(contexts, calling=calling, seconds=seconds).associate(host, port, ae_title=called)
    try:
        yield opened
    finally:
        if opened.is_established:
            opened.release()
        elif opened.is_alive():
            opened.abort()


def sent(opened: Any, dataset: Dataset) -> int:
    """The status that one C-STORE on an `association` is answered with.

    A stock sender loses an answer that comes before its own thread has woken up from the message before; on a busy
    machine that is one in a few hundred.
    """
    wait_for("the sender's thread", lambda: not opened._is_paused, every=0.001)
    return int(opened.send_c_store(dataset).Status)
