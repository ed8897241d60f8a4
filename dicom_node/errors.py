"""Every error of the node, in one tree; a message says what happened, to what, and what to do next.

NodeError
├── Permanent              trying again cannot help
│   ├── ConfigurationError the settings make no sense; names the key
│   ├── NotFound           somebody named what the node does not have
│   ├── SchemaMismatch     the ledger was made by another version
│   ├── Unreadable         the bytes of an instance cannot be used; carries a Reason
│   └── Refused            a peer said no for good
│       └── NothingAccepted  it took the association, but nothing that was proposed for it
└── Retryable              the same attempt may succeed later
    ├── OutOfRoom          the disk is at its low watermark, or full
    ├── StorageFault       the disk answered EIO: nothing of that write may be trusted
    ├── PeerUnavailable    no connection, no association, no answer in time, or "out of resources"
    ├── LedgerUnavailable  the database is locked for too long, or away
    ├── DecoderUnavailable the child process that decodes does not start, or was killed from outside
    ├── EncoderUnavailable the process that encodes results does not start
    └── LostRace           another process moved the row first; the loser's work is discarded
"""

from dicom_node.domain import Reason


class NodeError(Exception):
    """The root: whoever catches this catches all that the node raises on purpose."""


class Permanent(NodeError):
    """Trying again cannot help."""


class Retryable(NodeError):
    """The same attempt may succeed later."""


class ConfigurationError(Permanent):
    """The settings make no sense; the message names the key."""


class NotFound(Permanent):
    """Somebody named a study, an instance or a destination that the node does not have."""


class SchemaMismatch(Permanent):
    """The ledger was made by another version of chexnode."""


class Unreadable(Permanent):
    """The bytes of an instance cannot be used."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Refused(Permanent):
    """A peer said no for good."""


class NothingAccepted(Refused):
    """A peer took the association, but nothing that was proposed for it."""


class OutOfRoom(Retryable):
    """The disk is at its low watermark, or full."""


class StorageFault(Retryable):
    """The disk answered EIO: nothing of that write may be trusted."""


class PeerUnavailable(Retryable):
    """No connection, no association, no answer in time, or the peer is out of resources."""


class LedgerUnavailable(Retryable):
    """The database is locked for too long, or away."""


class DecoderUnavailable(Retryable):
    """The child process that decodes does not start, or was killed from outside."""


class EncoderUnavailable(Retryable):
    """The process that encodes results does not start."""


class LostRace(Retryable):
    """Another process moved the row first; the loser's work is discarded."""
