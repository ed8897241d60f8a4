"""A small archive: it takes every storage class, keeps the first object of each UID, and routes studies on to a node.

It coerces nothing, asks nobody and forgets everything but its files when it stops: a peer to watch the node with.
"""

import hashlib
import io
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_node.demo.router import Route, Router
from dicom_node.dimse.acceptor import AcceptorLimits
from dicom_node.dimse.commands import StoreRequest
from dicom_node.dimse.contexts import accepted_contexts
from dicom_node.dimse.part10 import file_meta
from dicom_node.dimse.server import Server, ServerLimits
from dicom_node.dimse.status import Status

#: what is read of an object to file it
_INDEXED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_LIMITS = ServerLimits(
    acceptor=AcceptorLimits(max_pdu=131072, io_timeout=30, message_timeout=300, idle_timeout=120),
    max_associations=32,
    max_associations_per_peer=32,
)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One object as it arrived."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    transfer_syntax_uid: str
    #: SHA-256 of the data set as received, 64 hex digits
    digest: str
    #: AE title of who sent it
    calling_ae_title: str
    #: seconds since the epoch, UTC: when its last byte was there
    arrived_at: float
    #: a complete DICOM file (PS3.10), named by the digest
    path: Path


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an archive does with one object."""

    keep: bool
    status: int


#: how an archive behaves: what it holds already under the UID (or None), and what has just arrived
Manners = Callable[[Kept | None, Kept], Verdict]


def keep_first(held: Kept | None, arrived: Kept) -> Verdict:
    """As Orthanc and others do: success for everything, the first object of a UID stays."""
    del arrived
    return Verdict(keep=held is None, status=Status.SUCCESS)


class Archive:
    """A C-STORE and C-ECHO SCP on loopback, its index in memory. A context manager: it listens inside."""

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "ARCHIVE",
        port: int = 0,
        routes: Mapping[str, Route] | None = None,
        manners: Manners = keep_first,
    ) -> None:
        """Listen at 127.0.0.1:`port` (0: a free one) and keep files in `folder`; `routes` by a name of the caller's."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._manners = manners
        self._changed = threading.Condition()
        self._held: dict[str, Kept] = {}
        self.ae_title = ae_title
        self.router = Router(ae_title, routes or {})
        self._server = Server(
            ("127.0.0.1", port),
            ae_title=ae_title,
            contexts=accepted_contexts(),
            admits=lambda _: True,
            judge=lambda _: None,
            begin_store=lambda request: _Arriving(self, request),
            limits=_LIMITS,
        )

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return self._server.port

    def __enter__(self) -> Self:
        self._server.start()
        self.router.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.router.stop()
        self._server.close(drain=2.0)

    def held(self, *, study: str | None = None, series: str | None = None) -> list[Kept]:
        """What it holds, in order of arrival; of one study or series, if named by UID."""
        with self._changed:
            return [
                kept
                for kept in self._held.values()
                if study in (None, kept.study_instance_uid) and series in (None, kept.series_instance_uid)
            ]

    def instance(self, sop_instance_uid: str) -> Kept | None:
        """What it holds under that UID."""
        with self._changed:
            return self._held.get(sop_instance_uid)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether `condition`, asked again at each arrival, came true within `seconds`."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def take(self, request: StoreRequest, data_set: bytes) -> tuple[int, str]:
        """File one data set: the status of the response and a comment for it."""
        meta = file_meta(
            sop_class_uid=request.affected_sop_class_uid,
            sop_instance_uid=request.affected_sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            calling_ae_title=request.calling_ae_title,
        )
        whole = meta + data_set
        digest = hashlib.sha256(data_set).hexdigest()
        path = self._folder / f"{digest}.dcm"
        try:
            head = dcmread(io.BytesIO(whole), specific_tags=list(_INDEXED), stop_before_pixels=True)
        except (InvalidDicomError, ValueError, EOFError) as error:
            return Status.CANNOT_UNDERSTAND, f"no data set: {error}"
        uid, study = str(head.get("SOPInstanceUID", "")), str(head.get("StudyInstanceUID", ""))
        if not uid or not study:
            return Status.CANNOT_UNDERSTAND, "no SOP Instance UID or no Study Instance UID"
        arrived = Kept(
            sop_class_uid=str(head.get("SOPClassUID", "")),
            sop_instance_uid=uid,
            series_instance_uid=str(head.get("SeriesInstanceUID", "")),
            study_instance_uid=study,
            modality=str(head.get("Modality", "")),
            transfer_syntax_uid=request.transfer_syntax_uid,
            digest=digest,
            calling_ae_title=request.calling_ae_title,
            arrived_at=time.time(),
            path=path,
        )
        with self._changed:
            verdict = self._manners(self._held.get(uid), arrived)
            if verdict.keep:
                path.write_bytes(whole)
                self._held[uid] = arrived
                self._changed.notify_all()
        if verdict.keep:
            self.router.arrived(study, path, sender=request.calling_ae_title)
        return verdict.status, ""


class _Arriving:
    """One C-STORE whose data set is collected in memory."""

    def __init__(self, archive: Archive, request: StoreRequest) -> None:
        self._archive = archive
        self._request = request
        self._data = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self._data += data

    def finish(self) -> tuple[int, str]:
        return self._archive.take(self._request, bytes(self._data))

    def abandon(self) -> None:
        self._data.clear()
