"""The tables. States are text; each queue is found through a partial index, so that history costs nothing.

SQLite and PostgreSQL use a partial index only where the query repeats its condition word for word, which a
bound parameter is not: ask for a state with `in_state`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
    or_,
    true,
)

from dicom_node.domain import DeliveryState, InstanceState, JobState, ResultState, State, StudyState

#: the migration that this code was written for
REVISION = "0001"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


def in_state(column: ColumnElement[str], *states: State) -> ColumnElement[bool]:
    """`column` is one of `states`, written out as the partial indexes are."""
    return or_(*(column == literal_column(f"'{state.value}'") for state in states))


def _id() -> Column[int]:
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True)


def _text(name: str, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _number(name: str, default: int | None = None) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=None if default is None else str(default))


def _when(name: str) -> Column[float]:
    return Column(name, Double, nullable=False)


def _maybe_when(name: str) -> Column[float | None]:
    return Column(name, Double)


def _to(name: str, target: str, *, nullable: bool = False) -> Column[int]:
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column(name, kind, ForeignKey(target), nullable=nullable)


def _queue() -> tuple[Column[int] | Column[float] | Column[float | None] | Column[str], ...]:
    """What each queue needs: see law 6. `token` only grows: a fence against workers that wake up late."""
    return (
        _number("attempts", 0),
        _when("not_before"),
        _maybe_when("lease_until"),
        _number("token", 0),
        _text("owner", ""),
        _text("last_error", ""),
        _when("created_at"),
        _maybe_when("ended_at"),
    )


def _index(name: str, *columns: ColumnElement[object], where: ColumnElement[bool], unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


study = Table(
    "study",
    metadata,
    _id(),
    Column("study_instance_uid", Text, nullable=False, unique=True),
    _text("state"),
    _number("revision", 1),
    _number("priority", 0),
    _when("first_arrival"),
    _when("last_arrival"),
    _maybe_when("completed_at"),
    _maybe_when("concluded_at"),
    # the identifying values of the whole ledger; `forget` blanks them
    _text("accession_number", ""),
    _text("patient_id", ""),
    _text("issuer_of_patient_id", ""),
    # key of instance.identity; blanked too, after which those digests say nothing any more
    _text("identity_key", ""),
)
Index("ix_study_last_arrival", study.c.last_arrival)
_index("ix_study_accession_number", study.c.accession_number, where=study.c.accession_number != literal_column("''"))
_index("ix_study_open", study.c.last_arrival, where=in_state(study.c.state, StudyState.OPEN))
_index("ix_study_complete", study.c.completed_at, where=in_state(study.c.state, StudyState.COMPLETE))
# retention has still to come by
_index("ix_study_remembered", study.c.concluded_at, where=study.c.identity_key != literal_column("''"))

instance = Table(
    "instance",
    metadata,
    _id(),
    _to("study_id", "study.id"),
    _text("sop_instance_uid"),
    _text("sop_class_uid"),
    _text("digest"),
    _text("transfer_syntax_uid"),
    Column("size", BigInteger, nullable=False),
    _text("calling_ae_title"),
    _text("spool_key"),
    _when("received_at"),
    _text("state"),
    _text("reason_code", ""),
    # the version that its SOP Instance UID stands for today
    Column("is_current", Boolean, nullable=False),
    # received while no model was active: jobs.insert_missing looks here
    Column("without_job", Boolean, nullable=False),
    Column("picture_digest", Text),
    # keyed digest of the identifying values, to tell whether a corrected header changed them
    _text("identity"),
    UniqueConstraint("sop_instance_uid", "digest"),
)
Index("ix_instance_study", instance.c.study_id)
_index("ix_instance_current", instance.c.sop_instance_uid, where=instance.c.is_current == true(), unique=True)
_index("ix_instance_without_job", instance.c.id, where=instance.c.without_job == true())
_index("ix_instance_quarantined", instance.c.id, where=in_state(instance.c.state, InstanceState.QUARANTINED))

model = Table(
    "model",
    metadata,
    _id(),
    Column("digest", Text, nullable=False, unique=True),
    _text("name"),
    _text("version"),
    Column("active", Boolean, nullable=False),
    _when("registered_at"),
)

job = Table(
    "job",
    metadata,
    _id(),
    _to("instance_id", "instance.id"),
    _to("study_id", "study.id"),
    Column("model", Text, ForeignKey("model.digest"), nullable=False),
    _text("parameters"),
    _number("priority", 0),
    _text("state"),
    *_queue(),
    _text("reason_code", ""),
    _text("detail", ""),
    Column("score", Double),
    UniqueConstraint("instance_id", "model", "parameters"),
)
Index("ix_job_study", job.c.study_id)
_index("ix_job_queued", job.c.priority.desc(), job.c.id, where=in_state(job.c.state, JobState.QUEUED))
_index("ix_job_due", job.c.not_before, where=in_state(job.c.state, JobState.QUEUED))
_index("ix_job_running", job.c.lease_until, where=in_state(job.c.state, JobState.RUNNING))
_index("ix_job_failed", job.c.id, where=in_state(job.c.state, JobState.FAILED))
_index("ix_job_unended", job.c.study_id, where=in_state(job.c.state, JobState.QUEUED, JobState.RUNNING))

finding = Table(
    "finding",
    metadata,
    _id(),
    _to("job_id", "job.id"),
    _number("ordinal"),
    *(Column(name, Double, nullable=False) for name in ("x0", "y0", "x1", "y1", "confidence")),
    Column("area_mm2", Double),
    *(_number(name) for name in ("mask_row", "mask_column", "mask_rows", "mask_columns")),
    # zlib of numpy.packbits over the rows, one after the other
    Column("mask", LargeBinary, nullable=False),
    UniqueConstraint("job_id", "ordinal"),
)

report = Table(
    "report",
    metadata,
    _id(),
    _to("study_id", "study.id"),
    _number("revision"),
    _when("concluded_at"),
    # JSON list of the SOP Instance UIDs that the conclusion did not wait for
    _text("missing"),
    UniqueConstraint("study_id", "revision"),
)

report_job = Table(
    "report_job",
    metadata,
    _id(),
    _to("report_id", "report.id"),
    _to("job_id", "job.id"),
    UniqueConstraint("report_id", "job_id"),
)
Index("ix_report_job_job", report_job.c.job_id)

result = Table(
    "result",
    metadata,
    _id(),
    Column("sop_instance_uid", Text, nullable=False, unique=True),
    _to("study_id", "study.id"),
    _to("job_id", "job.id", nullable=True),
    _to("report_id", "report.id", nullable=True),
    *(_text(name) for name in ("kind", "profile", "encoder_version", "sop_class_uid", "series_instance_uid")),
    *(_text(name) for name in ("transfer_syntax_uid", "spool_key", "digest")),
    # SOP Instance UID of the result that this one supersedes
    Column("predecessor", Text),
    # False once superseded: one current result set a study (law 11)
    Column("is_current", Boolean, nullable=False),
    _text("state"),
    _when("created_at"),
    UniqueConstraint("job_id", "kind", "profile", "encoder_version"),
    UniqueConstraint("report_id", "kind", "profile", "encoder_version"),
)
Index("ix_result_study", result.c.study_id)
_index("ix_result_kept", result.c.created_at, where=in_state(result.c.state, ResultState.KEPT))

delivery = Table(
    "delivery",
    metadata,
    _id(),
    _to("result_id", "result.id"),
    _to("study_id", "study.id"),
    _text("destination"),
    _text("state"),
    *_queue(),
    Column("released", Boolean, server_default=false(), nullable=False),
    UniqueConstraint("result_id", "destination"),
)
Index("ix_delivery_study", delivery.c.study_id)
_index(
    "ix_delivery_pending",
    delivery.c.destination,
    delivery.c.not_before,
    delivery.c.id,
    where=in_state(delivery.c.state, DeliveryState.PENDING),
)
_index("ix_delivery_sending", delivery.c.lease_until, where=in_state(delivery.c.state, DeliveryState.SENDING))
_index("ix_delivery_held", delivery.c.destination, delivery.c.id, where=in_state(delivery.c.state, DeliveryState.HELD))
_index(
    "ix_delivery_failed",
    delivery.c.destination,
    delivery.c.id,
    where=in_state(delivery.c.state, DeliveryState.FAILED),
)
_index(
    "ix_delivery_stored",
    delivery.c.destination,
    delivery.c.ended_at,
    where=in_state(delivery.c.state, DeliveryState.STORED),
)

event = Table(
    "event",
    metadata,
    _id(),
    _to("study_id", "study.id", nullable=True),
    _text("noun"),
    Column("key", BigInteger, nullable=False),
    _text("from_state"),
    _text("to_state"),
    _text("reason", ""),
    _when("at"),
)
Index("ix_event_study", event.c.study_id, event.c.id)

process = Table(
    "process",
    metadata,
    _id(),
    _text("role"),
    _text("host"),
    _number("pid"),
    _text("version"),
    _when("started_at"),
    _when("seen_at"),
    UniqueConstraint("role", "host", "pid"),
)
