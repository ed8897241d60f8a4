"""What reads an image, and what it found."""

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    and_,
    literal_column,
)

from dicom_node.domain import JobState
from dicom_node.ledger.columns import identifier, in_state, index, metadata, number, queue, refers_to, string, when

model = Table(
    "model",
    metadata,
    identifier(),
    Column("digest", Text, nullable=False, unique=True),
    string("name"),
    string("version"),
    Column("active", Boolean, nullable=False),
    when("registered_at"),
    # JSON list of code value, scheme and meaning (CID 7162); empty: registered by a release that did not note it
    string("family", ""),
)

# what of a model's findings is drawn, by the digest that jobs name: an image can be encoded again as it was at first
parameters = Table(
    "parameters",
    metadata,
    identifier(),
    Column("model", Text, ForeignKey("model.digest"), nullable=False),
    string("digest"),
    Column("threshold", Double, nullable=False),
    number("most_findings"),
    UniqueConstraint("model", "digest"),
)

job = Table(
    "job",
    metadata,
    identifier(),
    refers_to("instance_id", "instance.id"),
    refers_to("study_id", "study.id"),
    Column("model", Text, ForeignKey("model.digest"), nullable=False),
    string("parameters"),
    number("priority", 0),
    string("state"),
    *queue(),
    string("reason_code", ""),
    string("detail", ""),
    Column("score", Double),
    # code of the rejection notes that withdraw what its results supersede; empty: that stays where it is
    string("recall_title", ""),
    # in which order it is taken, the lowest first: see rank.py
    Column("rank", Double, server_default="0", nullable=False),
    UniqueConstraint("instance_id", "model", "parameters"),
)
Index("ix_job_study", job.c.study_id)
index("ix_job_queued", job.c.model, job.c.rank, job.c.id, where=in_state(job.c.state, JobState.QUEUED))
index(
    "ix_job_urgent",
    job.c.id,
    where=and_(in_state(job.c.state, JobState.QUEUED), job.c.priority > literal_column("0")),
)
index("ix_job_due", job.c.not_before, where=in_state(job.c.state, JobState.QUEUED))
index("ix_job_running", job.c.lease_until, where=in_state(job.c.state, JobState.RUNNING))
index("ix_job_failed", job.c.id, where=in_state(job.c.state, JobState.FAILED))
index("ix_job_unended", job.c.study_id, where=in_state(job.c.state, JobState.QUEUED, JobState.RUNNING))

finding = Table(
    "finding",
    metadata,
    identifier(),
    refers_to("job_id", "job.id"),
    number("ordinal"),
    *(Column(name, Double, nullable=False) for name in ("x0", "y0", "x1", "y1", "confidence")),
    Column("area_mm2", Double),
    *(number(name) for name in ("mask_row", "mask_column", "mask_rows", "mask_columns")),
    # zlib of numpy.packbits over the rows, one after the other
    Column("mask", LargeBinary, nullable=False),
    UniqueConstraint("job_id", "ordinal"),
)

# what a report needs of an image besides its findings
header = Table(
    "header",
    metadata,
    identifier(),
    refers_to("job_id", "job.id", unique=True),
    string("spool_key"),
    # of the data set that the image's results were made from: of a version whose predecessor's stand, the predecessor's
    string("input_digest"),
)
