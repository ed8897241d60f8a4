"""The tables. States are text; each queue is found through a partial index, so that history costs nothing."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
    literal_column,
    true,
)

from dicom_node.domain import CommitmentState, DeliveryState, InstanceState, JobState, ResultState, StudyState
from dicom_node.ledger.columns import identifier, index, maybe_when, number, queue, refers_to, string, when
from dicom_node.ledger.columns import in_state as in_state
from dicom_node.ledger.columns import metadata as metadata

#: the migration that this code was written for
REVISION = "0007"

study = Table(
    "study",
    metadata,
    identifier(),
    Column("study_instance_uid", Text, nullable=False, unique=True),
    string("state"),
    number("revision", 1),
    number("priority", 0),
    when("first_arrival"),
    when("last_arrival"),
    maybe_when("completed_at"),
    maybe_when("concluded_at"),
    # the identifying values of the whole ledger; `forget` blanks them
    string("accession_number", ""),
    string("patient_id", ""),
    string("issuer_of_patient_id", ""),
    # key of instance.identity; blanked too, after which those digests say nothing any more
    string("identity_key", ""),
)
Index("ix_study_last_arrival", study.c.last_arrival)
index("ix_study_accession_number", study.c.accession_number, where=study.c.accession_number != literal_column("''"))
index("ix_study_open", study.c.last_arrival, where=in_state(study.c.state, StudyState.OPEN))
index("ix_study_complete", study.c.completed_at, where=in_state(study.c.state, StudyState.COMPLETE))
# retention has still to come by
index("ix_study_remembered", study.c.concluded_at, study.c.id, where=study.c.identity_key != literal_column("''"))

instance = Table(
    "instance",
    metadata,
    identifier(),
    refers_to("study_id", "study.id"),
    string("sop_instance_uid"),
    string("sop_class_uid"),
    string("digest"),
    string("transfer_syntax_uid"),
    Column("size", BigInteger, nullable=False),
    string("calling_ae_title"),
    string("spool_key"),
    when("received_at"),
    string("state"),
    string("reason_code", ""),
    # the version that its SOP Instance UID stands for today
    Column("is_current", Boolean, nullable=False),
    # received while no model was active: jobs.insert_missing looks here
    Column("without_job", Boolean, nullable=False),
    Column("picture_digest", Text),
    # keyed digest of the identifying values, to tell whether a corrected header changed them
    string("identity"),
    # a peer was told that the node keeps it (Storage Commitment)
    Column("pledged", Boolean, server_default=false(), nullable=False),
    # when an archive was last asked to commit to it in the node's place
    maybe_when("archive_asked_at"),
    UniqueConstraint("sop_instance_uid", "digest"),
)
Index("ix_instance_study", instance.c.study_id)
index("ix_instance_current", instance.c.sop_instance_uid, where=instance.c.is_current == true(), unique=True)
index("ix_instance_without_job", instance.c.id, where=instance.c.without_job == true())
index("ix_instance_quarantined", instance.c.id, where=in_state(instance.c.state, InstanceState.QUARANTINED))
index("ix_instance_pledged", instance.c.study_id, where=instance.c.pledged == true())

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

# images that the node fetches itself after an outage (`chexnode catch-up`)
caught_up = Table(
    "caught_up",
    metadata,
    identifier(),
    Column("sop_instance_uid", Text, nullable=False, unique=True),
    # name of the only peer that results of it go to
    string("destination"),
    when("asked_at"),
)

# source images that a rejection note named, whether or not they ever came
rejected = Table(
    "rejected",
    metadata,
    identifier(),
    Column("sop_instance_uid", Text, nullable=False, unique=True),
    # code of the note's title
    string("title"),
    # SOP Instance UID of the note
    string("note"),
    when("at"),
)

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
