"""The outbox: one row a result and destination, each destination a queue of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, exists, func, select, update

from dicom_node.domain import DeliveryState
from dicom_node.errors import LostRace
from dicom_node.ledger import holding, withdrawals
from dicom_node.ledger.bell import Channel, request
from dicom_node.ledger.move import move
from dicom_node.ledger.rows import ResultRow, insert_new, result_row
from dicom_node.ledger.schema import delivery, in_state, result

#: states in which a delivery still needs its result's bytes
UNDER_WAY = (
    DeliveryState.HELD,
    DeliveryState.PENDING,
    DeliveryState.SENDING,
    DeliveryState.UNCOMMITTED,
    DeliveryState.FAILED,
)


@dataclass(frozen=True, kw_only=True)
class NewDelivery:
    """A result that a conclusion sends somewhere."""

    result_id: int
    #: name of the peer
    destination: str
    #: wait for `release`
    held: bool
    #: a person's word is given already: also a destination that is on hold gets it
    released: bool = False


@dataclass(frozen=True, kw_only=True)
class ClaimedDelivery:
    """A delivery that is this process's until its lease ends."""

    delivery_id: int
    #: fences off whoever held it before
    token: int
    #: this one included
    attempts: int
    study_id: int
    result: ResultRow


def queue_deliveries(tx: Connection, wanted: Sequence[NewDelivery], *, study_id: int, now: float) -> None:
    """Insert deliveries, those left out that exist already: nothing is sent twice by itself."""
    for new in wanted:
        insert_new(
            tx,
            delivery,
            {
                "result_id": new.result_id,
                "study_id": study_id,
                "destination": new.destination,
                "state": (DeliveryState.HELD if new.held else DeliveryState.PENDING).value,
                "released": new.released,
                "not_before": now,
                "created_at": now,
            },
            unless=("result_id", "destination"),
        )
    request(tx, Channel.DELIVERIES)


