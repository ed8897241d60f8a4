"""Waiting jobs have a rank, so that an index finds the next; what grew with what waits or is over has its index."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: seconds that a priority of 1 was worth by default when this was written
_LEVEL = 14400
#: priority of what might be a rejection note, until this step
_NOTE = 2


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.add_column("job", sa.Column("rank", sa.Double(), server_default="0", nullable=False))
    # what has ended for good needs none: a table of millions is not written anew
    op.execute(
        f"UPDATE job SET rank = CASE WHEN priority < {_NOTE} THEN created_at - priority * {_LEVEL} ELSE -1e12 END"  # noqa: S608
        " WHERE state = 'queued' OR state = 'running' OR state = 'failed'"
    )
    op.drop_index("ix_job_queued", "job")
    op.create_index("ix_job_queued", "job", ["model", "rank", "id"], **_where("state = 'queued'"))
    op.create_index("ix_job_urgent", "job", ["id"], **_where("state = 'queued' AND priority > 0"))
    op.create_index("ix_delivery_decided", "delivery", ["destination", "created_at"], **_where("state = 'pending'"))
    op.drop_index("ix_study_remembered", "study")
    op.create_index("ix_study_remembered", "study", ["concluded_at", "id"], **_where("identity_key != ''"))
