"""What happened, and who is at work."""

from sqlalchemy import BigInteger, Column, Index, Table, UniqueConstraint

from dicom_node.ledger.columns import identifier, metadata, number, refers_to, string, when

event = Table(
    "event",
    metadata,
    identifier(),
    refers_to("study_id", "study.id", nullable=True),
    string("noun"),
    Column("key", BigInteger, nullable=False),
    string("from_state"),
    string("to_state"),
    string("reason", ""),
    when("at"),
)
Index("ix_event_study", event.c.study_id, event.c.id)

process = Table(
    "process",
    metadata,
    identifier(),
    string("role"),
    string("host"),
    number("pid"),
    string("version"),
    when("started_at"),
    when("seen_at"),
    UniqueConstraint("role", "host", "pid"),
)
