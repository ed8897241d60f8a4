"""In which order waiting jobs are taken: by one number, written once, so that nothing is ever sorted again.

A job's rank is the second of its arrival less what its priority is worth; the lowest goes first. Two jobs that wait
age at the same pace, so their order never changes, and no clock needs to be looked at to know it. A job is overtaken
only by what comes before its own priority's disadvantage has run out: nothing waits for ever, whatever else comes.
"""

from sqlalchemy import Connection, Double, literal, update

from dicom_node.domain import JobState
from dicom_node.ledger.schema import in_state, job
from dicom_node.precedence import PrioritySection

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
#: seconds that a priority of 1 is worth, unless the settings say otherwise
LEVEL = PrioritySection().level
#: rank of what may be a rejection note: it does not wait behind the images that it may be about
_FIRST = -1e12


def rank_of(sop_class_uid: str, *, arrived: float, priority: int, level: float) -> float:
    """The rank of a job for an object of that class that arrived then (seconds since the epoch).

    `level`: seconds that a priority of 1 is worth.
    """
    return _FIRST if sop_class_uid == KEY_OBJECT_SELECTION else arrived - priority * level


def raise_study(tx: Connection, study_id: int, *, priority: int, level: float) -> int:
    """The study's waiting jobs of less priority get this one, as if they had come with it; how many.

    Its report waits for all of its images, so that an urgent one gains nothing by itself.
    """
    waiting = (job.c.study_id == study_id, in_state(job.c.state, JobState.QUEUED), job.c.priority < priority)
    gained = (literal(priority) - job.c.priority) * literal(level, Double)
    return tx.execute(update(job).where(*waiting).values(priority=priority, rank=job.c.rank - gained)).rowcount
