"""Withdrawing results: what was sent by rejection notes, what was not by never sending it."""

from dataclasses import dataclass, replace

from dicom_node.domain import ARRIVED, DeliveryState, Profile, RecallReason
from dicom_node.ledger import Ledger, withdrawals
from dicom_node.ledger import recall as recalls
from dicom_node.ledger.holding import ABANDONABLE
from dicom_node.ledger.recall import Recallable
from dicom_node.ledger.withdrawals import Withdrawn
from dicom_node.operate.choosing import Choice, studies_of

#: results that are recalled in one transaction: whoever receives does not wait for all of them
_BATCH = 100


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """What is recalled, one entry a result and destination."""

    #: destinations hold these, or may: rejection notes withdraw them
    there: tuple[Recallable, ...]
    #: destinations hold these, but whose they are is not known here any more: to be deleted by hand
    by_hand: tuple[Recallable, ...]
    #: they were not sent, and never will be
    unsent: tuple[Recallable, ...]
    #: being sent at that very moment: withdrawn as soon as they have arrived
    sending: tuple[Recallable, ...]
    #: results, each once, whether or not they went anywhere
    results: int


def recall(
    ledger: Ledger,
    chosen: Choice,
    *,
    reason: RecallReason,
    model_digest: str | None = None,
    profile: Profile | None = None,
    now: float,
    dry_run: bool = False,
) -> Recalled:
    """Recall what meets all that is given: of studies, made with a model, for a profile, within a time.

    `chosen.since` and `until` are when a result was made. The conclude role writes the rejection notes, the deliver
    role sends them. What was recalled before is left out. Raises NotFound for a study that the node does not have.
    """
    maker = None if model_digest is None else model_digest.lower()
    with ledger.reading() as tx:
        ids = studies_of(tx, replace(chosen, since=None, until=None))
        found = recalls.find(
            tx, study_ids=ids, model_digest=maker, profile=profile, since=chosen.since, until=chosen.until
        )
    fresh = [one for one in found if not one.recalled]
    marked = sorted({one.result_id for one in fresh})
    for start in range(0, 0 if dry_run else len(marked), _BATCH):
        with ledger.transaction() as tx:
            recalls.mark(tx, marked[start : start + _BATCH], title=reason.document_title, now=now)
    return Recalled(
        there=tuple(one for one in fresh if _is_there(one) and one.told),
        by_hand=tuple(one for one in fresh if _is_there(one) and not one.told),
        unsent=tuple(one for one in fresh if one.state in ABANDONABLE and not _is_there(one)),
        sending=tuple(one for one in fresh if one.state is DeliveryState.SENDING),
        results=len(marked),
    )


def withdrawn(ledger: Ledger, chosen: Choice) -> tuple[Withdrawn, ...]:
    """Everything that was recalled where a destination had it, and how far its rejection note came; the oldest first.

    Of the studies that `chosen` names, or else of all. Raises NotFound for a study that the node does not have.
    """
    with ledger.reading() as tx:
        return tuple(withdrawals.find(tx, study_ids=studies_of(tx, chosen)))


def _is_there(one: Recallable) -> bool:
    """It was stored, or may have been when the destination did not answer."""
    return one.state in ARRIVED or (one.state is DeliveryState.PENDING and one.attempts > 0)
