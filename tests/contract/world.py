"""A ledger with a model, and the steps of the spine in one line each; time is a number that tests set."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from dicom_node.domain import Arrival, Finding, Head, JobState, Kind, Profile, Reason
from dicom_node.ledger import Ledger, deliveries, instances, jobs, models, results, studies, versions
from dicom_node.ledger.deliveries import ClaimedDelivery, NewDelivery
from dicom_node.ledger.instances import Recorded
from dicom_node.ledger.jobs import ClaimedJob
from dicom_node.ledger.rows import StoredResult, StudyRow
from dicom_node.ledger.versions import Verdict

MODEL = "aa" * 32
PARAMETERS = "bb" * 32
#: seconds
LEASE, QUIET, PATIENCE = 60.0, 10.0, 600.0
ATTEMPTS = 3


def arrival(
    image: int,
    *,
    study: int = 1,
    data: str = "first",
    patient_id: str = "P-1",
    accession: str = "A-1",
    priority: int = 0,
) -> Arrival:
    """Image `image` of a study; other `data` are other bytes."""
    return Arrival(
        head=Head(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
            sop_instance_uid=f"1.2.826.0.1.{image}",
            study_instance_uid=f"1.2.826.0.9.{study}",
            accession_number=accession,
            patient_id=patient_id,
        ),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        digest=hashlib.sha256(f"{image} {data} {patient_id} {accession} {study}".encode()).hexdigest(),
        size=1000,
        calling_ae_title="MODALITY",
        spool_key=f"{image:032x}",
        received_at=0.0,
        priority=priority,
    )


def stored(uid: str, kind: Kind = Kind.SEG, *, predecessor: str | None = None) -> StoredResult:
    """A result whose object lies in the spool."""
    return StoredResult(
        kind=kind,
        profile=Profile.STRICT,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
        sop_instance_uid=uid,
        series_instance_uid="2.25.7",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        encoder_version="1",
        spool_key="f" * 32,
        digest="cc" * 32,
        predecessor=predecessor,
    )


def finding(confidence: float = 0.8) -> Finding:
    """A region whose mask fills no whole byte."""
    mask = np.zeros((5, 7), dtype=np.bool_)
    mask[1:4, 2:6] = True
    return Finding(box=(10.0, 20.5, 17.0, 25.0), confidence=confidence, mask_origin=(20, 10), mask=mask, area_mm2=12.5)


class World:
    """What the rooms do to a ledger."""

    def __init__(self, ledger: Ledger, *, model: bool = True) -> None:
        self.ledger = ledger
        if model:
            self.activate(MODEL)

    def activate(self, digest: str, *, name: str = "chexnode", parameters: str = PARAMETERS) -> None:
        with self.ledger.transaction() as tx:
            models.register(tx, digest=digest, name=name, version="1", now=0.0)
            models.activate(tx, digest, parameters=parameters)

    def receive(self, *arrivals: Arrival, now: float = 0.0) -> list[Recorded]:
        with self.ledger.transaction() as tx:
            return [instances.record(tx, one, parameters=PARAMETERS, now=now) for one in arrivals]

    def new_version(self, *, now: float = 3.0, **changed: str | int) -> ClaimedJob:
        """Image 1 arrives again, `changed`; the claim on its job."""
        self.receive(arrival(1, **changed), now=now)  # type: ignore[arg-type]  # each is what arrival() takes
        (claim,) = self.claim(now=now)
        return claim

    def claim(self, *, now: float = 1.0, limit: int = 100, owner: str = "worker") -> list[ClaimedJob]:
        with self.ledger.transaction() as tx:
            return jobs.claim(tx, owner=owner, now=now, lease=LEASE, limit=limit)

    def done(
        self,
        claim: ClaimedJob,
        *,
        now: float = 2.0,
        found: Sequence[Finding] | None = None,
        encoded: Iterable[StoredResult] | None = None,
        picture: str = "picture",
    ) -> None:
        """Finish a job as the worker does: by default one finding, one SEG."""
        with self.ledger.transaction() as tx:
            instances.set_picture(tx, claim.instance.instance_id, picture)
            jobs.finish_done(
                tx,
                claim,
                now=now,
                score=0.7,
                findings=[finding()] if found is None else found,
                results=[stored(f"2.25.1000{claim.job_id}")] if encoded is None else list(encoded),
            )

    def unread(self, claim: ClaimedJob, to: JobState, reason: Reason, *, now: float = 2.0) -> None:
        with self.ledger.transaction() as tx:
            jobs.finish_unread(tx, claim, to, reason=reason, detail="", now=now)

    def analyse(self, *, now: float = 2.0) -> None:
        """Every due job is done."""
        for claim in self.claim(now=now):
            self.done(claim, now=now)

    def judge(self, claim: ClaimedJob, *, picture: str = "picture") -> tuple[versions.Previous, Verdict]:
        with self.ledger.transaction() as tx:
            before = versions.previous(tx, claim)
        return before, versions.judge(before, claim, picture_digest=picture)

    def study(self, number: int = 1) -> StudyRow:
        with self.ledger.reading() as tx:
            return studies.get(tx, number)

    def quieten(self, *, now: float) -> list[int]:
        """OPEN → COMPLETE for all that are quiet at `now`; their ids."""
        with self.ledger.transaction() as tx:
            quiet = studies.quiet(tx, now=now, quiet_period=QUIET)
            return [row.study_id for row in quiet if studies.complete(tx, row, now=now)]

    def conclude(self, *, now: float, held: bool = False, destination: str = "pacs") -> list[int]:
        """Conclude all that are ready at `now`, everything of theirs to one destination; their ids."""
        concluded = []
        with self.ledger.transaction() as tx:
            for row in studies.ready(tx, now=now, conclude_after=PATIENCE):
                wanted = [
                    NewDelivery(result_id=made.result_id, destination=destination, held=held)
                    for made in results.of_study(tx, row.study_id)
                ]
                missing = studies.unfinished(tx, row.study_id)
                if studies.conclude(tx, row, revision=row.revision, now=now, deliveries=wanted, missing=missing):
                    concluded.append(row.study_id)
        return concluded

    def through(self, *, now: float, held: bool = False) -> list[int]:
        """Quiet, complete, concluded; the ids of the studies that were."""
        self.quieten(now=now)
        return self.conclude(now=now, held=held)

    def sending(
        self, *, now: float, destination: str = "pacs", limit: int = 100, owner: str = "sender"
    ) -> list[ClaimedDelivery]:
        with self.ledger.transaction() as tx:
            return deliveries.claim(tx, destination=destination, now=now, owner=owner, lease=LEASE, limit=limit)

    def current_results(self, study: int = 1) -> list[str]:
        with self.ledger.reading() as tx:
            return [made.sop_instance_uid for made in results.of_study(tx, study)]
