"""What the CPU of a small instance is spent on between its bytes and its row: `receive.Intake` under a profiler.

The network and the association are left out; they are the difference to the CPU of the whole receiver.
"""

import cProfile
import pstats
import time
from pathlib import Path

import structlog
from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.measure import Tell
from benchmarks.modality import Image
from benchmarks.record import Section, Table
from dicom_node.ledger import Ledger
from dicom_node.receive.intake import Intake
from dicom_node.spool import Spool

_WARM, _COUNTED = 50, 400
#: layer → what the path or the name of its functions holds, the first that fits; all else is the last one's
_LAYERS = {
    "SQLAlchemy around its statements": ("/sqlalchemy/",),
    "SQLite: statements and the commit": ("sqlite3",),
    "files: names made ahead, bytes written and flushed": ("posix.", "/dicom_node/spool/"),
    "SHA-256": ("_hashlib",),
    "the log line": ("/structlog/", "/logging/", "/dicom_node/logs"),
    "the ledger's own code": ("/dicom_node/ledger/",),
    "the head, and the rest of the receiver": ("/dicom_node/",),
    "all else": ("",),
}


def shares(tell: Tell, scratch: Path) -> Table:
    """CPU milliseconds of an instance by layer, as the profiler sees them."""
    tell("an instance under the profiler")
    scratch.mkdir()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # made, and written nowhere
    url = f"sqlite:///{scratch / 'ledger.sqlite'}"
    Ledger.migrate(url)
    ledger, spool = Ledger.open(url), Spool(scratch / "spool")
    intake = Intake(spool, ledger, parameters="0" * 64, low_watermark=1 << 20, max_object_size=1 << 30)
    image = Image.of(160, 156)
    try:
        for _ in range(_WARM):
            _take(intake, image)
        before = time.thread_time()
        for _ in range(_COUNTED):
            _take(intake, image)
        plain = (time.thread_time() - before) / _COUNTED
        profile = cProfile.Profile(time.thread_time)
        for _ in range(_COUNTED):
            profile.runcall(_take, intake, image)
    finally:
        spool.close()
        ledger.close()
    spent = dict.fromkeys(_LAYERS, 0.0)
    for (path, _, name), (_, _, own, *_) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[next(layer for layer, marks in _LAYERS.items() if any(mark in path + name for mark in marks))] += own
    total = sum(spent.values())
    return Table(
        section=Section.RECEIVE,
        title="What the CPU between the bytes of a 50 KB instance and its row is spent on",
        head=["layer", "share", "ms"],
        rows=[[layer, f"{own / total:.0%}", f"{1e3 * plain * own / total:.2f}"] for layer, own in spent.items()],
        note=f"One thread, {_COUNTED} instances, {1e3 * plain:.2f} ms of CPU each without the profiler, split by the "
        "profiler's shares, which make much of short functions. The association's share is not in it.",
    )


def _take(intake: Intake, image: Image) -> None:
    uid, data = image.fresh()
    incoming = intake.begin(
        sop_class_uid=image.sop_class_uid,
        sop_instance_uid=uid,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        calling_ae_title="BENCH",
    )
    incoming.write(memoryview(data))
    status, comment = incoming.finish()
    if status != 0:
        raise RuntimeError(f"an instance was not taken: {comment}")
