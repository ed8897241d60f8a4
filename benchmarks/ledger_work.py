"""What the node asks of its ledger all day long, one transaction each; timed as it is, commit included."""

import time
from collections.abc import Callable, Mapping
from random import Random

from dicom_node.domain import Arrival, Head, Kind, StudyState
from dicom_node.ledger import (
    Ledger,
    Tx,
    deliveries,
    instances,
    jobs,
    overview,
    processes,
    purge,
    results,
    studies,
    withdrawals,
)
from dicom_node.ledger.studies import NewDelivery
from tests.contract.world import ATTEMPTS, LEASE, MODEL, PARAMETERS, PATIENCE, QUIET, finding, stored

#: studies that `chexnode status` lists
_LISTED = 20
#: images of one batch, deliveries of one association
_BATCH = 4


class Place:
    """One ledger, and what is done to it; its clock is a number that goes on with each round."""

    def __init__(self, ledger: Ledger, *, now: float, images: int, seed: int) -> None:
        self.ledger = ledger
        self.now = now
        self._images = images
        self._chance = Random(seed)  # noqa: S311 - where a UID falls among others is no secret

    def arrival(self) -> Arrival:
        """A new image of a new study, whose UIDs fall anywhere among those that are known."""
        within = f"{self._chance.randrange(1, self._images + 1):012d}"
        unique = self._chance.randrange(10**8)
        return Arrival(
            head=Head(
                sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
                sop_instance_uid=f"1.2.826.0.1.3680043.10.511.1.{within}.{unique}",
                study_instance_uid=f"1.2.826.0.1.3680043.10.511.9.{within}.{unique}",
                accession_number=f"A{within}-{unique}",
                patient_id=f"P{within}",
            ),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            digest=f"{self._chance.getrandbits(256):064x}",
            size=15_000_000,
            calling_ae_title="DX1",
            spool_key=f"{self._chance.getrandbits(128):032x}",
            received_at=self.now,
        )

    def uid(self) -> str:
        """Of a result, anywhere among the others."""
        within = f"{self._chance.randrange(1, self._images + 1):012d}"
        return f"2.25.30000000000000000000000000{within}{self._chance.randrange(10**8)}"

    def writing(self, work: Callable[[Tx], object]) -> float:
        """Seconds of a transaction that writes."""
        self.now += 1
        started = time.perf_counter()
        with self.ledger.transaction() as tx:
            work(tx)
        return time.perf_counter() - started

    def reading(self, work: Callable[[Tx], object]) -> float:
        """Seconds of a snapshot."""
        started = time.perf_counter()
        with self.ledger.reading() as tx:
            work(tx)
        return time.perf_counter() - started


def _record(place: Place) -> float:
    new = place.arrival()
    return place.writing(lambda tx: instances.record(tx, new, parameters=PARAMETERS, now=place.now))


def _claim(place: Place) -> float:
    """A batch, and what was claimed goes back, so that there is as much for the next round."""
    claims: list[jobs.ClaimedJob] = []

    def work(tx: Tx) -> None:
        claims.extend(
            jobs.claim(tx, owner="node:1", now=place.now, lease=LEASE, limit=_BATCH, model_digest=MODEL),
        )

    taken = place.writing(work)
    with place.ledger.transaction() as tx:
        for claim in claims:
            jobs.postpone(tx, claim, now=place.now, not_before=place.now, reason="")
    return taken


def _finish(place: Place) -> float:
    """One image with a finding and two objects; a new one takes its place in the queue."""
    _record(place)
    with place.ledger.transaction() as tx:
        (claim,) = jobs.claim(tx, owner="node:1", now=place.now, lease=LEASE, limit=1, model_digest=MODEL)
    made = [stored(place.uid()), stored(place.uid(), Kind.SC)]
    return place.writing(
        lambda tx: jobs.finish_done(tx, claim, now=place.now, score=0.5, findings=[finding()], results=made)
    )


def _send(place: Place) -> float:
    """An association's worth is claimed, and stored."""
    claims: list[deliveries.ClaimedDelivery] = []

    def work(tx: Tx) -> None:
        claims.extend(
            deliveries.claim(tx, destination="pacs", now=place.now, owner="node:2", lease=LEASE, limit=_BATCH)
        )

    claimed = place.writing(work)

    def store(tx: Tx) -> None:
        for claim in claims[1:]:
            deliveries.postpone(tx, claim, now=place.now, reason="")
        deliveries.stored(tx, claims[0], place.now)

    return claimed + place.writing(store)


def _conclude(place: Place) -> float:
    """A study with one result is concluded, with its delivery."""
    new = place.arrival()
    with place.ledger.transaction() as tx:
        study_id = instances.record(tx, new, parameters=PARAMETERS, now=place.now).study_id
        row = studies.get(tx, study_id)
        studies.complete(tx, row, now=place.now)
        results.store(tx, [stored(place.uid())], study_id=study_id, now=place.now)
        (made,) = results.of_study(tx, study_id)
    wanted = [NewDelivery(result_id=made.result_id, destination="pacs", held=False)]

    def work(tx: Tx) -> None:
        at = studies.get(tx, study_id)
        assert at.state is StudyState.COMPLETE
        missing = studies.unfinished(tx, study_id)
        assert studies.conclude(tx, at, revision=1, now=place.now, deliveries=wanted, missing=missing)

    return place.writing(work)


def _conclude_look(place: Place) -> float:
    def work(tx: Tx) -> None:
        studies.quiet(tx, now=place.now, quiet_period=QUIET)
        studies.ready(tx, now=place.now, conclude_after=PATIENCE)
        withdrawals.unnoted(tx, limit=_LISTED)
        studies.next_due(tx, quiet_period=QUIET, conclude_after=PATIENCE)

    return place.reading(work)


def _status(place: Place) -> float:
    def work(tx: Tx) -> None:
        overview.studies(tx, limit=_LISTED)
        overview.queues(tx)
        processes.seen(tx)
        overview.destinations(tx, ["pacs"])
        overview.quarantined(tx)

    return place.reading(work)


def _due(place: Place) -> float:
    return place.reading(
        lambda tx: (
            jobs.next_due(tx),
            jobs.next_expiry(tx),
            deliveries.next_due(tx, "pacs"),
            deliveries.next_expiry(tx),
        )
    )


WORK: Mapping[str, Callable[[Place], float]] = {
    "record an arrival": _record,
    "claim a batch of jobs": _claim,
    "finish a job": _finish,
    "claim and end deliveries": _send,
    "conclude a study": _conclude,
    "status": _status,
    "status of an accession number": lambda place: place.reading(
        lambda tx: overview.studies(tx, accession=f"A{7:012d}")
    ),
    "when is something due": _due,
    "take back what lapsed": lambda place: place.writing(
        lambda tx: (
            jobs.reclaim_expired(tx, now=place.now, attempts_allowed=ATTEMPTS),
            deliveries.reclaim_expired(tx, now=place.now),
        )
    ),
    "what is to be concluded": _conclude_look,
    "what may be deleted": lambda place: place.reading(lambda tx: purge.due(tx, ended_before=place.now, limit=_LISTED)),
}


def round_of(places: Mapping[int, Place], measured: Mapping[str, Mapping[int, list[float]]]) -> None:
    """All of it once, at each size in turn, so that a busy machine slows them alike."""
    for name, work in WORK.items():
        for size, place in places.items():
            measured[name][size].append(work(place))
