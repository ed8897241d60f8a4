"""What is decided about deliveries that nobody is sending: held back, released, given up, tried again."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, select

from dicom_node.domain import DeliveryState
from dicom_node.ledger.move import move
from dicom_node.ledger.schema import delivery, in_state

#: ids of deliveries; None: whichever
Keys = Sequence[int] | None
#: states in which a person, or a newer result, may end a delivery
ABANDONABLE = (DeliveryState.HELD, DeliveryState.PENDING, DeliveryState.FAILED)


def release(
    tx: Connection, *, now: float, destination: str | None = None, study: int | None = None, ids: Keys = None
) -> int:
    """HELD → PENDING for every delivery that meets all that is given; how many."""
    chosen = chosen_by(destination=destination, study=study, ids=ids)
    return each(
        tx,
        (DeliveryState.HELD,),
        chosen,
        DeliveryState.PENDING,
        now=now,
        reason="released",
        not_before=now,
        released=True,
    )


def hold(tx: Connection, *, destination: str, now: float) -> int:
    """PENDING → HELD for whatever no person released: the destination's mode was `send` and is `hold` now; how many."""
    unreleased = [delivery.c.destination == destination, delivery.c.released.is_(False)]
    return each(tx, (DeliveryState.PENDING,), unreleased, DeliveryState.HELD, now=now, reason="held from now on")


def hold_overdue(tx: Connection, *, destination: str, decided_before: float, now: float, reason: str) -> int:
    """PENDING → HELD for what was decided on before then (seconds since the epoch) and was not delivered; how many.

    What a person has released is spared, and what the destination has stored once and shall only commit to.
    """
    overdue = [
        delivery.c.destination == destination,
        delivery.c.created_at < decided_before,
        delivery.c.released.is_(False),
        delivery.c.commitment_attempts == 0,
    ]
    return each(tx, (DeliveryState.PENDING,), overdue, DeliveryState.HELD, now=now, reason=reason, last_error=reason)


def abandon(
    tx: Connection,
    *,
    now: float,
    reason: str,
    destination: str | None = None,
    study: int | None = None,
    ids: Keys = None,
) -> int:
    """End every delivery that is held, pending or failed and meets all that is given; how many."""
    chosen = chosen_by(destination=destination, study=study, ids=ids)
    return each(tx, ABANDONABLE, chosen, DeliveryState.ABANDONED, now=now, reason=reason, ended_at=now)


def requeue(
    tx: Connection, *, now: float, destination: str | None = None, study: int | None = None, ids: Keys = None
) -> int:
    """FAILED → PENDING, attempts counted anew, for every delivery that meets all that is given; how many."""
    chosen = chosen_by(destination=destination, study=study, ids=ids)
    return each(
        tx,
        (DeliveryState.FAILED,),
        chosen,
        DeliveryState.PENDING,
        now=now,
        reason="retried",
        not_before=now,
        released=True,
        attempts=0,
        commitment_attempts=0,
        ended_at=None,
    )


def chosen_by(*, destination: str | None, study: int | None, ids: Keys = None) -> list[ColumnElement[bool]]:
    """Deliveries that meet all that is given."""
    given: list[ColumnElement[bool]] = []
    if destination is not None:
        given.append(delivery.c.destination == destination)
    if study is not None:
        given.append(delivery.c.study_id == study)
    if ids is not None:
        given.append(delivery.c.id.in_(ids))
    return given


def each(
    tx: Connection,
    states: Sequence[DeliveryState],
    chosen: Sequence[ColumnElement[bool]],
    to: DeliveryState,
    *,
    now: float,
    reason: str,
    **columns: float | str | None,
) -> int:
    """Move what is in one of `states` and `chosen`; how many."""
    moved = 0
    for state in states:  # one query a state: each has its own partial index
        query = select(delivery.c.id, delivery.c.study_id).where(in_state(delivery.c.state, state), *chosen)
        for key, study_id in tx.execute(query.order_by(delivery.c.id)).all():
            moved += move(
                tx,
                DeliveryState,
                key,
                to,
                expect=state,
                now=now,
                study_id=study_id,
                reason=reason,
                where=(),
                **columns,
            )
    return moved
