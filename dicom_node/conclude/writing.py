"""What the ledger and the spool know of a study's images, to the objects of its report.

Nothing here looks into strangers' bytes: a header was parsed by the worker's child, and is kept as octets.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import structlog
from pydicom.dataset import Dataset

from dicom_node import __version__
from dicom_node.domain import EncodedResult, Finding, JobState, Profile, Reason
from dicom_node.encode import kept
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.equipment import ascii_text
from dicom_node.encode.findings import shown
from dicom_node.encode.profiles import study_kinds_for
from dicom_node.encode.sr import build_report
from dicom_node.encode.sr_context import Fate, Place, ReportContext, ReportedImage
from dicom_node.errors import StorageFault
from dicom_node.ledger.encodings import EncodingRow
from dicom_node.ledger.reports import Outcome
from dicom_node.ledger.rows import ResultRow, StoredResult, StudyRow, stored_result
from dicom_node.sections import ResultsSection
from dicom_node.spool import Spool

log = structlog.get_logger()

#: what lies in a study besides its images is counted at most: a CT of a thousand slices is no thousand lines
_NOT_TOLD = frozenset({Reason.NOT_A_RADIOGRAPH, Reason.REJECTION_NOTE})
_FATES = {JobState.DONE: Fate.ANALYSED, JobState.DECLINED: Fate.DECLINED}


class Writer:
    """Writes one report, at `now` (seconds since the epoch)."""

    def __init__(self, spool: Spool, section: ResultsSection, study: StudyRow, *, now: float) -> None:
        self._spool = spool
        self._section = section
        self._study = study
        self._now = datetime.fromtimestamp(now, UTC).astimezone()

    def write(
        self,
        profiles: Sequence[Profile],
        outcomes: Sequence[Outcome],
        earlier: Sequence[ResultRow],
        found: Mapping[int, Sequence[Finding]],
    ) -> Iterator[StoredResult]:
        """Each object of the report, durable. `found`: by job. Raises OutOfRoom, StorageFault.

        Nothing is written of a study in which nothing was there to be read, unless an earlier report is to be replaced.
        """
        told = [outcome for outcome in outcomes if _reason(outcome) not in _NOT_TOLD]
        others = sum(_reason(outcome) is Reason.NOT_A_RADIOGRAPH for outcome in outcomes)
        images = [self._image(outcome, found) for outcome in told]
        if all(image.header is None for image in images):
            return
        wanted = [profile for profile in profiles if self._has_something_to_say(profile, images, earlier)]
        for profile in wanted:
            # an object of a profile that nobody wants any more is continued by all others
            replaced = [row for row in earlier if row.profile is profile]
            replaced = replaced or [row for row in earlier if row.profile not in wanted]
            result = build_report(profile, images=images, context=self._context(replaced, others))
            yield self._keep(result, replaced)

    def _has_something_to_say(
        self, profile: Profile, images: Sequence[ReportedImage], earlier: Sequence[ResultRow]
    ) -> bool:
        if any(row.profile is profile for row in earlier):
            return True
        any_findings = any(image.findings for image in images)
        kinds = study_kinds_for(profile, any_findings=any_findings, clean=self._section.clean)
        return bool(kinds) and any(image.reading is not None for image in images)

    def _image(self, outcome: Outcome, found: Mapping[int, Sequence[Finding]]) -> ReportedImage:
        header = self._header(outcome)
        reading: EncodeContext | None = None
        marked: tuple[Finding, ...] = ()
        if outcome.job is not None and outcome.header is not None and outcome.encoding is not None:
            candidates = found[outcome.job.job_id]
            marked = shown(candidates, outcome.encoding.threshold, outcome.encoding.most_findings)
            above = sum(finding.confidence >= outcome.encoding.threshold for finding in candidates)
            reading = self._reading(outcome.encoding, outcome.header.input_digest, not_shown=above - len(marked))
        fate, because = _fate(outcome, header)
        return ReportedImage(
            sop_class_uid=outcome.instance.sop_class_uid,
            sop_instance_uid=outcome.instance.sop_instance_uid,
            input_digest=outcome.instance.digest,
            header=header,
            fate=fate,
            because=because,
            reading=reading,
            findings=marked,
        )

    def _header(self, outcome: Outcome) -> Dataset | None:
        # a rejected image is no evidence of anything: it is named, and not referred to
        if outcome.header is None or _reason(outcome) is Reason.REJECTED:
            return None
        try:
            return kept.unpack(self._spool.read(outcome.header.spool_key))
        except (StorageFault, ValueError) as error:
            # its results were written and sent: the report says that it cannot speak of this image
            log.warning("a kept header is lost", job=outcome.job and outcome.job.job_id, error=str(error))
            return None

    def _reading(self, encoding: EncodingRow, input_digest: str, *, not_shown: int) -> EncodeContext:
        return EncodeContext(
            algorithm_name=encoding.name,
            algorithm_version=encoding.version,
            algorithm_family=encoding.family,
            model_digest=encoding.digest,
            parameters=encoding.parameters,
            threshold=encoding.threshold,
            not_shown=not_shown,
            input_digest=input_digest,
            content_time=self._now,
            software_version=__version__,
        )

    def _context(self, replaced: Sequence[ResultRow], others: int) -> ReportContext:
        return ReportContext(
            revision=self._study.revision,
            predecessors=tuple(
                Place(
                    study_instance_uid=self._study.study_instance_uid,
                    series_instance_uid=row.series_instance_uid,
                    sop_class_uid=row.sop_class_uid,
                    sop_instance_uid=row.sop_instance_uid,
                )
                for row in replaced
            ),
            other_objects=others,
            content_time=self._now,
            software_version=__version__,
            sr_description=self._section.sr_description,
            sr_series_number=self._section.sr_series_number,
        )

    def _keep(self, result: EncodedResult, replaced: Sequence[ResultRow]) -> StoredResult:
        return stored_result(
            result,
            spool_key=self._spool.put(result.data),
            predecessor=replaced[-1].sop_instance_uid if replaced else None,
        )


def _reason(outcome: Outcome) -> Reason | None:
    return None if outcome.job is None else outcome.job.reason


def _fate(outcome: Outcome, header: Dataset | None) -> tuple[Fate, str]:
    """What became of an image, and why in plain words."""
    job = outcome.job
    if outcome.under_way:
        again = job is not None and job.state is JobState.DONE
        return Fate.PENDING, "it is being analysed again" if again else "its analysis had not ended"
    if job is None:
        return Fate.PENDING, "no model has looked at it"
    if job.state is JobState.DONE and (header is None or outcome.encoding is None):
        return Fate.FAILED, "it was analysed, and what a report needs of it is not kept any more"
    words = "" if job.reason is None else job.reason.value.replace("_", " ")
    said = f"{words} ({job.detail})" if job.detail else words
    return _FATES.get(job.state, Fate.FAILED), ascii_text(said, most=1024)
