"""Rejection notes for results that were recalled: one a destination and study, sent like any other result."""

from collections import defaultdict
from dataclasses import dataclass

import structlog

from dicom_node.domain import Profile, RejectionTitle
from dicom_node.ledger import Ledger, results, withdrawals
from dicom_node.ledger.deliveries import NewDelivery, queue_deliveries
from dicom_node.ledger.rows import ResultRow, StoredResult
from dicom_node.ledger.withdrawals import Unnoted
from dicom_node.spool import Spool

log = structlog.get_logger()

#: studies that are looked at together
_BATCH = 50
#: what stands in the ledger where no note can be written
UNTOLD = "whose it is is not known any more: its study was purged (retention.days), or the spool is damaged"


@dataclass(frozen=True, kw_only=True)
class _About:
    """What all objects of one note have in common."""

    destination: str
    title: RejectionTitle
    profile: Profile
    #: of the patient, the study and the order that they name
    identity: str


def write_notes(ledger: Ledger, spool: Spool, *, now: float) -> int:
    """Write the rejection notes that are due, and queue them; how many objects were dealt with.

    A note is made of what the ledger holds of the recalled objects and of the identity in their own bytes: after these
    were purged there is none to be written, and the objects are to be deleted by hand. Raises what Ledger does,
    OutOfRoom, StorageFault: the rest is left for the next look.
    """
    dealt_with = 0
    while True:
        with ledger.reading() as tx:
            due = withdrawals.unnoted(tx, limit=_BATCH)
        if not due:
            return dealt_with
        for study_id, objects in due.items():
            _withdraw(ledger, spool, study_id, objects, now=now)
            dealt_with += len(objects)


def _withdraw(ledger: Ledger, spool: Spool, study_id: int, objects: list[Unnoted], *, now: float) -> None:
    # a node that withdraws nothing does without pydicom here
    from dicom_node.conclude.notes import Notes

    notes = Notes(spool, now=now)
    with ledger.reading() as tx:
        others = results.kept(tx, study_id)
    groups: dict[_About, list[Unnoted]] = defaultdict(list)
    lost: list[Unnoted] = []
    for one in objects:
        identity = notes.identity(one.result, others)
        if identity is None:
            lost.append(one)
        else:
            groups[
                _About(destination=one.destination, title=one.title, profile=one.result.profile, identity=identity)
            ].append(one)
    written = {
        about: notes.write(about.title, about.profile, about.identity, _results(group))
        for about, group in groups.items()
    }
    with ledger.transaction() as tx:
        withdrawals.obstruct(tx, [one.withdrawal_id for one in lost], UNTOLD)
        for about, note in written.items():
            ids = [one.withdrawal_id for one in groups[about]]
            note_id = withdrawals.note(tx, ids, note, study_id=study_id, now=now)
            # a person recalled them, or the image's own archive did: that is word enough also for one on hold
            wanted = NewDelivery(result_id=note_id, destination=about.destination, held=False, released=True)
            queue_deliveries(tx, [wanted], study_id=study_id, now=now)
    _say(study_id, written, lost)


def _results(group: list[Unnoted]) -> list[ResultRow]:
    return [one.result for one in group]


def _say(study_id: int, written: dict[_About, StoredResult], lost: list[Unnoted]) -> None:
    for about in written:
        log.info("wrote a rejection note", study=study_id, destination=about.destination, title=about.title.value)
    if lost:
        log.warning(
            "no rejection note can be written: delete them by hand", study=study_id, objects=len(lost), why=UNTOLD
        )
