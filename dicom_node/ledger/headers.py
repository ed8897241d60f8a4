"""Headers of examined images, kept in the spool until their study is purged: a study's report copies its identity."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from dicom_node.ledger.schema import header, job


@dataclass(frozen=True, kw_only=True)
class KeptHeader:
    """What an image's header said, durable in the spool."""

    spool_key: str
    #: SHA-256 of the data set that the image's results were made from, 64 hexadecimal digits: of a version whose
    #: predecessor's results stand, that of the predecessor
    input_digest: str


def store(tx: Connection, job_id: int, kept: KeptHeader) -> None:
    """Name the header of a job that is being finished."""
    tx.execute(insert(header).values(job_id=job_id, spool_key=kept.spool_key, input_digest=kept.input_digest))


def of_job(tx: Connection, job_id: int) -> KeptHeader | None:
    """The header of a job's image; None: none is kept, be it that it had none or that its study was purged."""
    row = tx.execute(select(header).where(header.c.job_id == job_id)).mappings().first()
    return None if row is None else KeptHeader(spool_key=row["spool_key"], input_digest=row["input_digest"])


def purge(tx: Connection, study_id: int) -> list[str]:
    """Forget the headers of a study; the spool keys, whose objects the caller removes once this is committed."""
    here = select(job.c.id).where(job.c.study_id == study_id)
    return list(tx.execute(delete(header).where(header.c.job_id.in_(here)).returning(header.c.spool_key)).scalars())
