"""What peers asked the node to commit to keeping, what it pledged, and the reports that it owes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, or_, select, true, update

from dicom_node.domain import CommitmentState, InstanceState
from dicom_node.ledger import commitments, studies
from dicom_node.ledger.bell import Channel, request
from dicom_node.ledger.commitments import Asked, Reference
from dicom_node.ledger.instances import SELECT
from dicom_node.ledger.move import move
from dicom_node.ledger.rows import InstanceRow, insert_new, instance_row
from dicom_node.ledger.schema import commitment, commitment_item, in_state, instance

_OF_PEERS = (CommitmentState.OWED, CommitmentState.REPORTED, CommitmentState.UNREPORTED)
#: seconds after which an archive that has not committed to a pledged instance is asked again
RECHECK = 3600.0

_OWED = in_state(commitment.c.state, CommitmentState.OWED)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One instance of a request."""

    item_id: int
    reference: Reference
    #: Failure Reason (0008,1197), 0 for success; None: it was not looked at yet
    failure_reason: int | None


@dataclass(frozen=True, kw_only=True)
class Owed:
    """A report that a peer waits for."""

    commitment_id: int
    #: name of the peer
    peer: str
    transaction_uid: str
    #: times that the report was sent in vain
    attempts: int
    #: when it was asked for, seconds since the epoch
    created_at: float
    items: tuple[Item, ...]


def enter(tx: Connection, *, peer: str, transaction_uid: str, references: Sequence[Reference], now: float) -> bool:
    """A peer asks for commitment: the report is owed from now on, and rings for whoever sends it.

    Asked again for the same, it gets the report again. False: its Transaction UID stands for something else.
    """
    values = {
        "peer": peer,
        "transaction_uid": transaction_uid,
        "state": CommitmentState.OWED.value,
        "not_before": now,
        "created_at": now,
    }
    request(tx, Channel.COMMITMENTS)
    key = insert_new(tx, commitment, values, unless=("peer", "transaction_uid"))
    if key is None:
        return _again(tx, peer, transaction_uid, references, now=now)
    for reference in references:
        item = {"sop_class_uid": reference.sop_class_uid, "sop_instance_uid": reference.sop_instance_uid}
        tx.execute(insert(commitment_item).values(commitment_id=key, **item))
    return True


