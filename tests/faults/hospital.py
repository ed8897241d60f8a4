"""An archive and a node under load: what was acknowledged, and what came back."""

import contextlib
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from dicom_node.config import Role
from dicom_node.demo.archive import Archive, Manners, keep_first
from dicom_node.demo.manners import Manner
from dicom_node.demo.router import Route
from dicom_node.dimse.sending import send_files
from dicom_node.errors import NodeError
from tests import datasets
from tests.faults.processes import alive, command_line, descendants, kill
from tests.faults.record import Record
from tests.peers import free_port
from tests.waiting import wait_for

_CONFIG = """
[node]
ae_title = "CHEXNODE"
folder = "{folder}/data"
ledger_url = "{ledger_url}"

[receive]
port = {port}
low_watermark = 0

[analyse]
attempts = 8
lease = {lease}
decode_cpu_seconds = 2

[conclude]
quiet_period = 0.5

[deliver]
retry_first = 0.2
retry_longest = 1.0
connect_timeout = 5
response_timeout = 3

[results]
clean = "everywhere"

[[peers]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = {archive_port}
sends = true
results_to = ["archive"]
mode = "send"
profile = "ohif"
"""
#: modalities of what comes back for one image with a finding, each once: segmentation, overlay, report
EXPECTED = ("OT", "SEG", "SR")
#: seconds within which everything must have come back, on a machine that does other things too
LONG = 240.0


def abnormal(rows: int = 96, columns: int = 96, **attributes: Any) -> Dataset:
    """A small chest with one bright square, in a study of its own."""
    dataset = datasets.chest(rows, columns, **attributes)
    pixels = datasets.film(rows, columns)
    pixels[20:32, 14:24] = 4095
    dataset.PixelData = pixels.tobytes()
    return dataset


