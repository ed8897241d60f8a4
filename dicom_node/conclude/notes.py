"""From recalled results to rejection notes: whose they are is read in the bytes that the node itself wrote."""

from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node import __version__
from dicom_node.domain import Profile, RejectionTitle, ResultState
from dicom_node.encode.elements import MALFORMED
from dicom_node.encode.identity import header_of, identity_key, read_text
from dicom_node.encode.kos import build_rejection_note
from dicom_node.encode.sr_context import Place
from dicom_node.errors import StorageFault
from dicom_node.ledger.rows import ResultRow, StoredResult, stored_result
from dicom_node.spool import Spool


class Notes:
    """Writes the notes of one study, at `now` (seconds since the epoch)."""

    def __init__(self, spool: Spool, *, now: float) -> None:
        self._spool = spool
        self._now = datetime.fromtimestamp(now, UTC).astimezone()
        #: by key of an object in the spool; None: it cannot be read
        self._read: dict[str, Dataset | None] = {}
        self._headers: dict[str, Dataset] = {}

    def identity(self, result: ResultRow, others: Sequence[ResultRow]) -> str | None:
        """Under whose identity a result was written; None: neither its bytes nor those of `others` tell."""
        own = [result] if result.state is ResultState.KEPT else []
        for row in (*own, *others):
            header = self._header(row)
            if header is not None:
                key = identity_key(header)
                self._headers.setdefault(key, header)
                return key
        return None

    def write(
        self, title: RejectionTitle, profile: Profile, identity: str, rejected: Sequence[ResultRow]
    ) -> StoredResult:
        """The note that withdraws `rejected`, durable; `identity` as it was told. Raises OutOfRoom, StorageFault."""
        header = self._headers[identity]
        note = build_rejection_note(
            title,
            profile,
            header=header,
            rejected=[
                Place(
                    study_instance_uid=read_text(header, "StudyInstanceUID"),
                    series_instance_uid=row.series_instance_uid,
                    sop_class_uid=row.sop_class_uid,
                    sop_instance_uid=row.sop_instance_uid,
                )
                for row in rejected
            ],
            content_time=self._now,
            software_version=__version__,
        )
        return stored_result(note, spool_key=self._spool.put(note.data))

    def _header(self, row: ResultRow) -> Dataset | None:
        if row.spool_key not in self._read:
            try:
                written = dcmread(BytesIO(self._spool.read(row.spool_key)), stop_before_pixels=True)
                self._read[row.spool_key] = header_of(written)
            except (StorageFault, *MALFORMED):
                self._read[row.spool_key] = None
        return self._read[row.spool_key]
