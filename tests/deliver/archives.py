"""Real archives on loopback: a pynetdicom SCP that can be told what to answer, and dcmtk's storescp."""

import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from pydicom import Dataset, dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from tests.peers import free_port, program
from tests.waiting import wait_for

CLASSES = (str(SecondaryCaptureImageStorage), str(SegmentationStorage))


class Archive:
    """A C-STORE SCP that keeps what it gets, and answers `statuses` first, one a message, before success."""

    def __init__(
        self,
        port: int | None = None,
        *,
        ae_title: str = "ARCHIVE",
        statuses: Iterable[int] = (),
        classes: Iterable[str] = CLASSES,
        comment: str = "",
        transfer_syntaxes: Iterable[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        most_associations: int = 10,
    ) -> None:
        self.port = free_port() if port is None else port
        #: how often each SOP Instance UID came, whatever was answered
        self.came: Counter[str] = Counter()
        #: data set bytes and transfer syntax by SOP Instance UID, of what was answered with success
        self.kept: dict[str, tuple[bytes, str]] = {}
        self.associations = 0
        self.statuses = list(statuses)
        self._comment = comment
        #: cleared: the archive takes a message and does not answer until it is set
        self.answers = threading.Event()
        self.answers.set()
        #: the message, counted from 1, from which on it does not answer; 0: it always does
        self.stall_at = 0
        self._ae = AE(ae_title)
        self._ae.require_called_aet = True
        self._ae.maximum_associations = most_associations
        for sop_class in classes:
            self._ae.add_supported_context(sop_class, list(transfer_syntaxes))
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> "Archive":
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_ESTABLISHED, self._count)]
        self._server = self._ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answers.set()
        assert self._server is not None
        self._server.shutdown()

    def _count(self, event: Event) -> None:
        self.associations += 1

    def _store(self, event: Event) -> Dataset:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.came[uid] += 1
        if sum(self.came.values()) == self.stall_at:
            self.answers.clear()
        self.answers.wait()
        status = self.statuses.pop(0) if self.statuses else 0x0000
        if status == 0x0000 or status & 0xF000 == 0xB000:
            self.kept.setdefault(uid, (event.request.DataSet.getvalue(), str(event.context.transfer_syntax)))
        answer = Dataset()
        answer.Status = status
        if self._comment:
            answer.ErrorComment = self._comment
        return answer


class StoreSCP:
    """dcmtk's storescp, keeping files in `folder`."""

    def __init__(self, folder: Path, port: int, *options: str, ae_title: str = "ARCHIVE") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.port = port
        self._command = [program("storescp"), "-aet", ae_title, "-od", str(folder), *options, str(port)]

    def __enter__(self) -> "StoreSCP":
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("storescp to listen", self._listens)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def uids(self) -> list[str]:
        """The SOP Instance UIDs that it keeps, one a file, sorted."""
        return sorted(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in self.folder.iterdir())
