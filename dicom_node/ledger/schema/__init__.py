"""The tables. States are text; each queue is found through a partial index, so that history costs nothing."""

from dicom_node.ledger.columns import in_state, metadata
from dicom_node.ledger.schema.analysis import finding, header, job, model, parameters
from dicom_node.ledger.schema.images import caught_up, instance, rejected, study
from dicom_node.ledger.schema.life import event, process
from dicom_node.ledger.schema.outbox import commitment, commitment_item, delivery, withdrawal
from dicom_node.ledger.schema.results import report, report_job, result

#: the migration that this code was written for
REVISION = "0007"

__all__ = [
    "REVISION",
    "caught_up",
    "commitment",
    "commitment_item",
    "delivery",
    "event",
    "finding",
    "header",
    "in_state",
    "instance",
    "job",
    "metadata",
    "model",
    "parameters",
    "process",
    "rejected",
    "report",
    "report_job",
    "result",
    "study",
    "withdrawal",
]
