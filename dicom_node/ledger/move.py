"""The only state change that there is: compare-and-set and one event row, in the caller's transaction."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Table, insert, update

from dicom_node.domain import (
    JOB_ENDED,
    TRANSITIONS,
    CommitmentState,
    DeliveryState,
    InstanceState,
    JobState,
    ResultState,
    State,
    StudyState,
)
from dicom_node.ledger import schema
from dicom_node.ledger.bell import Channel, request

_TABLES: dict[type[State], Table] = {
    StudyState: schema.study,
    InstanceState: schema.instance,
    JobState: schema.job,
    ResultState: schema.result,
    DeliveryState: schema.delivery,
    CommitmentState: schema.commitment,
}
#: who waits for a state
_RINGS: dict[tuple[type[State], State], Channel] = {
    (JobState, JobState.QUEUED): Channel.JOBS,
    (DeliveryState, DeliveryState.PENDING): Channel.DELIVERIES,
    (DeliveryState, DeliveryState.UNCOMMITTED): Channel.COMMITMENTS,
    (CommitmentState, CommitmentState.OWED): Channel.COMMITMENTS,
    (CommitmentState, CommitmentState.ANSWERED): Channel.COMMITMENTS,
    **{(StudyState, state): Channel.STUDIES for state in StudyState},
    **{(JobState, state): Channel.STUDIES for state in JOB_ENDED},
}


def move(
    tx: Connection,
    noun: type[State],
    key: int,
    to: State,
    *,
    expect: State,
    now: float,
    study_id: int | None,
    reason: str = "",
    where: Sequence[ColumnElement[bool]] = (),
    **columns: object,
) -> bool:
    """Move row `key` of `noun` from `expect` to `to`, setting `columns` too, and ring for those who wait.

    False is a lost race: the row is no longer in `expect`, or does not meet `where` (a token, a revision);
    then nothing was written. Raises ValueError for a move that is not in domain.TRANSITIONS.
    """
    if to not in TRANSITIONS[noun][expect]:
        raise ValueError(f"{noun.__name__}: there is no move from {expect} to {to}")
    table = _TABLES[noun]
    moved = tx.execute(
        update(table).where(table.c.id == key, table.c.state == expect.value, *where).values(state=to.value, **columns)
    )
    if moved.rowcount != 1:
        return False
    tx.execute(
        insert(schema.event).values(
            study_id=study_id,
            noun=table.name,
            key=key,
            from_state=expect.value,
            to_state=to.value,
            reason=reason,
            at=now,
        )
    )
    if channel := _RINGS.get((noun, to)):
        request(tx, channel)
    return True