def due(tx: Connection, *, peer: str, now: float) -> Owed | None:
    """The report to a peer that has been due for longest."""
    row = (
        tx.execute(
            select(commitment)
            .where(_OWED, commitment.c.peer == peer, commitment.c.not_before <= now)
            .order_by(commitment.c.not_before, commitment.c.id)
            .limit(1)
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    return Owed(
        commitment_id=row["id"],
        peer=row["peer"],
        transaction_uid=row["transaction_uid"],
        attempts=row["attempts"],
        created_at=row["created_at"],
        items=tuple(_items(tx, row["id"])),
    )


def next_due(tx: Connection, *, peer: str) -> float | None:
    """When the next report to a peer is due; None: none is owed."""
    owed_to = select(func.min(commitment.c.not_before)).where(_OWED, commitment.c.peer == peer)
    when: float | None = tx.execute(owed_to).scalar()
    return when


def owed(tx: Connection) -> list[Owed]:
    """Every report that is owed, the next to be sent first; without its items."""
    rows = tx.execute(select(commitment).where(_OWED).order_by(commitment.c.not_before)).mappings()
    return [
        Owed(
            commitment_id=row["id"],
            peer=row["peer"],
            transaction_uid=row["transaction_uid"],
            attempts=row["attempts"],
            created_at=row["created_at"],
            items=(),
        )
        for row in rows
    ]


def pledge(tx: Connection, sop_instance_uid: str) -> list[InstanceRow]:
    """Keep every version of an instance that there is, from now on; they. Retention leaves their study alone.

    The study is locked, so that a purge that has begun is waited for, and one that begins later sees the pledge.
    """
    studies_of = select(instance.c.study_id).where(instance.c.sop_instance_uid == sop_instance_uid)
    for study_id in sorted(set(tx.execute(studies_of).scalars())):
        studies.lock(tx, study_id)
    here = (instance.c.sop_instance_uid == sop_instance_uid, instance.c.state != InstanceState.PURGED.value)
    tx.execute(update(instance).where(*here).values(pledged=True))
    request(tx, Channel.COMMITMENTS)
    return [instance_row(row) for row in tx.execute(SELECT.where(*here).order_by(instance.c.id)).mappings()]


def take_back(tx: Connection, sop_instance_uid: str) -> None:
    """The pledge was never told to anyone: it does not hold. One that was given earlier and told stays."""
    told = (
        select(commitment_item.c.id)
        .join(commitment, commitment.c.id == commitment_item.c.commitment_id)
        .where(
            commitment_item.c.sop_instance_uid == sop_instance_uid,
            commitment_item.c.failure_reason == 0,
            in_state(commitment.c.state, *_OF_PEERS),
        )
    )
    tx.execute(
        update(instance).where(instance.c.sop_instance_uid == sop_instance_uid, ~told.exists()).values(pledged=False)
    )


def decide(tx: Connection, reasons: Mapping[int, int]) -> None:
    """Note what is going to be reported of items, by their ids: Failure Reasons, 0 for a pledge."""
    for item_id, reason in reasons.items():
        tx.execute(
            update(commitment_item)
            .where(commitment_item.c.id == item_id, commitment_item.c.failure_reason.is_(None))
            .values(failure_reason=reason)
        )


def reported(tx: Connection, of: Owed, *, now: float) -> bool:
    """The peer has its report. False: it was no longer owed."""
    return _end(tx, of, CommitmentState.REPORTED, now=now)


def given_up(tx: Connection, of: Owed, *, now: float, error: str) -> bool:
    """The peer never took its report; what was pledged stays pledged, for it may have heard. False: see reported()."""
    return _end(tx, of, CommitmentState.UNREPORTED, now=now, error=error)


def postpone(tx: Connection, of: Owed, *, not_before: float, error: str) -> None:
    """The report did not arrive: again from `not_before` on."""
    waiting = update(commitment).where(commitment.c.id == of.commitment_id, _OWED)
    tx.execute(waiting.values(attempts=of.attempts + 1, not_before=not_before, last_error=error))


def archived(tx: Connection, reference: Reference) -> bool:
    """Whether an archive has committed to keeping the instance, as this class."""
    kept = (
        select(commitment_item.c.id)
        .join(commitment, commitment.c.id == commitment_item.c.commitment_id)
        .where(
            commitment_item.c.sop_instance_uid == reference.sop_instance_uid,
            commitment_item.c.sop_class_uid == reference.sop_class_uid,
            commitment_item.c.failure_reason == 0,
            in_state(commitment.c.state, CommitmentState.ANSWERED),
        )
    )
    return tx.execute(kept.limit(1)).first() is not None


def hand_over(
    tx: Connection,
    *,
    destination: str,
    senders: Sequence[str],
    transaction_uid: str,
    now: float,
    report_by: float,
    limit: int,
) -> Asked | None:
    """Begin a transaction about pledged instances of `senders` (AE titles), for a destination to keep in our place.

    None: there are none that it was not asked about in the last RECHECK seconds. What it commits to is no longer
    pledged, and may go; see commitments.answer.
    """
    row = instance.c
    due = (row.pledged == true(), row.calling_ae_title.in_(list(senders)))
    unasked = or_(row.archive_asked_at.is_(None), row.archive_asked_at <= now - RECHECK)
    found = tx.execute(select(row.id, row.sop_class_uid, row.sop_instance_uid).where(*due, unasked).limit(limit)).all()
    if not found:
        return None
    tx.execute(update(instance).where(row.id.in_([one.id for one in found])).values(archive_asked_at=now))
    # versions of one instance are one reference
    by_uid = {
        one.sop_instance_uid: Reference(sop_class_uid=one.sop_class_uid, sop_instance_uid=one.sop_instance_uid)
        for one in found
    }
    return commitments.begin(
        tx,
        dict.fromkeys(by_uid.values()),
        destination=destination,
        transaction_uid=transaction_uid,
        now=now,
        report_by=report_by,
    )


def next_hand_over(tx: Connection, *, senders: Sequence[str]) -> float | None:
    """When a destination is asked next about pledged instances of `senders`; None: there are none."""
    asked = func.min(func.coalesce(instance.c.archive_asked_at, -RECHECK))
    pledged = (instance.c.pledged == true(), instance.c.calling_ae_title.in_(list(senders)))
    last: float | None = tx.execute(select(asked).where(*pledged)).scalar()
    return None if last is None else last + RECHECK


def count(tx: Connection, *, most: int | None = None) -> int:
    """Instances that are pledged; they are counted no further than `most`."""
    some = select(instance.c.id).where(instance.c.pledged == true()).limit(most).subquery()
    return tx.execute(select(func.count()).select_from(some)).scalar_one()


def _again(tx: Connection, peer: str, transaction_uid: str, references: Sequence[Reference], *, now: float) -> bool:
    known = (
        tx.execute(select(commitment).where(commitment.c.peer == peer, commitment.c.transaction_uid == transaction_uid))
        .mappings()
        .one()
    )
    items = {item.reference for item in _items(tx, known["id"])}
    ours = any(known["state"] == state.value for state in _OF_PEERS)
    if not ours or items != set(references):
        return False
    state = CommitmentState(known["state"])
    if state is not CommitmentState.OWED:
        move(
            tx,
            CommitmentState,
            known["id"],
            CommitmentState.OWED,
            expect=state,
            now=now,
            study_id=None,
            reason="asked for again",
            not_before=now,
            attempts=0,
            ended_at=None,
            created_at=now,
        )
    # what was not there then may have come since
    unkept = update(commitment_item).where(
        commitment_item.c.commitment_id == known["id"], commitment_item.c.failure_reason != 0
    )
    tx.execute(unkept.values(failure_reason=None))
    return True


def _items(tx: Connection, commitment_id: int) -> list[Item]:
    rows = tx.execute(
        select(commitment_item).where(commitment_item.c.commitment_id == commitment_id).order_by(commitment_item.c.id)
    )
    return [
        Item(
            item_id=row["id"],
            reference=Reference(sop_class_uid=row["sop_class_uid"], sop_instance_uid=row["sop_instance_uid"]),
            failure_reason=row["failure_reason"],
        )
        for row in rows.mappings()
    ]


def _end(tx: Connection, of: Owed, to: CommitmentState, *, now: float, error: str = "") -> bool:
    return move(
        tx,
        CommitmentState,
        of.commitment_id,
        to,
        expect=CommitmentState.OWED,
        now=now,
        study_id=None,
        reason=error,
        ended_at=now,
        last_error=error,
    )
