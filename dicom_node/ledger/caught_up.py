"""Images that the node itself fetched after an outage: their results go to the destination that was named, only."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select, true

from dicom_node.ledger.rows import insert_new
from dicom_node.ledger.schema import caught_up, instance, job, result

#: UIDs in one query
_STEP = 500


@dataclass(frozen=True, kw_only=True)
class Routes:
    """By what the results of a study are routed."""

    #: calling AE titles of the current images that came by themselves, sorted
    calling_ae_titles: tuple[str, ...]
    #: of the jobs of images that were fetched: the destination that was named
    named: dict[int, str] = field(default_factory=dict)


def own(tx: Connection, sop_instance_uids: Sequence[str]) -> set[str]:
    """Of these, what the node made itself."""
    made: set[str] = set()
    for some in _steps(sop_instance_uids):
        made.update(tx.execute(select(result.c.sop_instance_uid).where(result.c.sop_instance_uid.in_(some))).scalars())
    return made


def unknown(tx: Connection, sop_instance_uids: Sequence[str]) -> list[str]:
    """Of these, in their order, what the node neither received, whatever became of it, nor made itself."""
    known = own(tx, sop_instance_uids)
    for some in _steps(sop_instance_uids):
        came = select(instance.c.sop_instance_uid).where(instance.c.sop_instance_uid.in_(some))
        known.update(tx.execute(came).scalars())
    return [uid for uid in sop_instance_uids if uid not in known]


def name(tx: Connection, sop_instance_uids: Iterable[str], *, destination: str, now: float) -> None:
    """These are about to be fetched for `destination`, a peer's name. What is expected for another stays with that."""
    for uid in sop_instance_uids:
        values = {"sop_instance_uid": uid, "destination": destination, "asked_at": now}
        insert_new(tx, caught_up, values, unless=("sop_instance_uid",))


def forget_missing(tx: Connection, sop_instance_uids: Sequence[str]) -> None:
    """These are not fetched any more: those that did not come are routed like any other, should they come."""
    for some in _steps(unknown(tx, sop_instance_uids)):
        tx.execute(delete(caught_up).where(caught_up.c.sop_instance_uid.in_(some)))


def routes(tx: Connection, study_id: int) -> Routes:
    """By what the results of a study are routed: by who sent its images, or by what was named for them."""
    named = select(caught_up.c.id).where(caught_up.c.sop_instance_uid == instance.c.sop_instance_uid).exists()
    titles = (
        select(instance.c.calling_ae_title)
        .distinct()
        .where(instance.c.study_id == study_id, instance.c.is_current == true(), ~named)
    )
    jobs = (
        select(job.c.id, caught_up.c.destination)
        .join(instance, instance.c.id == job.c.instance_id)
        .join(caught_up, caught_up.c.sop_instance_uid == instance.c.sop_instance_uid)
        .where(job.c.study_id == study_id)
    )
    return Routes(
        calling_ae_titles=tuple(sorted(tx.execute(titles).scalars())),
        named={row[0]: row[1] for row in tx.execute(jobs)},
    )


def _steps(uids: Sequence[str]) -> Iterator[Collection[str]]:
    for start in range(0, len(uids), _STEP):
        yield uids[start : start + _STEP]
