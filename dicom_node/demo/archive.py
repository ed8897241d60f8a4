"""A small archive: it takes every storage class, keeps the first object of each UID, and routes studies on to a node.

It coerces nothing, asks nobody and forgets everything but its files when it stops: a peer to watch the node with.
Unless it is told to: what archives do that they should not is a switch each (manners.py).
"""

import hashlib
import io
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_node.demo import manners as bad
from dicom_node.demo.manners import Manner
from dicom_node.demo.router import Route, Router
from dicom_node.demo.second_thoughts import SecondThoughts
from dicom_node.dimse.acceptor import AcceptorLimits
from dicom_node.dimse.commands import StoreRequest
from dicom_node.dimse.part10 import LONGEST_META, file_meta, read_file_meta
from dicom_node.dimse.server import Server, ServerLimits
from dicom_node.dimse.status import Status

#: what is read of an object to file it
_INDEXED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "PatientID")
#: Coercion of Data Elements: stored, but not as it was sent (PS3.4 Table B.2-1)
_COERCED = 0xB000
_LIMITS = ServerLimits(
    acceptor=AcceptorLimits(max_pdu=131072, io_timeout=30, message_timeout=300, idle_timeout=120),
    max_associations=32,
    max_associations_per_peer=32,
)

#: what makes it route a study once more
_SECOND_THOUGHTS = frozenset({Manner.MERGE_PATIENTS, Manner.SEND_TWICE})


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One object as it arrived."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    patient_id: str
    transfer_syntax_uid: str
    #: SHA-256 of the data set as it is kept (as received, but where the archive alters it), 64 hex digits
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
        awkward: Collection[Manner] = (),
        stall: float = 60.0,
        pause: float = 5.0,
    ) -> None:
        """Listen at 127.0.0.1:`port` (0: a free one) and keep files in `folder`; `routes` by a name of the caller's.

        `awkward` are its bad manners: it stalls for `stall` seconds, and routes a study again `pause` seconds after
        the last image of it came.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._manners = manners
        self._awkward = frozenset(awkward)
        self._stall = stall
        #: UIDs that it has stalled on
        self._stalled: set[str] = set()
        self._stopping = threading.Event()
        self._again = SecondThoughts(pause, self._correct) if self._awkward & _SECOND_THOUGHTS else None
        self._changed = threading.Condition()
        self._held: dict[str, Kept] = {}
        self.ae_title = ae_title
        self.router = Router(ae_title, routes or {})
        self._server = Server(
            ("127.0.0.1", port),
            ae_title=ae_title,
            contexts=bad.contexts(self._awkward),
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
        self._stopping.set()
        if self._again is not None:
            self._again.stop()
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
        """File one data set: the status of the response and a comment for it.

        Raises ConnectionAbortedError where it stores the object and hangs up.
        """
        meta = file_meta(
            sop_class_uid=request.affected_sop_class_uid,
            sop_instance_uid=request.affected_sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            calling_ae_title=request.calling_ae_title,
        )
        received = meta + data_set
        try:
            whole = bad.altered(received, self._awkward)
            arrived = self._indexed(whole, request.calling_ae_title)
        except (InvalidDicomError, ValueError, EOFError) as error:
            return Status.CANNOT_UNDERSTAND, f"no data set: {error}"
        if not arrived.sop_instance_uid or not arrived.study_instance_uid:
            return Status.CANNOT_UNDERSTAND, "no SOP Instance UID or no Study Instance UID"
        with self._changed:
            verdict = self._manners(self._held.get(arrived.sop_instance_uid), arrived)
            if verdict.keep:
                self._file(arrived, whole)
        if verdict.keep:
            self._pass_on(arrived)
            if Manner.DROP_AFTER_STORE in self._awkward:
                raise ConnectionAbortedError("stored, and hung up")
        coerced = Manner.COERCE in self._awkward and whole is not received and verdict.status == Status.SUCCESS
        return (_COERCED, "Patient ID and Patient Name coerced") if coerced else (verdict.status, "")

    def wait_before_reading_on(self, sop_instance_uid: str) -> None:
        """Called in the middle of each object: where it stalls, for so long."""
        if Manner.STALL in self._awkward and sop_instance_uid not in self._stalled:
            self._stalled.add(sop_instance_uid)
            self._stopping.wait(self._stall)

    def _indexed(self, whole: bytes, calling_ae_title: str) -> Kept:
        meta = read_file_meta(whole[:LONGEST_META])
        digest = hashlib.sha256(memoryview(whole)[meta.data_set_offset :]).hexdigest()
        head = dcmread(io.BytesIO(whole), specific_tags=list(_INDEXED), stop_before_pixels=True)
        return Kept(
            sop_class_uid=str(head.get("SOPClassUID", "")),
            sop_instance_uid=str(head.get("SOPInstanceUID", "")),
            series_instance_uid=str(head.get("SeriesInstanceUID", "")),
            study_instance_uid=str(head.get("StudyInstanceUID", "")),
            modality=str(head.get("Modality", "")),
            patient_id=str(head.get("PatientID") or ""),
            transfer_syntax_uid=meta.transfer_syntax_uid,
            digest=digest,
            calling_ae_title=calling_ae_title,
            arrived_at=time.time(),
            path=self._folder / f"{digest}.dcm",
        )

    def _file(self, kept: Kept, whole: bytes) -> None:
        """Hold it, instead of what was held under its UID; the lock is held."""
        kept.path.write_bytes(whole)
        self._held[kept.sop_instance_uid] = kept
        self._changed.notify_all()

    def _pass_on(self, kept: Kept) -> None:
        """Route what was just kept, and what else that brings about."""
        returns = Manner.RETURN_RESULTS in self._awkward
        self.router.arrived(kept.study_instance_uid, kept.path, sender="" if returns else kept.calling_ae_title)
        if kept.calling_ae_title in self.router.peers:
            return
        if returns:
            for prior in self._priors(kept):
                self.router.arrived(prior.study_instance_uid, prior.path, sender="")
        if self._again is not None:
            self._again.arrived(kept.study_instance_uid)

    def _priors(self, kept: Kept) -> list[Kept]:
        return [
            other
            for other in self.held()
            if other.patient_id == kept.patient_id and other.study_instance_uid != kept.study_instance_uid
        ]

    def _correct(self, study_instance_uid: str) -> None:
        """The study's header changes, of results too, as a merge does it; what others sent is routed once more."""
        for old in self.held(study=study_instance_uid):
            whole = bad.corrected(old.path.read_bytes(), self._awkward)
            kept = self._indexed(whole, old.calling_ae_title)
            with self._changed:
                self._file(kept, whole)
            self.router.arrived(study_instance_uid, kept.path, sender=old.calling_ae_title)


class _Arriving:
    """One C-STORE whose data set is collected in memory."""

    def __init__(self, archive: Archive, request: StoreRequest) -> None:
        self._archive = archive
        self._request = request
        self._data = bytearray()

    def write(self, *pieces: bytes | memoryview) -> None:
        for piece in pieces:
            self._data += piece
        self._archive.wait_before_reading_on(self._request.affected_sop_instance_uid)

    def finish(self) -> tuple[int, str]:
        return self._archive.take(self._request, bytes(self._data))

    def abandon(self) -> None:
        self._data.clear()
