"""What becomes of a claimed job once its image was examined: one transaction, under the claim's fencing token.

Several threads may finish jobs at a time: nothing is shared but the ledger, the spool and the encoders.

Bytes of results are durable in the spool before the row that names them (law 4). A claim that was lost meanwhile is
discarded; what it left in the spool no row names, and it is swept.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from dicom_node.analyse.decoded import Decoded
from dicom_node.analyse.examination import Examination, Status
from dicom_node.analyse.order import Encodes, Kept, Order
from dicom_node.analyse.picture import of_all
from dicom_node.analyse.rejection import Rejection
from dicom_node.analyse.results import Encoding
from dicom_node.domain import Finding, JobState, Profile, Reason
from dicom_node.encode import kept
from dicom_node.errors import LostRace, Unreadable
from dicom_node.ledger import Ledger, Tx, findings, headers, instances, jobs, rejections, results, versions
from dicom_node.ledger.headers import KeptHeader
from dicom_node.ledger.identity import Identity
from dicom_node.ledger.jobs import ClaimedJob
from dicom_node.ledger.rows import InstanceRow, ResultRow, StoredResult, stored_result
from dicom_node.spool import Spool

log = structlog.get_logger()

#: what a report names no object of: a CT that is routed along costs no write a slice
_NOT_REPORTED = frozenset({Reason.NOT_A_RADIOGRAPH, Reason.REJECTION_NOTE})
#: seconds after which a version looks again whether the one before it is decided
_WAIT = 2.0


@dataclass(kw_only=True)
class Held:
    """A claimed job on its way through this process."""

    claim: ClaimedJob
    #: seconds since the epoch: when its lease was last taken or extended
    leased_at: float
    #: of a new version of a known image: what stood before it, and what to do with it; None until it was read
    before: versions.Previous | None = None
    verdict: versions.Verdict | None = None


class Finisher:
    """Commits the outcome of examinations.

    `encoders` put into `spool`; `encoding_for` tells how images of a calling AE title are encoded; `digest_of_all`
    reads an earlier version again, in full (again.digest_of_all); `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        encoders: Encodes,
        encoding_for: Callable[[str], Encoding],
        profiles: Iterable[Profile],
        *,
        digest_of_all: Callable[[InstanceRow], str | None],
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._encoders = encoders
        self._encoding_for = encoding_for
        self._profiles = tuple(profiles)
        self._digest_of_all = digest_of_all
        self._clock = clock

    def wants_prediction(self, held: Held, decoded: Decoded) -> bool:
        """Whether the model must look at what was read: not where an earlier version of the same picture was read.

        Raises DecoderUnavailable where that one was read at a lower resolution and cannot be read again just now.
        """
        if held.claim.instance.is_current or decoded.picture_digest is None:
            return True
        with self._ledger.reading() as tx:
            try:
                before = versions.previous(tx, held.claim)
            except LostRace:
                return False
        held.before = self._in_full(before)
        held.verdict = versions.judge(held.before, held.claim, picture_digest=decoded.picture_digest)
        return held.verdict is versions.Verdict.ANALYSE

    def _in_full(self, before: versions.Previous) -> versions.Previous:
        """What stood before, with a digest that says whether two versions show the same picture.

        Where there is none any more, that of the lower resolution stays: it equals no other, and a person decides.
        """
        digest = before.instance.picture_digest
        if digest is None or of_all(digest):
            return before
        digest = self._digest_of_all(before.instance) or digest
        return replace(before, instance=replace(before.instance, picture_digest=digest))

    def finish(self, held: Held, examination: Examination) -> None:
        """Commit what came of it. Raises LostRace, OutOfRoom, StorageFault, LedgerUnavailable."""
        if examination.reason is not None:
            self._unread(held, examination, examination.reason, examination.detail)
            return
        try:
            if examination.status is Status.READ:
                self._version(held, examination)
            else:
                self._done(held, examination)
        except Unreadable as error:  # of its header no result can be made
            self._unread(held, examination, error.reason, error.detail)

    def _unread(self, held: Held, examination: Examination, reason: Reason, detail: str) -> None:
        to = JobState.DECLINED if examination.status is Status.DECLINED else JobState.UNREADABLE
        header = self._keep_header(held, examination)
        with self._ledger.transaction() as tx:
            if examination.decoded.rejection is not None:
                self._reject(tx, held, examination.decoded.rejection)
            if examination.picture_digest is not None:
                instances.set_picture(tx, held.claim.instance.instance_id, examination.picture_digest)
            jobs.finish_unread(tx, held.claim, to, reason=reason, detail=detail, now=self._clock())
            _name_header(tx, held, header)
        log.info(to.value, job=held.claim.job_id, study=held.claim.study_id, reason=reason.value, detail=detail)

    def _reject(self, tx: Tx, held: Held, rejection: Rejection) -> None:
        """What a rejection note does to images and results, before anything else of its transaction."""
        effect = rejections.enter(
            tx,
            rejection.sop_instance_uids,
            title=rejection.title,
            note=held.claim.instance.sop_instance_uid,
            study_id=held.claim.study_id,
            now=self._clock(),
        )
        log.info(
            "a rejection note came",
            study=held.claim.study_id,
            title=rejection.title.value,
            images=effect.images,
            jobs=effect.jobs,
            results=effect.results,
        )

    def _done(self, held: Held, examination: Examination) -> None:
        if examination.prediction is None or examination.picture_digest is None:
            raise ValueError("an analysed image has a prediction and a digest of its picture")
        started = time.monotonic()
        kept_results = self._encode(held, examination, examination.findings)
        encoded = time.monotonic()
        stored = self._stored(held, kept_results)
        with self._ledger.transaction() as tx:
            instances.set_picture(tx, held.claim.instance.instance_id, examination.picture_digest)
            jobs.finish_done(
                tx,
                held.claim,
                now=self._clock(),
                score=examination.prediction.score,
                findings=examination.findings,
                results=stored,
            )
            _name_header(tx, held, _header_of(held, kept_results))
        took = kept_results.spent
        spent = {**examination.spent, **took, "hand": encoded - started - sum(took.values())}
        log.info(
            "analysed",
            job=held.claim.job_id,
            study=held.claim.study_id,
            score=round(examination.prediction.score, 3),
            findings=len(self._encoding_for(held.claim.instance.calling_ae_title).shown(examination.findings)),
            results=len(stored),
            ms=_milliseconds(spent | {"commit": time.monotonic() - encoded}),
        )

    def _version(self, held: Held, examination: Examination) -> None:
        """The same SOP Instance UID again, with other bytes and no need to look at the picture anew."""
        claim, now = held.claim, self._clock()
        if held.before is None or held.verdict is None or examination.picture_digest is None:
            # it became the current version while it was read: claim it again as such
            with self._ledger.transaction() as tx:
                jobs.postpone(tx, claim, now=now, not_before=now, reason="became the current version")
            return
        if held.verdict is versions.Verdict.WAIT:
            with self._ledger.transaction() as tx:
                jobs.postpone(tx, claim, now=now, not_before=now + _WAIT, reason="waits for an earlier version")
            return
        if held.verdict is versions.Verdict.QUARANTINE:
            with self._ledger.transaction() as tx:
                versions.quarantine(
                    tx, claim, reason=Reason.DIFFERENT_PICTURE, picture_digest=examination.picture_digest, now=now
                )
            log.warning("quarantined: another picture under a known UID", job=claim.job_id, study=claim.study_id)
            return
        self._adopt(held, held.before, examination, examination.picture_digest)

    def _adopt(self, held: Held, before: versions.Previous, examination: Examination, picture_digest: str) -> None:
        encoded, identity = None, None
        header: KeptHeader | None
        if held.verdict is versions.Verdict.RE_ENCODE and before.job is not None:
            with self._ledger.reading() as tx:
                earlier = findings.of_job(tx, before.job.job_id)
            kept_results = self._encode(held, examination, earlier)
            encoded, header = self._stored(held, kept_results), _header_of(held, kept_results)
            identity = Identity(
                patient_id=examination.decoded.patient_id,
                issuer_of_patient_id=examination.decoded.issuer_of_patient_id,
                accession_number=examination.decoded.accession_number,
            )
        else:
            header = self._keep_header(held, examination)
        with self._ledger.transaction() as tx:
            versions.adopt(
                tx,
                held.claim,
                before,
                picture_digest=picture_digest,
                now=self._clock(),
                encoded=encoded,
                identity=identity,
            )
            if encoded is None and header is not None and before.job is not None:
                # its results are still those of the version before it
                earlier_header = headers.of_job(tx, before.job.job_id)
                digest = before.instance.digest if earlier_header is None else earlier_header.input_digest
                header = replace(header, input_digest=digest)
            _name_header(tx, held, header)
        log.info("same picture", job=held.claim.job_id, study=held.claim.study_id, re_encoded=encoded is not None)

    def _encode(self, held: Held, examination: Examination, found: Iterable[Finding]) -> Kept:
        """Encode, and make each object durable. Raises what the encoders do."""
        if examination.header is None or examination.film is None:
            raise ValueError("only an image that was read can have results")
        return self._encoders.encode(
            Order(
                encoding=self._encoding_for(held.claim.instance.calling_ae_title),
                profiles=self._profiles,
                header=examination.header,
                film=examination.film,
                findings=tuple(found),
                input_digest=held.claim.instance.digest,
                content_time=datetime.fromtimestamp(self._clock(), UTC).astimezone(),
                packed_header=kept.pack(examination.header),
            )
        )

    def _stored(self, held: Held, made: Kept) -> list[StoredResult]:
        """What was encoded, each with the result that it replaces."""
        if held.before is not None:
            earlier: Sequence[ResultRow] = held.before.results
        else:  # analysed anew
            with self._ledger.reading() as tx:
                earlier = results.of_model(tx, held.claim.instance.sop_instance_uid, model_digest=held.claim.model)
        predecessors = _by_form(earlier)
        return [
            stored_result(
                one.result,
                spool_key=one.spool_key,
                predecessor=predecessors.get((one.result.kind, one.result.profile)),
                digest=one.digest,
            )
            for one in made.objects
        ]

    def _keep_header(self, held: Held, examination: Examination) -> KeptHeader | None:
        """Make the header durable, for the report of the study. Raises OutOfRoom, StorageFault."""
        if examination.header is None or examination.reason in _NOT_REPORTED:
            return None
        key = self._spool.put(kept.pack(examination.header))
        return KeptHeader(spool_key=key, input_digest=held.claim.instance.digest)


def _header_of(held: Held, made: Kept) -> KeptHeader:
    return KeptHeader(spool_key=made.header_key, input_digest=held.claim.instance.digest)


def _milliseconds(spent: Mapping[str, float]) -> dict[str, int]:
    return {stage: round(1000 * seconds) for stage, seconds in spent.items()}


def _name_header(tx: Tx, held: Held, header: KeptHeader | None) -> None:
    if header is not None:
        headers.store(tx, held.claim.job_id, header)


def _by_form(rows: Iterable[ResultRow]) -> dict[tuple[str, str], str]:
    return {(row.kind, row.profile): row.sop_instance_uid for row in rows}
