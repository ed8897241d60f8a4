"""What is said of a study: its reports, and the objects that say it."""

from sqlalchemy import Boolean, Column, Index, Table, Text, UniqueConstraint

from dicom_node.domain import ResultState
from dicom_node.ledger.columns import identifier, in_state, index, maybe_when, metadata, number, refers_to, string, when

report = Table(
    "report",
    metadata,
    identifier(),
    refers_to("study_id", "study.id"),
    number("revision"),
    when("concluded_at"),
    # JSON list of the SOP Instance UIDs that the conclusion did not wait for
    string("missing"),
    UniqueConstraint("study_id", "revision"),
)

report_job = Table(
    "report_job",
    metadata,
    identifier(),
    refers_to("report_id", "report.id"),
    refers_to("job_id", "job.id"),
    UniqueConstraint("report_id", "job_id"),
)
Index("ix_report_job_job", report_job.c.job_id)

result = Table(
    "result",
    metadata,
    identifier(),
    Column("sop_instance_uid", Text, nullable=False, unique=True),
    refers_to("study_id", "study.id"),
    refers_to("job_id", "job.id", nullable=True),
    refers_to("report_id", "report.id", nullable=True),
    *(string(name) for name in ("kind", "profile", "encoder_version", "sop_class_uid", "series_instance_uid")),
    *(string(name) for name in ("transfer_syntax_uid", "spool_key", "digest")),
    # SOP Instance UID of the result that this one supersedes
    Column("predecessor", Text),
    # False once superseded: one current result set a study (law 11)
    Column("is_current", Boolean, nullable=False),
    string("state"),
    when("created_at"),
    # code of the rejection notes that withdraw it; empty: it was never recalled
    string("recall_title", ""),
    maybe_when("recalled_at"),
    UniqueConstraint("job_id", "kind", "profile", "encoder_version"),
    UniqueConstraint("report_id", "kind", "profile", "encoder_version"),
)
Index("ix_result_study", result.c.study_id)
index("ix_result_kept", result.c.created_at, where=in_state(result.c.state, ResultState.KEPT))