class Hospital:
    """A context manager: everything that it started is gone afterwards. `start` starts the node."""

    def __init__(self, folder: Path, *, lease: float = 60.0, routes: bool = False, ledger_url: str = "") -> None:
        """`routes`: the archive sends every study on to the node. `ledger_url`: a PostgreSQL for its ledger."""
        self.folder = folder
        self.port, self.archive_port = free_port(), free_port()
        self.config = folder / "chexnode.toml"
        self.config.write_text(
            _CONFIG.format(
                folder=folder, port=self.port, archive_port=self.archive_port, lease=lease, ledger_url=ledger_url
            )
        )
        self.record = Record()
        #: SOP Instance UID: data set that the node acknowledged
        self.acknowledged: dict[str, Dataset] = {}
        self._routes = {"node": Route(ae_title="CHEXNODE", host="127.0.0.1", port=self.port, quiet=0.2)}
        self._routing = routes
        self._ledger_url = ledger_url
        self._sending = False
        self._archive: Archive | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[bytes]] = []
        self.open_archive()

    def __enter__(self) -> "Hospital":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_everything()
        for other in self._others:
            kill(*descendants(other.pid), other.pid)
            other.wait(10)
            assert other.stdin is not None
            other.stdin.close()
        self.close_archive()

    # ── the archive ──────────────────────────────────────────────────────────────────────────────────────────

    def open_archive(
        self, *awkward: Manner, manners: Manners = keep_first, stall: float = 8.0, pause: float = 1.0
    ) -> None:
        """The archive is up, with these manners; at the port that it always has."""
        self._archive = Archive(
            self.folder / "archive",
            port=self.archive_port,
            routes=self._routes if self._routing else {},
            manners=self.record.manners(manners),
            awkward=awkward,
            stall=stall,
            pause=pause,
        )
        self._archive.__enter__()

    def awkward(self, *awkward: Manner) -> None:
        """The archive is up again, with these manners."""
        self.close_archive()
        self.open_archive(*awkward)

    def close_archive(self) -> None:
        if self._archive is not None:
            self._archive.__exit__(None, None, None)
            self._archive = None

    # ── the node ─────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start it, and wait until it can be associated with."""
        with (self.folder / "node.log").open("ab") as log:
            self._node = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.serve", str(self.config)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the node to listen", self.listens, seconds=LONG)

    def start_role(self, role: Role) -> subprocess.Popen[bytes]:
        """One more process of a role, beside the supervisor's."""
        with (self.folder / "node.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.role", role.value, str(self.config)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._others.append(process)
        return process

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def supervisor(self) -> int:
        assert self._node is not None
        return self._node.pid

    def role(self, role: Role) -> int:
        """Process id of a role that runs; waits for one that is being started again."""

        def find() -> int:
            running = (pid for pid in descendants(self.supervisor) if alive(pid))
            return next((pid for pid in running if f"tests.faults.role {role.value} " in command_line(pid)), 0)

        return wait_for(f"the role {role.value}", find, seconds=LONG)

    def kill_everything(self) -> None:
        """SIGKILL for the supervisor, every role and their children."""
        if self._node is not None:
            pids = [self.supervisor, *descendants(self.supervisor)]
            kill(*pids)
            self._node.wait(10)
            wait_for("everything to be gone", lambda: not any(map(alive, pids)))
            self._node = None

    def kill_supervisor(self) -> None:
        """SIGKILL for the supervisor alone; waits until its roles have left by themselves."""
        assert self._node is not None
        pids = descendants(self.supervisor)
        kill(self.supervisor)
        self._node.wait(10)
        self._node = None
        wait_for("every orphan to leave", lambda: not any(map(alive, pids)), seconds=60)
        assert not self.listens(), "an orphan keeps the port"

    # ── load ─────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self, *sent: Dataset, seconds: float = LONG) -> None:
        """Store data sets, each tried until the node has acknowledged it, as an archive's router does."""
        for dataset in sent:
            path = datasets.write(dataset, self.folder)

            def stored(path: Path = path) -> bool:
                try:
                    [one] = send_files([path], "127.0.0.1", self.port, called="CHEXNODE", calling="ARCHIVE")
                except NodeError:
                    return False
                return one.stored

            wait_for("the node to take an image", stored, seconds=seconds, every=0.1)
            self.acknowledged[str(dataset.SOPInstanceUID)] = dataset

    def send_together(self, paths: Sequence[Path]) -> None:
        """Store files over one association."""
        answers = list(send_files(paths, "127.0.0.1", self.port, called="CHEXNODE", calling="ARCHIVE"))
        assert all(each.stored for each in answers), [each.detail for each in answers if not each.stored]

    def through_the_archive(self, *sent: Dataset) -> None:
        """A modality stores data sets in the archive, which routes them to the node."""
        for dataset in sent:
            path = datasets.write(dataset, self.folder)
            [one] = send_files([path], "127.0.0.1", self.archive_port, called="ARCHIVE", calling="MODALITY")
            assert one.stored

    @contextlib.contextmanager
    def sending(self, *sent: Dataset) -> Iterator[None]:
        """The same in a thread of its own; all of it is acknowledged on leaving."""
        failure: list[BaseException] = []

        def work() -> None:
            try:
                self.send(*sent)
                self._sending = False
            except BaseException as error:  # noqa: BLE001 - handed over
                failure.append(error)

        thread = threading.Thread(target=work, name="sender")
        self._sending = True
        thread.start()
        try:
            yield
        finally:
            thread.join(LONG + 10)
        assert not failure, failure

    def settle(self, expected: Collection[str] = EXPECTED, seconds: float = LONG) -> float:
        """Wait until all that was acknowledged has come back and nothing is left to be done; when it had."""
        studies = {str(dataset.StudyInstanceUID) for dataset in self.acknowledged.values()}

        def settled() -> bool:
            return (
                all(set(expected) <= {kept.modality for kept in self.record.of(study)} for study in studies)
                and not self.unfinished()
            )

        wait_for(f"{len(studies)} studies to come back", settled, seconds=seconds, every=0.1)
        return time.monotonic()

    def unfinished(self) -> int:
        """Jobs, studies and deliveries that wait for anything."""
        return int(
            self.ask(
                "SELECT (SELECT count(*) FROM job WHERE state IN ('queued', 'running'))"
                " + (SELECT count(*) FROM study WHERE state != 'concluded')"
                " + (SELECT count(*) FROM delivery WHERE state NOT IN ('stored', 'committed', 'failed', 'abandoned'))"
            )[0][0]
        )

    def busy(self) -> bool:
        """Whether anything is being sent, or waits for anything."""
        return self._sending or self.unfinished() > 0

    def ended(self) -> int:
        """Jobs that have ended, however."""
        return int(self.ask("SELECT count(*) FROM job WHERE state NOT IN ('queued', 'running')")[0][0])

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        if self._ledger_url:
            import psycopg

            with psycopg.connect(self._ledger_url) as server:
                return server.execute(query.encode()).fetchall()
        with contextlib.closing(sqlite3.connect(self.folder / "data" / "ledger.sqlite", timeout=30)) as connection:
            return connection.execute(query).fetchall()
