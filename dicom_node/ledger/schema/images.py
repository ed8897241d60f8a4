"""What came: studies and the images in them, and what is known of images that did not come by themselves."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text, UniqueConstraint, false, literal_column, true

from dicom_node.domain import InstanceState, StudyState
from dicom_node.ledger.columns import identifier, in_state, index, maybe_when, metadata, number, refers_to, string, when

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
    # received while no model was active: models.insert_missing looks here
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
