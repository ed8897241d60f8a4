"""The tables of the first release."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "model",
        sa.Column("id", KEY, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("registered_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model"),
        sa.UniqueConstraint("digest", name="uq_model_digest"),
    )
    op.create_table(
        "process",
        sa.Column("id", KEY, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_process"),
        sa.UniqueConstraint("role", "host", "pid", name="uq_process_role_host_pid"),
    )
    op.create_table(
        "study",
        sa.Column("id", KEY, nullable=False),
        sa.Column("study_instance_uid", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_arrival", sa.Double(), nullable=False),
        sa.Column("last_arrival", sa.Double(), nullable=False),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.Column("concluded_at", sa.Double(), nullable=True),
        sa.Column("accession_number", sa.Text(), server_default="", nullable=False),
        sa.Column("patient_id", sa.Text(), server_default="", nullable=False),
        sa.Column("issuer_of_patient_id", sa.Text(), server_default="", nullable=False),
        sa.Column("identity_key", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("study_instance_uid", name="uq_study_study_instance_uid"),
    )
    op.create_index("ix_study_accession_number", "study", ["accession_number"], **_where("accession_number != ''"))
    op.create_index("ix_study_complete", "study", ["completed_at"], **_where("state = 'complete'"))
    op.create_index("ix_study_last_arrival", "study", ["last_arrival"])
    op.create_index("ix_study_open", "study", ["last_arrival"], **_where("state = 'open'"))
    op.create_index("ix_study_remembered", "study", ["concluded_at"], **_where("identity_key != ''"))
    op.create_table(
        "event",
        sa.Column("id", KEY, nullable=False),
        sa.Column("study_id", KEY, nullable=True),
        sa.Column("noun", sa.Text(), nullable=False),
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_event_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
    )
    op.create_index("ix_event_study", "event", ["study_id", "id"])
    op.create_table(
        "instance",
        sa.Column("id", KEY, nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("sop_class_uid", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("transfer_syntax_uid", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("calling_ae_title", sa.Text(), nullable=False),
        sa.Column("spool_key", sa.Text(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), server_default="", nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("without_job", sa.Boolean(), nullable=False),
        sa.Column("picture_digest", sa.Text(), nullable=True),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_instance_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
        sa.UniqueConstraint("sop_instance_uid", "digest", name="uq_instance_sop_instance_uid_digest"),
    )
    op.create_index(
        "ix_instance_current",
        "instance",
        ["sop_instance_uid"],
        unique=True,
        sqlite_where=sa.text("is_current = 1"),
        postgresql_where=sa.text("is_current = true"),
    )
    op.create_index("ix_instance_quarantined", "instance", ["id"], **_where("state = 'quarantined'"))
    op.create_index("ix_instance_study", "instance", ["study_id"])
    op.create_index(
        "ix_instance_without_job",
        "instance",
        ["id"],
        sqlite_where=sa.text("without_job = 1"),
        postgresql_where=sa.text("without_job = true"),
    )
    op.create_table(
        "report",
        sa.Column("id", KEY, nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("concluded_at", sa.Double(), nullable=False),
        sa.Column("missing", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_report_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_report"),
        sa.UniqueConstraint("study_id", "revision", name="uq_report_study_id_revision"),
    )
    op.create_table(
        "job",
        sa.Column("id", KEY, nullable=False),
        sa.Column("instance_id", KEY, nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("reason_code", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name="fk_job_instance_id"),
        sa.ForeignKeyConstraint(["model"], ["model.digest"], name="fk_job_model"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_job_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("instance_id", "model", "parameters", name="uq_job_instance_id_model_parameters"),
    )
    op.create_index("ix_job_due", "job", ["not_before"], **_where("state = 'queued'"))
    op.create_index("ix_job_failed", "job", ["id"], **_where("state = 'failed'"))
    op.create_index("ix_job_queued", "job", [sa.literal_column("priority DESC"), "id"], **_where("state = 'queued'"))
    op.create_index("ix_job_running", "job", ["lease_until"], **_where("state = 'running'"))
    op.create_index("ix_job_study", "job", ["study_id"])
    op.create_index("ix_job_unended", "job", ["study_id"], **_where("state = 'queued' OR state = 'running'"))
    op.create_table(
        "finding",
        sa.Column("id", KEY, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("x0", sa.Double(), nullable=False),
        sa.Column("y0", sa.Double(), nullable=False),
        sa.Column("x1", sa.Double(), nullable=False),
        sa.Column("y1", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("area_mm2", sa.Double(), nullable=True),
        sa.Column("mask_row", sa.Integer(), nullable=False),
        sa.Column("mask_column", sa.Integer(), nullable=False),
        sa.Column("mask_rows", sa.Integer(), nullable=False),
        sa.Column("mask_columns", sa.Integer(), nullable=False),
        sa.Column("mask", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_finding_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_finding"),
        sa.UniqueConstraint("job_id", "ordinal", name="uq_finding_job_id_ordinal"),
    )
    op.create_table(
        "report_job",
        sa.Column("id", KEY, nullable=False),
        sa.Column("report_id", KEY, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_report_job_job_id"),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name="fk_report_job_report_id"),
        sa.PrimaryKeyConstraint("id", name="pk_report_job"),
        sa.UniqueConstraint("report_id", "job_id", name="uq_report_job_report_id_job_id"),
    )
    op.create_index("ix_report_job_job", "report_job", ["job_id"])
    op.create_table(
        "result",
        sa.Column("id", KEY, nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("job_id", KEY, nullable=True),
        sa.Column("report_id", KEY, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("encoder_version", sa.Text(), nullable=False),
        sa.Column("sop_class_uid", sa.Text(), nullable=False),
        sa.Column("series_instance_uid", sa.Text(), nullable=False),
        sa.Column("transfer_syntax_uid", sa.Text(), nullable=False),
        sa.Column("spool_key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("predecessor", sa.Text(), nullable=True),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_result_job_id"),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name="fk_result_report_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_result_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_result"),
        sa.UniqueConstraint(
            "job_id", "kind", "profile", "encoder_version", name="uq_result_job_id_kind_profile_encoder_version"
        ),
        sa.UniqueConstraint(
            "report_id", "kind", "profile", "encoder_version", name="uq_result_report_id_kind_profile_encoder_version"
        ),
        sa.UniqueConstraint("sop_instance_uid", name="uq_result_sop_instance_uid"),
    )
    op.create_index("ix_result_kept", "result", ["created_at"], **_where("state = 'kept'"))
    op.create_index("ix_result_study", "result", ["study_id"])
    op.create_table(
        "delivery",
        sa.Column("id", KEY, nullable=False),
        sa.Column("result_id", KEY, nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("token", sa.Integer(), server_default="0", nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("released", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name="fk_delivery_result_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_delivery_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.UniqueConstraint("result_id", "destination", name="uq_delivery_result_id_destination"),
    )
    op.create_index("ix_delivery_failed", "delivery", ["destination", "id"], **_where("state = 'failed'"))
    op.create_index("ix_delivery_held", "delivery", ["destination", "id"], **_where("state = 'held'"))
    op.create_index(
        "ix_delivery_pending", "delivery", ["destination", "not_before", "id"], **_where("state = 'pending'")
    )
    op.create_index("ix_delivery_sending", "delivery", ["lease_until"], **_where("state = 'sending'"))
    op.create_index("ix_delivery_stored", "delivery", ["destination", "ended_at"], **_where("state = 'stored'"))
    op.create_index("ix_delivery_study", "delivery", ["study_id"])
