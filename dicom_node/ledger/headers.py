"""Headers of examined images, kept in the spool until their study is purged: a study's report copies its identity."""

from dataclasses import dataclass

from sqlalchemy import Connection, Select, insert, literal_column, select, update

from dicom_node.ledger.schema import header, job

#: purged ones stay as tombstones without a key
_KEPT = header.c.spool_key != literal_column("''")


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
    row = tx.execute(select(header).where(header.c.job_id == job_id, _KEPT)).mappings().first()
    return None if row is None else KeptHeader(spool_key=row["spool_key"], input_digest=row["input_digest"])


def of_study(tx: Connection, study_id: int) -> dict[int, KeptHeader]:
    """By job, the headers of a study's images; those that are kept."""
    rows = tx.execute(select(header).join(job, job.c.id == header.c.job_id).where(job.c.study_id == study_id, _KEPT))
    return {
        row["job_id"]: KeptHeader(spool_key=row["spool_key"], input_digest=row["input_digest"])
        for row in rows.mappings()
    }


def kept() -> Select[str]:
    """The spool keys of all headers that are kept, to be united with others."""
    return select(header.c.spool_key).where(_KEPT)


def purge(tx: Connection, study_id: int) -> list[str]:
    """Forget where the headers of a study lie; the spool keys, whose objects the caller removes after the commit."""
    here = header.c.job_id.in_(select(job.c.id).where(job.c.study_id == study_id))
    gone = list(tx.execute(kept().where(here)).scalars())
    tx.execute(update(header).where(here).values(spool_key=""))
    return gone
