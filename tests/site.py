"""A ledger as a site's looks after a day: something held, refused, failed, declined, in quarantine, still to come."""

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicom_node.cli.template import configuration
from dicom_node.domain import Arrival, DeliveryState, Finding, Head, JobState, Kind, Profile, Reason
from dicom_node.ledger import Ledger, deliveries, instances, jobs, models, results, studies, versions
from dicom_node.ledger.deliveries import NewDelivery
from dicom_node.ledger.jobs import ClaimedJob
from dicom_node.ledger.rows import StoredResult

MODEL = "e" * 64
#: when the day began; minutes are added to it
START = 1_770_000_000.0
PARAMETERS = "f" * 64


def configure(folder: Path, *, port: int = 11112, archive_port: int = 104, mode: str = "hold") -> Path:
    """A configuration with one archive, and the node's folder beside it."""
    file = folder / "chexnode.toml"
    peer = {
        "name": "archive",
        "ae_title": "ARCHIVE",
        "host": "127.0.0.1",
        "port": archive_port,
        "sends": True,
        "results_to": ("archive",),
        "mode": mode,
    }
    file.write_text(
        configuration({"node": {"folder": folder / "data"}, "receive": {"port": port}}, peer), encoding="utf-8"
    )
    return file


@dataclass(kw_only=True)
class Site:
    """Enters studies into a ledger through the functions that the roles use."""

    ledger: Ledger
    now: float = START
    made: int = 0

    @classmethod
    def make(cls, database: Path) -> "Site":
        database.parent.mkdir(parents=True, exist_ok=True)
        database.write_bytes(_new_ledger())
        return cls(ledger=Ledger.open(f"sqlite:///{database}"))

    def arrive(self, study: str, *, accession: str = "", uid: str = "", digest: str = "") -> str:
        """One image of a study; its SOP Instance UID."""
        self.made += 1
        self.now += 60
        sop_instance_uid = uid or f"{study}.1.{self.made}"
        arrival = Arrival(
            head=Head(
                sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
                sop_instance_uid=sop_instance_uid,
                study_instance_uid=study,
                accession_number=accession,
                patient_id="P1",
            ),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            digest=digest or f"{self.made:064x}",
            size=1000,
            calling_ae_title="ARCHIVE",
            spool_key=f"{self.made:032x}",
            received_at=self.now,
        )
        with self.ledger.transaction() as tx:
            instances.record(tx, arrival, parameters=PARAMETERS, now=self.now)
        return sop_instance_uid

    def claim(self) -> ClaimedJob:
        with self.ledger.transaction() as tx:
            (claim,) = jobs.claim(tx, owner="worker", now=self.now, lease=60, limit=1)
        return claim

    def analyse(self) -> None:
        """Finish the next job with one finding and its two results."""
        claim = self.claim()
        finding = Finding(
            box=(1, 2, 3, 4), confidence=0.75, mask_origin=(2, 1), mask=np.ones((2, 2), np.bool_), area_mm2=4.0
        )
        with self.ledger.transaction() as tx:
            instances.set_picture(tx, claim.instance.instance_id, claim.instance.digest)
            jobs.finish_done(
                tx,
                claim,
                now=self.now,
                score=0.9,
                findings=[finding],
                results=[self._result(claim, kind) for kind in (Kind.SEG, Kind.SC)],
            )

    def decline(self, reason: Reason, detail: str) -> None:
        claim = self.claim()
        with self.ledger.transaction() as tx:
            jobs.finish_unread(tx, claim, JobState.DECLINED, reason=reason, detail=detail, now=self.now)

    def fail(self, error: str) -> None:
        claim = self.claim()
        with self.ledger.transaction() as tx:
            jobs.retry(tx, claim, now=self.now, not_before=self.now, error=error, attempts_allowed=1)

    def quarantine(self) -> None:
        claim = self.claim()
        with self.ledger.transaction() as tx:
            versions.quarantine(tx, claim, reason=Reason.DIFFERENT_PICTURE, picture_digest="d" * 64, now=self.now)

    def conclude(self, study: str, *, destination: str = "archive", held: bool = True) -> None:
        """The study goes quiet, and all its results to one destination."""
        self.now += 60
        with self.ledger.transaction() as tx:
            (row,) = (
                row for row in studies.quiet(tx, now=self.now, quiet_period=10) if row.study_instance_uid == study
            )
            assert studies.complete(tx, row, now=self.now)
            wanted = [
                NewDelivery(result_id=each.result_id, destination=destination, held=held)
                for each in results.of_study(tx, row.study_id)
            ]
            assert studies.conclude(tx, row, revision=row.revision, now=self.now, deliveries=wanted, missing=())

    def send(self, destination: str, outcome: DeliveryState, error: str = "", *, again_in: float = 300.0) -> None:
        """Try all that is due for a destination once."""
        with self.ledger.transaction() as tx:
            for claim in deliveries.claim(
                tx, destination=destination, now=self.now, owner="sender", lease=60, limit=100
            ):
                if outcome is DeliveryState.STORED:
                    deliveries.stored(tx, claim, self.now)
                elif outcome is DeliveryState.UNCOMMITTED:
                    deliveries.stored(tx, claim, self.now, ask_at=self.now)
                elif outcome is DeliveryState.FAILED:
                    deliveries.refused(tx, claim, self.now, error)
                elif outcome is DeliveryState.HELD:
                    deliveries.hold_back(tx, claim, now=self.now, reason=error)
                else:
                    deliveries.retry(tx, claim, now=self.now, not_before=self.now + again_in, error=error)

    def _result(self, claim: ClaimedJob, kind: Kind) -> StoredResult:
        return StoredResult(
            kind=kind,
            profile=Profile.STRICT,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
            sop_instance_uid=f"2.25.{claim.job_id}{list(Kind).index(kind)}",
            series_instance_uid="2.25.1",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            encoder_version="1",
            spool_key=f"{claim.job_id * 16 + list(Kind).index(kind):032x}",
            digest="a" * 64,
        )


def site_of(file: Path) -> Site:
    """A Site on the ledger that a configuration names."""
    from dicom_node.config import load_settings

    return Site.make(load_settings(file).node.folder / "ledger.sqlite")


@functools.cache
def _new_ledger() -> bytes:
    """A ledger with one active model; made once, for migrating takes most of a second."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "ledger.sqlite"
        Ledger.migrate(f"sqlite:///{database}")
        ledger = Ledger.open(f"sqlite:///{database}")
        with ledger.transaction() as tx:
            models.register(tx, digest=MODEL, name="test-model", version="1", now=START)
            models.activate(tx, MODEL, parameters=PARAMETERS)
        ledger.close()
        return database.read_bytes()
