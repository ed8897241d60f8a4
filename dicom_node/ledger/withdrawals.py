"""Results that destinations hold and that are to be withdrawn there, each by a rejection note that is a result too."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, literal_column, select, update

from dicom_node.domain import DeliveryState, Kind, RejectionTitle, ResultState
from dicom_node.ledger.bell import Channel, request
from dicom_node.ledger.rows import ResultRow, StoredResult, insert_new, result_row
from dicom_node.ledger.schema import delivery, result, study, withdrawal

#: a rejection note is to be written: word for word the condition of its partial index
UNNOTED = and_(withdrawal.c.note_id.is_(None), withdrawal.c.obstacle == literal_column("''"))


@dataclass(frozen=True, kw_only=True)
class Unnoted:
    """One object at one destination for which no rejection note is written yet."""

    withdrawal_id: int
    destination: str
    title: RejectionTitle
    result: ResultRow


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """One object that was recalled at one destination, and how far its rejection note came."""

    study_id: int
    study_instance_uid: str
    accession_number: str
    destination: str
    kind: Kind
    sop_instance_uid: str
    title: RejectionTitle
    #: when it was recalled
    at: float
    #: of the rejection note's delivery; None: it is not written
    note: DeliveryState | None
    #: what the destination last said to the note
    note_error: str
    #: why no note can be written; empty: nothing is in the way
    obstacle: str

    @property
    def by_hand(self) -> bool:
        """No rejection note will reach the destination by itself."""
        return bool(self.obstacle) or self.note in (DeliveryState.FAILED, DeliveryState.ABANDONED)


def find(tx: Connection, *, study_ids: Collection[int] | None = None) -> list[Withdrawn]:
    """Everything that was to be withdrawn from destinations, of these studies or of all, the oldest first."""
    note_delivery = delivery.alias("note_delivery")
    query = (
        select(
            withdrawal.c.study_id,
            withdrawal.c.title,
            withdrawal.c.at,
            withdrawal.c.obstacle,
            study.c.study_instance_uid,
            study.c.accession_number,
            delivery.c.destination,
            result.c.kind,
            result.c.sop_instance_uid,
            note_delivery.c.state.label("note"),
            note_delivery.c.last_error.label("note_error"),
        )
        .join(study, study.c.id == withdrawal.c.study_id)
        .join(delivery, delivery.c.id == withdrawal.c.delivery_id)
        .join(result, result.c.id == delivery.c.result_id)
        .outerjoin(
            note_delivery,
            and_(
                note_delivery.c.result_id == withdrawal.c.note_id,
                note_delivery.c.destination == delivery.c.destination,
            ),
        )
        .order_by(withdrawal.c.id)
    )
    if study_ids is not None:
        query = query.where(withdrawal.c.study_id.in_(study_ids))
    return [
        Withdrawn(
            kind=Kind(row["kind"]),
            title=RejectionTitle(row["title"]),
            note=None if row["note"] is None else DeliveryState(row["note"]),
            note_error=row["note_error"] or "",
            **{name: row[name] for name in _PLAIN},
        )
        for row in tx.execute(query).mappings()
    ]


_PLAIN = ("study_id", "study_instance_uid", "accession_number", "destination", "sop_instance_uid", "at", "obstacle")


def enter(tx: Connection, delivery_id: int, *, study_id: int, title: RejectionTitle, now: float) -> bool:
    """What this delivery brought is to be withdrawn; the conclude role writes the note. False: it is already."""
    made = insert_new(
        tx,
        withdrawal,
        {"delivery_id": delivery_id, "study_id": study_id, "title": title.value, "at": now},
        unless=("delivery_id",),
    )
    request(tx, Channel.STUDIES)
    return made is not None


def enter_if_recalled(tx: Connection, delivery_id: int, *, now: float) -> None:
    """A delivery that was under way while its result was recalled has arrived, or may have: withdraw it.

    Call it once the delivery has its new state: the result is locked, so that a recall that is being committed is
    waited for, and one that begins now sees the delivery.
    """
    row = tx.execute(
        select(delivery.c.study_id, result.c.recall_title)
        .join(result, result.c.id == delivery.c.result_id)
        .where(delivery.c.id == delivery_id)
        .with_for_update(of=result, key_share=True)
    ).one()
    if row.recall_title:
        enter(tx, delivery_id, study_id=row.study_id, title=RejectionTitle(row.recall_title), now=now)


def unnoted(tx: Connection, *, limit: int) -> dict[int, list[Unnoted]]:
    """What lacks a rejection note, by study id; at most `limit` studies, the first of them first."""
    some = select(withdrawal.c.study_id).where(UNNOTED).distinct().order_by(withdrawal.c.study_id).limit(limit)
    found: dict[int, list[Unnoted]] = defaultdict(list)
    for study_id in tx.execute(some).scalars().all():
        rows = tx.execute(
            select(result, withdrawal.c.id.label("withdrawal_id"), withdrawal.c.title, delivery.c.destination)
            .join(delivery, delivery.c.result_id == result.c.id)
            .join(withdrawal, withdrawal.c.delivery_id == delivery.c.id)
            .where(UNNOTED, withdrawal.c.study_id == study_id)
            .order_by(withdrawal.c.id)
        )
        found[study_id] += [
            Unnoted(
                withdrawal_id=row["withdrawal_id"],
                destination=row["destination"],
                title=RejectionTitle(row["title"]),
                result=result_row(row),
            )
            for row in rows.mappings()
        ]
    return dict(found)


def note(tx: Connection, withdrawal_ids: Collection[int], stored: StoredResult, *, study_id: int, now: float) -> int:
    """Enter the rejection note for these, whose bytes are durable; the id of its result.

    A note that stands in the ledger already keeps the bytes that were committed first (law 5).
    """
    insert_new(
        tx,
        result,
        {
            "sop_instance_uid": stored.sop_instance_uid,
            "study_id": study_id,
            "kind": stored.kind.value,
            "profile": stored.profile.value,
            "encoder_version": stored.encoder_version,
            "sop_class_uid": stored.sop_class_uid,
            "series_instance_uid": stored.series_instance_uid,
            "transfer_syntax_uid": stored.transfer_syntax_uid,
            "spool_key": stored.spool_key,
            "digest": stored.digest,
            "is_current": True,
            "state": ResultState.KEPT.value,
            "created_at": now,
        },
        unless=("sop_instance_uid",),
    )
    found = select(result.c.id).where(result.c.sop_instance_uid == stored.sop_instance_uid)
    note_id: int = tx.execute(found).scalar_one()
    waiting = update(withdrawal).where(withdrawal.c.id.in_(withdrawal_ids), UNNOTED)
    tx.execute(waiting.values(note_id=note_id))
    return note_id


def obstruct(tx: Connection, withdrawal_ids: Collection[int], obstacle: str) -> None:
    """No note can be written for these, and why: what they name must be deleted by hand."""
    tx.execute(update(withdrawal).where(withdrawal.c.id.in_(withdrawal_ids), UNNOTED).values(obstacle=obstacle))
