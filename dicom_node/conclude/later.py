"""The report of a concluded study for a destination that came later."""

from dicom_node.conclude.writing import Writer
from dicom_node.domain import Profile, StudyState
from dicom_node.ledger import Ledger, findings, reports, studies
from dicom_node.ledger.rows import StudyRow
from dicom_node.sections import ResultsSection
from dicom_node.spool import Spool


def report_later(
    ledger: Ledger, spool: Spool, section: ResultsSection, study: StudyRow, profile: Profile, *, now: float
) -> None:
    """Write the report of the revision that `study` has for `profile`, and enter it beside those of other profiles.

    Nothing is entered where the study has changed meanwhile. Raises OutOfRoom, StorageFault, LedgerUnavailable.
    """
    with ledger.reading() as tx:
        outcomes = reports.outcomes(tx, study.study_id)
        found = {each.job.job_id: findings.of_job(tx, each.job.job_id) for each in outcomes if each.job is not None}
    # it is the first one that its destination gets: it replaces none
    written = list(Writer(spool, section, study, now=now).write([profile], outcomes, (), found))
    with ledger.transaction() as tx:
        standing = studies.lock(tx, study.study_id)
        same = (standing.state, standing.revision) == (StudyState.CONCLUDED, study.revision)
        if same and reports.outcomes(tx, study.study_id) == outcomes:
            reports.add(tx, written, study_id=study.study_id, revision=study.revision, now=now)
