"""What an operator may do, for the command line and for whatever else lets people act; each returns what it did.

With `dry_run` nothing is written, and what is returned is what would be done.

outbox       release, retry, abandon: results on their way     reanalysing   reanalyse: with today's model and settings
quarantine   accept: another picture under a known UID         recalling     recall: withdraw what was sent
resending    resend: to a destination that came later          catching_up   behind, catch_up: after an outage
health       is_alive, is_dead

backing_up copies the node as it is at one moment; verifying tells and mends what ledger and spool do not agree about.
"""

from dicom_node.operate.catching_up import CaughtUp, StudyBehind, behind, catch_up
from dicom_node.operate.choosing import Choice
from dicom_node.operate.health import SILENT_AFTER, is_alive, is_dead
from dicom_node.operate.outbox import Abandoned, Retried, abandon, release, retry
from dicom_node.operate.quarantine import accept
from dicom_node.operate.reanalysing import StudyAnew, reanalyse
from dicom_node.operate.recalling import Recalled, recall, withdrawn
from dicom_node.operate.resending import Resent, StudyLater, later, resend

__all__ = [
    "SILENT_AFTER",
    "Abandoned",
    "CaughtUp",
    "Choice",
    "Recalled",
    "Resent",
    "Retried",
    "StudyAnew",
    "StudyBehind",
    "StudyLater",
    "abandon",
    "accept",
    "behind",
    "catch_up",
    "is_alive",
    "is_dead",
    "later",
    "reanalyse",
    "recall",
    "release",
    "resend",
    "retry",
    "withdrawn",
]
