"""Deliveries that the node itself holds back until a person has looked: it came too late, or it belongs elsewhere."""

from sqlalchemy import Connection, false, select

from dicom_node.domain import DeliveryState
from dicom_node.errors import LostRace
from dicom_node.ledger.deliveries import ClaimedDelivery
from dicom_node.ledger.move import move
from dicom_node.ledger.schema import delivery, in_state


def hold_claimed(tx: Connection, claim: ClaimedDelivery, *, now: float, reason: str) -> None:
    """SENDING → HELD. Raises LostRace."""
    if not move(
        tx,
        DeliveryState,
        claim.delivery_id,
        DeliveryState.HELD,
        expect=DeliveryState.SENDING,
        now=now,
        study_id=claim.study_id,
        reason=reason,
        where=(delivery.c.token == claim.token,),
        lease_until=None,
        last_error=reason,
    ):
        raise LostRace(f"delivery {claim.delivery_id} is no longer ours: its lease ended and another took it")


def hold_overdue(tx: Connection, *, destination: str, decided_before: float, now: float, reason: str) -> int:
    """PENDING → HELD for what was decided on before then (seconds since the epoch) and was not delivered; how many.

    What a person has released is spared, and what the destination has stored once and shall only commit to.
    """
    overdue = select(delivery.c.id, delivery.c.study_id).where(
        in_state(delivery.c.state, DeliveryState.PENDING),
        delivery.c.destination == destination,
        delivery.c.created_at < decided_before,
        delivery.c.released == false(),
        delivery.c.commitment_attempts == 0,
    )
    return sum(
        move(
            tx,
            DeliveryState,
            key,
            DeliveryState.HELD,
            expect=DeliveryState.PENDING,
            now=now,
            study_id=study_id,
            reason=reason,
            last_error=reason,
        )
        for key, study_id in tx.execute(overdue.order_by(delivery.c.id)).all()
    )
