"""What destinations are asked to commit to keeping, and what they answered (Storage Commitment, PS3.4 Annex J)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, insert, select, update

from dicom_node.domain import CommitmentState, DeliveryState
from dicom_node.ledger import holding
from dicom_node.ledger.move import move
from dicom_node.ledger.schema import commitment, commitment_item, delivery, in_state, instance, result

#: times that a result is asked about, or sent again, before a person must look
ATTEMPTS = 3
#: seconds after which what was not committed to is sent again
SEND_AGAIN_AFTER = 10.0
#: what a delivery's last error says where no report came
SILENCE = "it was asked to commit to keeping it, and no report came"

_UNCOMMITTED = in_state(delivery.c.state, DeliveryState.UNCOMMITTED)
_AWAITED = in_state(commitment.c.state, CommitmentState.AWAITED)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One SOP instance, by its class and its UID."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One transaction that the node began with a destination."""

    commitment_id: int
    transaction_uid: str
    references: tuple[Reference, ...]


def ask(
    tx: Connection,
    *,
    destination: str,
    transaction_uid: str,
    now: float,
    gather: float,
    report_by: float,
    limit: int,
) -> Asked | None:
    """Begin a transaction about what is due: up to `limit` uncommitted deliveries; None: nothing is.

    What will be due within `gather` seconds goes along.

    It stands in the ledger before the destination hears of it, so that no report can come too early. Deliveries that
    were asked about ATTEMPTS times in vain are FAILED instead: a person must look.
    """
    _lapse(tx, destination, now=now)
    first = next_due(tx, destination)
    if first is None or first > now:
        return None
    due = (
        select(
            delivery.c.id,
            delivery.c.study_id,
            delivery.c.commitment_attempts,
            delivery.c.last_error,
            result.c.sop_class_uid,
            result.c.sop_instance_uid,
        )
        .join(result, result.c.id == delivery.c.result_id)
        .where(_UNCOMMITTED, delivery.c.destination == destination, delivery.c.not_before <= now + gather)
        .order_by(delivery.c.not_before, delivery.c.id)
        .limit(limit)
        .with_for_update(of=delivery, skip_locked=True)
    )
    wanted = []
    for row in tx.execute(due).all():
        if row.commitment_attempts >= ATTEMPTS:
            _fail(tx, row.id, row.study_id, attempts=row.commitment_attempts, now=now, error=row.last_error or SILENCE)
            continue
        tx.execute(update(delivery).where(delivery.c.id == row.id).values(not_before=report_by))
        wanted.append(row)
    if not wanted:
        return None
    of = {
        Reference(sop_class_uid=row.sop_class_uid, sop_instance_uid=row.sop_instance_uid): int(row.id) for row in wanted
    }
    return begin(tx, of, destination=destination, transaction_uid=transaction_uid, now=now, report_by=report_by)


def begin(
    tx: Connection,
    of: Mapping[Reference, int | None],
    *,
    destination: str,
    transaction_uid: str,
    now: float,
    report_by: float,
) -> Asked:
    """Begin a transaction about `of`: each instance with the delivery that brought it, None for one of a peer's own."""
    made = insert(commitment).values(
        peer=destination,
        transaction_uid=transaction_uid,
        state=CommitmentState.AWAITED.value,
        not_before=report_by,
        created_at=now,
    )
    commitment_id: int = tx.execute(made.returning(commitment.c.id)).scalar_one()
    for reference, delivery_id in of.items():
        item = {"sop_class_uid": reference.sop_class_uid, "sop_instance_uid": reference.sop_instance_uid}
        tx.execute(insert(commitment_item).values(commitment_id=commitment_id, delivery_id=delivery_id, **item))
    return Asked(commitment_id=commitment_id, transaction_uid=transaction_uid, references=tuple(of))


def unheard(tx: Connection, asked: Asked, *, now: float, not_before: float, error: str, counts: bool = False) -> None:
    """The request did not reach the destination, or was not taken: ask again from `not_before` on.

    `counts`: as an attempt in vain; a destination that cannot be reached may take as long as it likes.
    """
    if not _end(tx, asked.commitment_id, CommitmentState.LAPSED, expect=CommitmentState.AWAITED, now=now, error=error):
        return  # a report came all the same
    items = select(commitment_item.c.delivery_id).where(commitment_item.c.commitment_id == asked.commitment_id)
    waiting = update(delivery).where(delivery.c.id.in_(items), _UNCOMMITTED)
    attempts = delivery.c.commitment_attempts + (1 if counts else 0)
    tx.execute(waiting.values(not_before=not_before, last_error=error, commitment_attempts=attempts))


