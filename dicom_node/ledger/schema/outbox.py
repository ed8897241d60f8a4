"""What goes where, whether it is kept there, and what is withdrawn again."""

from sqlalchemy import Boolean, Column, Index, Integer, Table, UniqueConstraint, and_, false, literal_column

from dicom_node.domain import CommitmentState, DeliveryState
from dicom_node.ledger.columns import (
    identifier,
    in_state,
    index,
    maybe_when,
    metadata,
    number,
    queue,
    refers_to,
    string,
    when,
)

delivery = Table(
    "delivery",
    metadata,
    identifier(),
    refers_to("result_id", "result.id"),
    refers_to("study_id", "study.id"),
    string("destination"),
    string("state"),
    *queue(),
    Column("released", Boolean, server_default=false(), nullable=False),
    # times that its commitment was asked for in vain
    number("commitment_attempts", 0),
    UniqueConstraint("result_id", "destination"),
)
Index("ix_delivery_study", delivery.c.study_id)
index(
    "ix_delivery_pending",
    delivery.c.destination,
    delivery.c.not_before,
    delivery.c.id,
    where=in_state(delivery.c.state, DeliveryState.PENDING),
)
# since when the first has waited, and which have waited too long
index(
    "ix_delivery_decided",
    delivery.c.destination,
    delivery.c.created_at,
    where=in_state(delivery.c.state, DeliveryState.PENDING),
)
index("ix_delivery_sending", delivery.c.lease_until, where=in_state(delivery.c.state, DeliveryState.SENDING))
index("ix_delivery_held", delivery.c.destination, delivery.c.id, where=in_state(delivery.c.state, DeliveryState.HELD))
index(
    "ix_delivery_failed",
    delivery.c.destination,
    delivery.c.id,
    where=in_state(delivery.c.state, DeliveryState.FAILED),
)
index(
    "ix_delivery_stored",
    delivery.c.destination,
    delivery.c.ended_at,
    where=in_state(delivery.c.state, DeliveryState.STORED),
)

index(
    "ix_delivery_uncommitted",
    delivery.c.destination,
    delivery.c.not_before,
    where=in_state(delivery.c.state, DeliveryState.UNCOMMITTED),
)
index(
    "ix_delivery_committed",
    delivery.c.destination,
    delivery.c.ended_at,
    where=in_state(delivery.c.state, DeliveryState.COMMITTED),
)

# one Storage Commitment transaction, of the node with a destination or of a peer with the node
commitment = Table(
    "commitment",
    metadata,
    identifier(),
    # its name in the configuration
    string("peer"),
    string("transaction_uid"),
    string("state"),
    number("attempts", 0),
    # AWAITED: until when; OWED: when the report is sent next
    when("not_before"),
    string("last_error", ""),
    when("created_at"),
    maybe_when("ended_at"),
    UniqueConstraint("peer", "transaction_uid"),
)
index(
    "ix_commitment_awaited",
    commitment.c.peer,
    commitment.c.not_before,
    where=in_state(commitment.c.state, CommitmentState.AWAITED),
)
index("ix_commitment_owed", commitment.c.not_before, where=in_state(commitment.c.state, CommitmentState.OWED))

commitment_item = Table(
    "commitment_item",
    metadata,
    identifier(),
    refers_to("commitment_id", "commitment.id"),
    string("sop_class_uid"),
    string("sop_instance_uid"),
    # of the result that the node asked about; None: the transaction is about instances that were received
    refers_to("delivery_id", "delivery.id", nullable=True),
    # Failure Reason (0008,1197), 0 for success; None: not decided
    Column("failure_reason", Integer),
    UniqueConstraint("commitment_id", "sop_instance_uid"),
)
Index("ix_commitment_item_sop_instance_uid", commitment_item.c.sop_instance_uid)

# a result of ours that a destination stored, and that is to be withdrawn there
withdrawal = Table(
    "withdrawal",
    metadata,
    identifier(),
    refers_to("study_id", "study.id"),
    refers_to("delivery_id", "delivery.id", unique=True),
    string("title"),
    when("at"),
    # the rejection note, a result with a delivery of its own; None: it is not written yet
    refers_to("note_id", "result.id", nullable=True),
    # why no note can be written; empty: nothing is in the way
    string("obstacle", ""),
)
Index("ix_withdrawal_study", withdrawal.c.study_id)
index(
    "ix_withdrawal_unnoted",
    withdrawal.c.study_id,
    withdrawal.c.id,
    where=and_(withdrawal.c.note_id.is_(None), withdrawal.c.obstacle == literal_column("''")),
)
