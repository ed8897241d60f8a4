"""The audit trail: who connected, what came, what was sent, what was deleted (PS3.15 A.5), to a file and to syslog.

message    the XML of each event          sink      one place it goes to, behind a queue
trail      the process's trail            syslog    RFC 5424 over TLS (RFC 5425)
"""

from dicom_node.audit.message import Action, Event, Outcome, Participant, Transfer
from dicom_node.audit.trail import Trail, configure, trail

__all__ = ["Action", "Event", "Outcome", "Participant", "Trail", "Transfer", "configure", "trail"]
