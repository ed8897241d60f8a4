"""From an object, or from an identifier that only its keyed hash is known of, to its study."""

from collections.abc import Callable, Iterator

from sqlalchemy import Connection, Select, select

from dicom_node.ledger.rows import StudyRow, study_row
from dicom_node.ledger.schema import instance, result, study

#: rows that are fetched at a time
_STEP = 1000


def study_of_result(tx: Connection, sop_instance_uid: str) -> StudyRow | None:
    """The study that a result of ours belongs to; None: it is none of ours."""
    rows = tx.execute(
        select(study).join(result, result.c.study_id == study.c.id).where(result.c.sop_instance_uid == sop_instance_uid)
    )
    row = rows.mappings().first()
    return None if row is None else study_row(row)


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
