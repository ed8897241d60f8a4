"""What a later encoding needs, images that were rejected, and results that are withdrawn."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.add_column("model", sa.Column("family", sa.Text(), server_default="", nullable=False))
    op.add_column("job", sa.Column("recall_title", sa.Text(), server_default="", nullable=False))
    op.add_column("result", sa.Column("recall_title", sa.Text(), server_default="", nullable=False))
    op.add_column("result", sa.Column("recalled_at", sa.Double(), nullable=True))
    op.create_table(
        "parameters",
        sa.Column("id", KEY, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("most_findings", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["model.digest"], name="fk_parameters_model"),
        sa.PrimaryKeyConstraint("id", name="pk_parameters"),
        sa.UniqueConstraint("model", "digest", name="uq_parameters_model_digest"),
    )
    op.create_table(
        "rejected",
        sa.Column("id", KEY, nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rejected"),
        sa.UniqueConstraint("sop_instance_uid", name="uq_rejected_sop_instance_uid"),
    )
    op.create_table(
        "withdrawal",
        sa.Column("id", KEY, nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("delivery_id", KEY, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("note_id", KEY, nullable=True),
        sa.Column("obstacle", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name="fk_withdrawal_delivery_id"),
        sa.ForeignKeyConstraint(["note_id"], ["result.id"], name="fk_withdrawal_note_id"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_withdrawal_study_id"),
        sa.PrimaryKeyConstraint("id", name="pk_withdrawal"),
        sa.UniqueConstraint("delivery_id", name="uq_withdrawal_delivery_id"),
    )
    op.create_index("ix_withdrawal_study", "withdrawal", ["study_id"])
    op.create_index(
        "ix_withdrawal_unnoted", "withdrawal", ["study_id", "id"], **_where("note_id IS NULL AND obstacle = ''")
    )