def claim(
    tx: Connection,
    *,
    destination: str,
    now: float,
    owner: str,
    lease: float,
    limit: int,
    whole_studies: bool = False,
) -> list[ClaimedDelivery]:
    """Up to `limit` due deliveries of one destination, the longest due first, this process's for `lease` s.

    `whole_studies`: none of a study of which something is being sent there, by another worker of the destination: its
    results arrive in their order. Workers that may claim at the same time take turns.

    One whose result was superseded while it was being sent in vain is abandoned instead.
    """
    chosen = _due(destination, now)
    if whole_studies:
        other = delivery.alias("other")
        under_way = in_state(other.c.state, DeliveryState.SENDING), other.c.destination == destination
        chosen.append(~exists().where(*under_way, other.c.study_id == delivery.c.study_id))
    due = (
        select(delivery)
        .where(*chosen)
        .order_by(delivery.c.not_before, delivery.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claimed = []
    for row in tx.execute(due).mappings().all():
        sent = tx.execute(select(result).where(result.c.id == row["result_id"])).mappings().one()
        if not sent["is_current"]:
            if row["attempts"]:
                withdrawals.enter_if_recalled(tx, row["id"], now=now)
            holding.abandon(tx, ids=[row["id"]], now=now, reason="superseded")
            continue
        held = ClaimedDelivery(
            delivery_id=row["id"],
            token=row["token"] + 1,
            attempts=row["attempts"] + 1,
            study_id=row["study_id"],
            result=result_row(sent),
        )
        if move(
            tx,
            DeliveryState,
            held.delivery_id,
            DeliveryState.SENDING,
            expect=DeliveryState.PENDING,
            now=now,
            study_id=held.study_id,
            token=held.token,
            attempts=held.attempts,
            owner=owner,
            lease_until=now + lease,
        ):
            claimed.append(held)
    return claimed


def count_due(tx: Connection, *, destination: str, now: float, most: int) -> int:
    """How many deliveries of a destination are due; more than `most` are not counted."""
    some = select(delivery.c.id).where(*_due(destination, now)).limit(most).subquery()
    return int(tx.execute(select(func.count()).select_from(some)).scalar_one())


def extend(tx: Connection, claim: ClaimedDelivery, *, now: float, lease: float) -> bool:
    """Hold a delivery for `lease` seconds from now. False: it is no longer ours."""
    extended = tx.execute(
        update(delivery).where(delivery.c.id == claim.delivery_id, *_ours(claim)).values(lease_until=now + lease)
    )
    return extended.rowcount == 1


def stored(
    tx: Connection, claim: ClaimedDelivery, now: float, *, reason: str = "", ask_at: float | None = None
) -> None:
    """The destination has it; `reason`: what it remarked all the same. Raises LostRace.

    `ask_at`: when it is asked to commit to keeping it; None: never. What was recalled while it was being sent is
    withdrawn at once.
    """
    if ask_at is None:
        _end(tx, claim, DeliveryState.STORED, now=now, reason=reason, ended_at=now, last_error="")
    else:
        _end(
            tx, claim, DeliveryState.UNCOMMITTED, now=now, reason=reason, ended_at=now, last_error="", not_before=ask_at
        )
    withdrawals.enter_if_recalled(tx, claim.delivery_id, now=now)


def refused(tx: Connection, claim: ClaimedDelivery, now: float, error: str) -> None:
    """The destination said no for good: a person must look. Raises LostRace."""
    _end(tx, claim, DeliveryState.FAILED, now=now, reason=error, ended_at=now, last_error=error)


def retry(tx: Connection, claim: ClaimedDelivery, *, now: float, not_before: float, error: str) -> None:
    """It did not work out this time: again from `not_before` on. Raises LostRace."""
    _end(tx, claim, DeliveryState.PENDING, now=now, reason=error, not_before=not_before, last_error=error)


def postpone(tx: Connection, claim: ClaimedDelivery, *, now: float, reason: str) -> None:
    """Back to PENDING, due now, with no attempt counted: it was not its turn. Raises LostRace."""
    _end(tx, claim, DeliveryState.PENDING, now=now, reason=reason, not_before=now, attempts=claim.attempts - 1)


def hold_back(tx: Connection, claim: ClaimedDelivery, *, now: float, reason: str) -> None:
    """SENDING → HELD until a person has looked. Raises LostRace."""
    _end(tx, claim, DeliveryState.HELD, now=now, reason=reason, last_error=reason)


def reclaim_expired(tx: Connection, *, now: float) -> int:
    """Put deliveries whose lease has ended back; how many."""
    error = "the process that was sending it vanished"
    expired = select(delivery).where(in_state(delivery.c.state, DeliveryState.SENDING), delivery.c.lease_until < now)
    return sum(
        move(
            tx,
            DeliveryState,
            row["id"],
            DeliveryState.PENDING,
            expect=DeliveryState.SENDING,
            now=now,
            study_id=row["study_id"],
            reason=error,
            where=(delivery.c.token == row["token"], delivery.c.lease_until < now),
            not_before=now,
            lease_until=None,
            last_error=error,
        )
        for row in tx.execute(expired).mappings().all()
    )


def next_due(tx: Connection, destination: str) -> float | None:
    """When the first pending delivery of a destination is due; None: nothing is pending."""
    pending = in_state(delivery.c.state, DeliveryState.PENDING), delivery.c.destination == destination
    due: float | None = tx.execute(select(func.min(delivery.c.not_before)).where(*pending)).scalar()
    return due


def next_expiry(tx: Connection) -> float | None:
    """When the first lease ends; None: nothing is being sent."""
    expiry: float | None = tx.execute(
        select(func.min(delivery.c.lease_until)).where(in_state(delivery.c.state, DeliveryState.SENDING))
    ).scalar()
    return expiry


def _due(destination: str, now: float) -> list[ColumnElement[bool]]:
    pending = in_state(delivery.c.state, DeliveryState.PENDING)
    return [pending, delivery.c.destination == destination, delivery.c.not_before <= now]


def _ours(claim: ClaimedDelivery) -> tuple[ColumnElement[bool], ...]:
    return in_state(delivery.c.state, DeliveryState.SENDING), delivery.c.token == claim.token


def _end(
    tx: Connection,
    claim: ClaimedDelivery,
    to: DeliveryState,
    *,
    now: float,
    reason: str = "",
    **columns: object,
) -> None:
    if not move(
        tx,
        DeliveryState,
        claim.delivery_id,
        to,
        expect=DeliveryState.SENDING,
        now=now,
        study_id=claim.study_id,
        reason=reason,
        where=_ours(claim),
        lease_until=None,
        **columns,
    ):
        raise LostRace(f"delivery {claim.delivery_id} is no longer ours: its lease ended and another took it")
