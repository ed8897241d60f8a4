"""The whole way of a stranger's bytes: intake with its head, spool, ledger row, decoding child; and what came of it."""

import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydicom.uid import UID

from dicom_node.analyse.decode import Decoder, DecodeRequest
from dicom_node.dimse.status import Status
from dicom_node.domain import Reason
from dicom_node.encode.identity import HEADER_KEYWORDS, read_text
from dicom_node.ledger import Ledger, instances
from dicom_node.receive.intake import Intake
from dicom_node.sections import AnalyseSection, SelectSection
from dicom_node.spool import Spool
from tests import datasets

LIMITS = AnalyseSection(decode_timeout=60, decode_cpu_seconds=5, decode_memory=768 << 20)
#: values that stand in what is mutated, and in nothing that the node says
NAME, PATIENT_ID, ACCESSION = "Geheim^Xaver", "PID-73219", "ACC-55417"
SOP_CLASS = "1.2.840.10008.5.1.4.1.1.1.1"
SOP_INSTANCE = "1.2.826.0.1.3680043.8.498.11"
_SECRETS = re.compile("Geheim|Xaver|73219|55417")
_TODAY = date(2026, 3, 4)


def film(syntax: str, rows: int = 40, columns: int = 32) -> bytes:
    """The data set of a small chest in a transfer syntax, the same bytes each time."""
    dataset = datasets.chest(
        rows,
        columns,
        SOPClassUID=SOP_CLASS,
        SOPInstanceUID=SOP_INSTANCE,
        SeriesInstanceUID="1.2.826.0.1.3680043.8.498.12",
        StudyInstanceUID="1.2.826.0.1.3680043.8.498.13",
        PatientName=NAME,
        PatientID=PATIENT_ID,
        AccessionNumber=ACCESSION,
    )
    return datasets.data_set_bytes(datasets.in_syntax(dataset, UID(syntax)))


@dataclass(frozen=True, kw_only=True)
class Became:
    """What became of a data set."""

    #: what its sender was told
    status: Status
    #: with Success: why it is not read; None: it was read
    reason: Reason | None = None
    #: what is said of it, to the sender or in the ledger
    detail: str = ""

    @property
    def name(self) -> str:
        """The status that refused it, the reason that it is not read for, or `read`."""
        if self.status is not Status.SUCCESS:
            return self.status.name
        return self.reason.value if self.reason else "read"


class Way:
    """A spool, a ledger and a child for one data set after another. A context manager."""

    def __init__(self, decoder: Decoder | None = None) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="chexnode-untrusted-"))
        url = f"sqlite:///{self._home / 'ledger.sqlite'}"
        Ledger.migrate(url)
        self._ledger = Ledger.open(url)
        self._spool = Spool(self._home / "spool")
        self._intake = Intake(self._spool, self._ledger, parameters="0" * 64, low_watermark=0, max_object_size=64 << 20)
        self.decoder = decoder or Decoder(LIMITS, SelectSection())

    def __enter__(self) -> "Way":
        return self

    def __exit__(self, *_: object) -> None:
        self.decoder.close()
        self._ledger.close()
        shutil.rmtree(self._home)

    def go(self, data: bytes, syntax: str) -> Became:
        """Send it in. AssertionError where the node says what it may not, or leaves a file where none belongs."""
        coming = self._intake.begin(
            sop_class_uid=SOP_CLASS,
            sop_instance_uid=SOP_INSTANCE,
            transfer_syntax_uid=syntax,
            calling_ae_title="SENDER",
        )
        for start in range(0, len(data), 16 << 10):
            coming.write(data[start : start + (16 << 10)])
        status, comment = coming.finish()
        try:
            became = self._read() if status is Status.SUCCESS and coming.became != "own_result" else None
            became = became or Became(status=status, detail=comment)
        finally:
            self._forget()
        assert len(comment) <= 64, f"longer than an Error Comment may be: {comment}"
        assert not _SECRETS.search(became.detail), f"it quotes the patient: {became.detail}"
        return became

    def _read(self) -> Became:
        with self._ledger.reading() as tx:
            row = instances.current(tx, SOP_INSTANCE)
        assert row is not None, "acknowledged, and not in the ledger"
        path = self._spool.path(row.spool_key)
        assert self._files() == [path], "a file that no row names"
        decoded = self.decoder.decode(DecodeRequest(path=path, arrived=_TODAY))
        assert not decoded.transient, decoded.detail
        assert (decoded.film is None) == (decoded.reason is not None)
        if decoded.header is not None:
            # the node itself reads these texts: whatever octets came, none of them may raise
            for keyword in HEADER_KEYWORDS:
                if keyword in decoded.header and not isinstance(decoded.header[keyword].value, (list, bytes)):
                    read_text(decoded.header, keyword)
        return Became(status=Status.SUCCESS, reason=decoded.reason, detail=decoded.detail)

    def _files(self) -> list[Path]:
        """Every file of the node's folder that holds anything, but its ledger's: a name made ahead of time is empty."""
        files = (path for path in self._home.rglob("*") if path.is_file() and not path.name.startswith("ledger"))
        return [path for path in files if path.stat().st_size]

    def _forget(self) -> None:
        """So that the next one is the first of its UID again."""
        for path in self._files():
            path.unlink()
        with self._ledger.transaction() as tx:
            for table in ("event", "job", "instance", "study"):
                tx.exec_driver_sql(f"DELETE FROM {table}")
