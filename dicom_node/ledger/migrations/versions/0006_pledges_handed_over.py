"""What a peer was pledged may go once an archive has committed to keeping it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instance", sa.Column("archive_asked_at", sa.Double(), nullable=True))
    op.create_index("ix_commitment_item_sop_instance_uid", "commitment_item", ["sop_instance_uid"])
