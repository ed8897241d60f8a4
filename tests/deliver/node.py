"""A node without its other rooms: a ledger and a spool in a folder, studies that arrive, jobs that end as told."""

import functools
import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, SegmentationStorage, generate_uid
from sqlalchemy import select

from dicom_node.config import Settings
from dicom_node.domain import Arrival, Head, JobState, Kind, Profile, Reason
from dicom_node.ledger import Ledger, deliveries, instances, jobs, models, overview, schema
from dicom_node.ledger.instances import Recorded
from dicom_node.ledger.overview import DeliveryView, StudyView
from dicom_node.ledger.rows import StoredResult
from dicom_node.spool import Spool
from tests.datasets import file_bytes, secondary_capture
from tests.memory import MEMORY

MODEL = "a" * 64
PARAMETERS = "b" * 64
DX = "1.2.840.10008.5.1.4.1.1.1.1"
CLASSES = {Kind.SC: SecondaryCaptureImageStorage, Kind.SEG: SegmentationStorage}


def peer(name: str, port: int = 104, *, mode: str = "send", profile: str = "strict") -> dict[str, Any]:
    """A destination as the configuration has it; its AE title is ARCHIVE."""
    return {
        "name": name,
        "ae_title": "ARCHIVE",
        "host": "127.0.0.1",
        "port": port,
        "mode": mode,
        "profile": profile,
    }


def sender(ae_title: str, *results_to: str) -> dict[str, Any]:
    """A peer that sends, as the configuration has it."""
    return {
        "name": ae_title.lower(),
        "ae_title": ae_title,
        "sends": True,
        "allow_from": ["127.0.0.1"],
        "results_to": list(results_to),
    }


def settings_of(folder: Path, *peers: dict[str, Any], **sections: dict[str, Any]) -> Settings:
    """Settings with short waits; `peers` as in the configuration, `sections` over the defaults here."""
    quick: dict[str, dict[str, Any]] = {
        "node": {"folder": folder},
        "conclude": {"quiet_period": 0.1, "conclude_after": 0.5},
        "deliver": {
            "retry_first": 0.05,
            "retry_longest": 0.2,
            "connect_timeout": 2,
            "response_timeout": 1,
        },
    }
    merged = {name: quick.get(name, {}) | sections.get(name, {}) for name in quick.keys() | sections.keys()}
    return Settings.model_validate({**merged, "peers": list(peers)})


@functools.cache
def _migrated() -> bytes:
    """An empty ledger: migrations are tested elsewhere."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder) / "ledger.sqlite"
        Ledger.migrate(f"sqlite:///{path}")
        return path.read_bytes()


class Node:
    """What receive and analyse would have left in `folder`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        settings.node.folder.mkdir(exist_ok=True)
        (settings.node.folder / "ledger.sqlite").write_bytes(_migrated())
        self.ledger = Ledger.for_settings(settings.node)
        self.spool = Spool(settings.node.folder / "spool")
        self._numbers = itertools.count(1)
        with self.ledger.transaction() as tx:
            models.register(tx, digest=MODEL, name="test", version="1", now=time.time())
            models.activate(tx, MODEL, parameters=PARAMETERS)

    def close(self) -> None:
        self.ledger.close()

    def arrive(
        self,
        study_uid: str,
        *,
        calling: str = "MODALITY",
        sop_uid: str | None = None,
        now: float | None = None,
    ) -> Recorded:
        """An instance is received."""
        now = time.time() if now is None else now
        number = next(self._numbers)
        head = Head(
            sop_class_uid=DX,
            sop_instance_uid=sop_uid or str(generate_uid()),
            study_instance_uid=study_uid,
            accession_number="A-1001",
            patient_id="P-2002",
        )
        data = b"image %d" % number
        with self.ledger.transaction() as tx:
            return instances.record(
                tx,
                Arrival(
                    head=head,
                    transfer_syntax_uid=ExplicitVRLittleEndian,
                    digest=f"{number:064x}",
                    size=len(data),
                    calling_ae_title=calling,
                    spool_key=self.spool.put(data),
                    received_at=now,
                ),
                parameters=PARAMETERS,
                now=now,
            )

    def result(
        self,
        study_uid: str,
        kind: Kind = Kind.SC,
        *,
        profile: Profile = Profile.STRICT,
        rows: int = 64,
        predecessor: str | None = None,
    ) -> StoredResult:
        """One encoded object, its bytes in the spool."""
        dataset = secondary_capture(rows, 48, StudyInstanceUID=study_uid, SOPClassUID=CLASSES[kind])
        data = file_bytes(dataset)
        return StoredResult(
            kind=kind,
            profile=profile,
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            series_instance_uid=str(dataset.SeriesInstanceUID),
            transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
            encoder_version=str(next(self._numbers)),  # a job may have any number of results then
            spool_key=self.spool.put(data),
            digest="c" * 64,
            predecessor=predecessor,
        )

    def analyse(self, *results: StoredResult, now: float | None = None) -> None:
        """The next queued job is done, with `results`."""
        now = time.time() if now is None else now
        with self.ledger.transaction() as tx:
            (claim,) = jobs.claim(tx, owner="test", now=now, lease=60, limit=1)
            jobs.finish_done(tx, claim, now=now, score=0.5, findings=(), results=results)

    def decline(self, *, now: float | None = None) -> None:
        """The next queued job's image is not ours to read."""
        now = time.time() if now is None else now
        with self.ledger.transaction() as tx:
            (claim,) = jobs.claim(tx, owner="test", now=now, lease=60, limit=1)
            jobs.finish_unread(tx, claim, JobState.DECLINED, reason=Reason.LATERAL_VIEW, detail="", now=now)

    def queue(self, destination: str, *results: StoredResult, held: bool = False) -> list[str]:
        """A study is received, analysed and concluded, and `results` queued for `destination`; their UIDs."""
        study_uid = str(generate_uid())
        recorded = self.arrive(study_uid)
        self.analyse(*results)
        with self.ledger.transaction() as tx:
            ids = tx.execute(select(schema.result.c.id).where(schema.result.c.study_id == recorded.study_id))
            wanted = [
                deliveries.NewDelivery(result_id=key, destination=destination, held=held) for key in ids.scalars()
            ]
            deliveries.queue_deliveries(tx, wanted, study_id=recorded.study_id, now=time.time())
        return [result.sop_instance_uid for result in results]

    def study(self, study_uid: str) -> StudyView:
        with self.ledger.reading() as tx:
            (view,) = overview.studies(tx, study_uid=study_uid)
        return view

    def deliveries(self) -> list[DeliveryView]:
        """Every delivery, in the order in which they were made."""
        with self.ledger.reading() as tx:
            views = [one for study in overview.studies(tx, limit=1000) for one in study.deliveries]
        return sorted(views, key=lambda one: one.delivery_id)

    def states(self, destination: str | None = None) -> list[str]:
        """The state of every delivery, or of one destination's."""
        return [one.state.value for one in self.deliveries() if destination in (None, one.destination)]

    def reasons(self, noun: str) -> Sequence[str]:
        """The reasons that stand in the events of a noun's moves."""
        with self.ledger.reading() as tx:
            rows = tx.execute(
                select(schema.event.c.reason).where(schema.event.c.noun == noun).order_by(schema.event.c.id)
            )
            return list(rows.scalars())
