"""Who is alive: processes that say so, destinations that take something."""

from dicom_node.ledger.overview import DestinationView
from dicom_node.ledger.processes import ProcessRow

#: seconds after which a role that says nothing is called silent; each says something every 30
SILENT_AFTER = 90.0


def is_alive(process: ProcessRow, *, now: float) -> bool:
    """Whether a process said something lately."""
    return now - process.seen_at <= SILENT_AFTER


def is_dead(view: DestinationView, *, dead_after: float, now: float) -> bool:
    """Whether a destination has taken nothing for `dead_after` seconds although something waits for it."""
    since = max(view.oldest or now, view.last_success or 0.0)
    return view.pending > 0 and now - since > dead_after
