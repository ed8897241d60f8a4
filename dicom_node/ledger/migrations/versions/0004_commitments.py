"""Storage Commitment, asked for by the node and by its peers, and what the node has pledged to keep."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.add_column("instance", sa.Column("pledged", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_instance_pledged",
        "instance",
        ["study_id"],
        sqlite_where=sa.text("pledged = 1"),
        postgresql_where=sa.text("pledged = true"),
    )
    op.add_column("delivery", sa.Column("commitment_attempts", sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        "ix_delivery_uncommitted", "delivery", ["destination", "not_before"], **_where("state = 'uncommitted'")
    )
    op.create_index("ix_delivery_committed", "delivery", ["destination", "ended_at"], **_where("state = 'committed'"))
    op.create_table(
        "commitment",
        sa.Column("id", KEY, nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("transaction_uid", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_commitment"),
        sa.UniqueConstraint("peer", "transaction_uid", name="uq_commitment_peer_transaction_uid"),
    )
    op.create_index("ix_commitment_awaited", "commitment", ["peer", "not_before"], **_where("state = 'awaited'"))
    op.create_index("ix_commitment_owed", "commitment", ["not_before"], **_where("state = 'owed'"))
    op.create_table(
        "commitment_item",
        sa.Column("id", KEY, nullable=False),
        sa.Column("commitment_id", KEY, nullable=False),
        sa.Column("sop_class_uid", sa.Text(), nullable=False),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False),
        sa.Column("delivery_id", KEY, nullable=True),
        sa.Column("failure_reason", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["commitment_id"], ["commitment.id"], name="fk_commitment_item_commitment_id"),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name="fk_commitment_item_delivery_id"),
        sa.PrimaryKeyConstraint("id", name="pk_commitment_item"),
        sa.UniqueConstraint(
            "commitment_id", "sop_instance_uid", name="uq_commitment_item_commitment_id_sop_instance_uid"
        ),
    )
