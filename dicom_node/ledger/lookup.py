"""From an object, or from an identifier that only its keyed hash is known of, to its study."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Select, or_, select

from dicom_node.domain import JobState
from dicom_node.ledger.rows import StudyRow, study_row
from dicom_node.ledger.schema import instance, job, report_job, result, study

#: rows that are fetched at a time
_STEP = 1000


def study_of_result(tx: Connection, sop_instance_uid: str) -> StudyRow | None:
    """The study that a result of ours belongs to; None: it is none of ours."""
    rows = tx.execute(
        select(study).join(result, result.c.study_id == study.c.id).where(result.c.sop_instance_uid == sop_instance_uid)
    )
    row = rows.mappings().first()
    return None if row is None else study_row(row)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a result was made from."""

    study: StudyRow
    #: SOP Instance UIDs of its images; none: it is about the study as a whole, or about results of it
    images: frozenset[str]


def source_of_result(tx: Connection, sop_instance_uid: str) -> Source | None:
    """What a result of ours was made from: its image, or those analysed images that a report tells of; None: not ours.

    Of a report, an image that a newer version replaced is still the same image.
    """
    of = study_of_result(tx, sop_instance_uid)
    if of is None:
        return None
    made = select(result).where(result.c.sop_instance_uid == sop_instance_uid).subquery()
    of_job = select(made.c.job_id).where(made.c.job_id.is_not(None))
    of_report = select(report_job.c.job_id).join(made, made.c.report_id == report_job.c.report_id)
    images = tx.execute(
        select(instance.c.sop_instance_uid)
        .join(job, job.c.instance_id == instance.c.id)
        .where(or_(job.c.id.in_(of_job), job.c.id.in_(of_report)), job.c.state == JobState.DONE.value)
    )
    return Source(study=of, images=frozenset(images.scalars()))


def matching(tx: Connection, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """(what it is, Study Instance UID) of each identifier that `is_wanted` says yes to; every one is looked at."""
    columns: list[tuple[str, Select[str, str]]] = [
        ("study", select(study.c.study_instance_uid, study.c.study_instance_uid)),
        ("accession number", select(study.c.accession_number, study.c.study_instance_uid)),
        ("patient", select(study.c.patient_id, study.c.study_instance_uid)),
        (
            "image",
            select(instance.c.sop_instance_uid, study.c.study_instance_uid).join(
                study, study.c.id == instance.c.study_id
            ),
        ),
        (
            "result",
            select(result.c.sop_instance_uid, study.c.study_instance_uid).join(study, study.c.id == result.c.study_id),
        ),
    ]
    for what, query in columns:
        for row in tx.execute(query).yield_per(_STEP):
            if row[0] and is_wanted(row[0]):
                yield what, row[1]
