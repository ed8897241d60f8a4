"""A real archive that commits, or does not (pynetdicom), and reports over the same association or one of its own."""

import threading
from collections import Counter
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from pynetdicom.transport import ThreadedAssociationServer

from tests.deliver.archives import CLASSES
from tests.peers import LOOPBACK, free_port, requestor


class Way(Enum):
    """How a report comes."""

    SAME = "over the association of the request"
    NEW = "over one of the archive's own"
    NONE = "not at all"


class CommittingArchive:
    """An archive called ARCHIVE; `reason` says of each SOP Instance UID why it is not committed to, 0 for success."""

    def __init__(self, *, way: Way = Way.SAME, node_port: int = 0, commits: bool = True) -> None:
        self.port = free_port()
        self.node_port = node_port
        self.way = way
        self.reason: Callable[[str], int] = lambda uid: 0
        #: cleared: requests are taken and not answered until it is set
        self.answering = threading.Event()
        self.answering.set()
        #: what N-ACTION is answered with
        self.status = 0x0000
        #: how often each SOP Instance UID came
        self.came: Counter[str] = Counter()
        #: (Transaction UID, SOP Instance UIDs) of each request
        self.requests: list[tuple[str, list[str]]] = []
        #: statuses of the responses to its reports
        self.answers: list[int | None] = []
        self._ae = AE("ARCHIVE")
        for sop_class in (*CLASSES, *([StorageCommitmentPushModel] if commits else [])):
            self._ae.add_supported_context(sop_class, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        self._server: ThreadedAssociationServer | None = None
        self._reporting: list[threading.Thread] = []

    def __enter__(self) -> "CommittingArchive":
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._asked)]
        self._server = self._ae.start_server((LOOPBACK, self.port), block=False, evt_handlers=handlers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answering.set()
        for thread in self._reporting:
            thread.join(20)
        assert self._server is not None
        self._server.shutdown()

    def _store(self, event: Any) -> int:
        self.came[str(event.request.AffectedSOPInstanceUID)] += 1
        return 0x0000

    def _asked(self, event: Any) -> tuple[int, None]:
        request = event.action_information
        assert event.request.ActionTypeID == 1
        assert event.request.RequestedSOPInstanceUID == StorageCommitmentPushModelInstance
        uids = [str(item.ReferencedSOPInstanceUID) for item in request.ReferencedSOPSequence]
        self.requests.append((str(request.TransactionUID), uids))
        self.answering.wait(30)
        if self.status == 0x0000 and self.way is not Way.NONE:
            over = event.assoc if self.way is Way.SAME else None
            self._reporting.append(threading.Thread(target=self.report, args=(request, over)))
            self._reporting[-1].start()
        return self.status, None

    def report(self, request: Dataset, over: Any = None, *, calling: str = "ARCHIVE") -> None:
        """Report on a request, over an open association or a new one."""
        report, event_type = Dataset(), 1
        report.TransactionUID = request.TransactionUID
        report.ReferencedSOPSequence, report.FailedSOPSequence = [], []
        for item in request.ReferencedSOPSequence:
            reason = self.reason(str(item.ReferencedSOPInstanceUID))
            if reason:
                item.FailureReason, event_type = reason, 2
            (report.FailedSOPSequence if reason else report.ReferencedSOPSequence).append(item)
        for keyword in ("ReferencedSOPSequence", "FailedSOPSequence"):
            if not report[keyword].value:
                del report[keyword]
        self.answers.append(self.send(report, event_type, over, calling=calling))

    def send(self, report: Dataset, event_type: int, over: Any = None, *, calling: str = "ARCHIVE") -> int | None:
        """Send Event Information; the status that it was answered with, None for no answer."""
        if over is not None:
            return _status(over, report, event_type)
        ae = requestor([(StorageCommitmentPushModel, ExplicitVRLittleEndian)], calling=calling)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        opened = ae.associate(LOOPBACK, self.node_port, ae_title="CHEXNODE", ext_neg=[role])
        if not opened.is_established:
            return None
        try:
            return _status(opened, report, event_type)
        finally:
            opened.release()


def _status(opened: Any, report: Dataset, event_type: int) -> int | None:
    answer, _ = opened.send_n_event_report(
        report, event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    status: int | None = answer.get("Status")
    return status