def answer(
    tx: Connection,
    *,
    destinations: Collection[str],
    transaction_uid: str,
    failures: Mapping[str, int],
    committed: Collection[str],
    now: float,
) -> bool:
    """A report of one of `destinations` came: SOP Instance UIDs it is `committed` to, and Failure Reasons.

    What it is committed to is COMMITTED. What it is not is sent again, or FAILED after ATTEMPTS times; instances that
    were not asked about mean nothing. Of a transaction that has lapsed only the good news count, for it was asked
    again. False: there is no such transaction.
    """
    found = tx.execute(
        select(commitment)
        .where(commitment.c.peer.in_(list(destinations)), commitment.c.transaction_uid == transaction_uid)
        .with_for_update()
    ).mappings()
    row = found.first()
    if row is None or row["state"] not in _OURS:
        return False
    if row["state"] == CommitmentState.ANSWERED.value:
        return True  # it was not sure that we had heard it
    late = row["state"] == CommitmentState.LAPSED.value
    items = select(commitment_item, delivery.c.study_id, delivery.c.commitment_attempts).outerjoin(
        delivery, delivery.c.id == commitment_item.c.delivery_id
    )
    for item in tx.execute(items.where(commitment_item.c.commitment_id == row["id"])).mappings().all():
        uid = item["sop_instance_uid"]
        # an instance that the report leaves out was not committed to; what stands in both lists neither
        reason = failures.get(uid, 0 if uid in committed else _PROCESSING_FAILURE)
        tx.execute(update(commitment_item).where(commitment_item.c.id == item["id"]).values(failure_reason=reason))
        if item["delivery_id"] is None:
            if reason == 0:
                _hand_over(tx, uid)
        elif reason == 0:
            _commit(tx, item["delivery_id"], item["study_id"], now=now)
        elif not late:
            _send_again(
                tx,
                item["delivery_id"],
                item["study_id"],
                reason=reason,
                attempts=item["commitment_attempts"] + 1,
                now=now,
            )
    _end(tx, row["id"], CommitmentState.ANSWERED, expect=CommitmentState(row["state"]), now=now)
    return True


def forgo(tx: Connection, *, now: float, reason: str, destination: str | None = None, study: int | None = None) -> int:
    """UNCOMMITTED → STORED for what meets all that is given: nobody waits for its commitment any more; how many."""
    chosen = holding.chosen_by(destination=destination, study=study)
    return holding.each(tx, (DeliveryState.UNCOMMITTED,), chosen, DeliveryState.STORED, now=now, reason=reason)


def next_due(tx: Connection, destination: str) -> float | None:
    """When a destination is asked next, or asked again; None: nothing is uncommitted."""
    due: float | None = tx.execute(
        select(func.min(delivery.c.not_before)).where(_UNCOMMITTED, delivery.c.destination == destination)
    ).scalar()
    return due


#: what is said of an instance that a report leaves out (PS3.3 C.14.1.1)
_PROCESSING_FAILURE = 0x0110
_OURS = frozenset({CommitmentState.AWAITED.value, CommitmentState.ANSWERED.value, CommitmentState.LAPSED.value})


def _lapse(tx: Connection, destination: str, *, now: float) -> None:
    """Give up waiting for reports that are overdue; their deliveries are due by now, and count one more attempt."""
    overdue = and_(_AWAITED, commitment.c.peer == destination, commitment.c.not_before <= now)
    for key in tx.execute(select(commitment.c.id).where(overdue)).scalars().all():
        if not _end(tx, key, CommitmentState.LAPSED, expect=CommitmentState.AWAITED, now=now, error="no report came"):
            continue
        items = select(commitment_item.c.delivery_id).where(commitment_item.c.commitment_id == key)
        vain = update(delivery).where(delivery.c.id.in_(items), _UNCOMMITTED, delivery.c.not_before <= now)
        tx.execute(vain.values(commitment_attempts=delivery.c.commitment_attempts + 1, last_error=SILENCE))


def _commit(tx: Connection, delivery_id: int, study_id: int, *, now: float) -> None:
    """Also what was given up meanwhile: the destination has it for good all the same."""
    for state in (DeliveryState.UNCOMMITTED, DeliveryState.FAILED):
        move(
            tx,
            DeliveryState,
            delivery_id,
            DeliveryState.COMMITTED,
            expect=state,
            now=now,
            study_id=study_id,
            ended_at=now,
            last_error="",
        )


def _hand_over(tx: Connection, sop_instance_uid: str) -> None:
    """The archive keeps the instance: what the node pledged of it is kept there."""
    tx.execute(update(instance).where(instance.c.sop_instance_uid == sop_instance_uid).values(pledged=False))


def _send_again(
    tx: Connection,
    delivery_id: int,
    study_id: int,
    *,
    reason: int,
    attempts: int,
    now: float,
) -> None:
    error = f"it stored it, but does not commit to keeping it (Failure Reason {reason:04X})"
    if attempts >= ATTEMPTS:
        _fail(tx, delivery_id, study_id, attempts=attempts, now=now, error=error)
        return
    move(
        tx,
        DeliveryState,
        delivery_id,
        DeliveryState.PENDING,
        expect=DeliveryState.UNCOMMITTED,
        now=now,
        study_id=study_id,
        reason=error,
        not_before=now + SEND_AGAIN_AFTER,
        last_error=error,
        commitment_attempts=attempts,
        ended_at=None,
        # it was sent before, so nobody is asked for it now
        released=True,
    )


def _fail(tx: Connection, delivery_id: int, study_id: int, *, attempts: int, now: float, error: str) -> None:
    move(
        tx,
        DeliveryState,
        delivery_id,
        DeliveryState.FAILED,
        expect=DeliveryState.UNCOMMITTED,
        now=now,
        study_id=study_id,
        reason=error,
        ended_at=now,
        last_error=error,
        commitment_attempts=attempts,
    )


def _end(
    tx: Connection, key: int, to: CommitmentState, *, expect: CommitmentState, now: float, error: str = ""
) -> bool:
    return move(
        tx,
        CommitmentState,
        key,
        to,
        expect=expect,
        now=now,
        study_id=None,
        reason=error,
        ended_at=now,
        last_error=error,
    )
