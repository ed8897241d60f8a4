"""The report of a study revision: written before the conclusion, and void where the study has changed by then."""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from dicom_node.domain import Profile
from dicom_node.encode.profiles import PROFILES
from dicom_node.errors import NodeError
from dicom_node.ledger import Ledger, Tx, findings, reports
from dicom_node.ledger.reports import Outcome
from dicom_node.ledger.rows import ResultRow, StoredResult, StudyRow
from dicom_node.sections import ResultsSection
from dicom_node.spool import Spool

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The objects of a report, durable in the spool, and what they were made from."""

    outcomes: tuple[Outcome, ...] = ()
    #: objects of earlier reports, in whose place it stands
    earlier: tuple[ResultRow, ...] = ()
    written: tuple[StoredResult, ...] = ()

    def stands(self, tx: Tx, study_id: int) -> bool:
        """Nothing of what it says has changed meanwhile. Ask with the study locked."""
        if not (self.written or self.earlier):
            return True
        now = (tuple(reports.outcomes(tx, study_id)), tuple(reports.current(tx, study_id)))
        return now == (self.outcomes, self.earlier)

    def store(self, tx: Tx, study: StudyRow, *, now: float) -> list[ResultRow]:
        """Enter the objects of the revision that is being concluded; what is now to be sent."""
        if not (self.written or self.earlier):
            return []
        return reports.store(tx, self.written, study_id=study.study_id, revision=study.revision, now=now)


class Reporter:
    """Writes the reports of studies into the spool."""

    def __init__(self, ledger: Ledger, spool: Spool, section: ResultsSection) -> None:
        self._ledger = ledger
        self._spool = spool
        self._section = section

    def load(self) -> None:
        """Load what writes reports: a second that the first study would wait for, and 30 MB while there is none."""
        import dicom_node.conclude.writing  # noqa: F401 - what is loaded stays

    def draft(self, study: StudyRow, profiles: Iterable[Profile], *, now: float) -> Draft:
        """The report of a study's revision for each of `profiles` that has one.

        A report that cannot be written keeps no result of an image back: it is said in the log, and what was reported
        before stands. Raises OutOfRoom, StorageFault, LedgerUnavailable.
        """
        wanted = [profile for profile in profiles if PROFILES[profile].study_kinds]
        try:
            return self._draft(study, wanted, now=now)
        except NodeError:
            raise
        except Exception:  # one image must not keep every study of the node from its conclusion
            log.exception("a report cannot be written", study=study.study_id, revision=study.revision)
            return Draft()

    def _draft(self, study: StudyRow, profiles: list[Profile], *, now: float) -> Draft:
        with self._ledger.reading() as tx:
            earlier = tuple(reports.current(tx, study.study_id))
            if not (profiles or earlier):
                return Draft()
            outcomes = tuple(reports.outcomes(tx, study.study_id))
            found = {each.job.job_id: findings.of_job(tx, each.job.job_id) for each in outcomes if each.job is not None}
        if not profiles:
            return Draft(outcomes=outcomes, earlier=earlier)
        # a node that writes no report does without pydicom here, which takes 30 MB
        from dicom_node.conclude.writing import Writer

        written = Writer(self._spool, self._section, study, now=now).write(profiles, outcomes, earlier, found)
        return Draft(outcomes=outcomes, earlier=earlier, written=tuple(written))
