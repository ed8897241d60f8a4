"""A day at the real ledger by a clock that is a number: arrivals are recorded, batches claimed and ended, in order."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dicom_node.domain import JobState, Reason
from dicom_node.ledger import Ledger, Tx, instances, jobs
from tests.contract.world import LEASE, MODEL, PARAMETERS, World, arrival

HOUR = 3600.0
#: images of a batch, and seconds that it takes: a small node on a long day
BATCH, BATCH_SECONDS = 4, 120.0
#: seconds between two looks at how much waits
_LOOK = 900.0
#: arrivals that are committed together: this is about order, not about speed
_TOGETHER = 64


@dataclass(frozen=True, order=True, kw_only=True)
class Came:
    """An image that comes, a study of its own."""

    #: seconds of the day
    at: float
    priority: int


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What a day was like."""

    #: priority → seconds that each of its images waited to be claimed
    waits: Mapping[int, Sequence[float]]
    #: priority → (seconds of the day, images that wait then)
    queue: Mapping[int, Sequence[tuple[float, int]]]
    #: (when it came, how long it waited) of each routine image, seconds
    routine_waits: Sequence[tuple[float, float]]


def spread(first: float, last: float, *, images: int, priority: int) -> list[Came]:
    """Images that come evenly between two hours of the day."""
    step = (last - first) * HOUR / images
    return [Came(at=first * HOUR + number * step, priority=priority) for number in range(images)]


def live(day: Sequence[Came], *, level: float, folder: Path) -> Lived:
    """Let `day` happen to a fresh ledger in `folder`, and read on until nothing waits."""
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    Ledger.migrate(url)
    ledger = Ledger.open(url)
    try:
        return _live(World(ledger), sorted(day), level=level)
    finally:
        ledger.close()


def _live(world: World, day: Sequence[Came], *, level: float) -> Lived:
    waits: dict[int, list[float]] = defaultdict(list)
    queue: dict[int, list[tuple[float, int]]] = defaultdict(list)
    waiting: dict[int, int] = defaultdict(int)
    routine: list[tuple[float, float]] = []
    now, come, next_look = 0.0, 0, 0.0
    while come < len(day) or any(waiting.values()):
        while come < len(day) and day[come].at <= now:
            here = [each for each in day[come : come + _TOGETHER] if each.at <= now]
            with world.ledger.transaction() as tx:
                for number, each in enumerate(here, start=come):
                    _arrive(tx, number, each, level=level)
                    waiting[each.priority] += 1
            come += len(here)
        if now >= next_look:
            for priority in {each.priority for each in day}:
                queue[priority].append((now, waiting[priority]))
            next_look = now + _LOOK
        taken = _batch(world, now=now)
        for number in taken:
            each = day[number]
            waits[each.priority].append(now - each.at)
            waiting[each.priority] -= 1
            if each.priority == 0:
                routine.append((each.at, now - each.at))
        now = now + BATCH_SECONDS if taken else day[come].at
    return Lived(waits=waits, queue=queue, routine_waits=sorted(routine))


def _arrive(tx: Tx, number: int, each: Came, *, level: float) -> None:
    new = replace(arrival(number, study=number, priority=each.priority), received_at=each.at)
    instances.record(tx, new, parameters=PARAMETERS, now=each.at, level=level)


def _batch(world: World, *, now: float) -> list[int]:
    """Claim a batch and end it; the numbers of its images."""
    with world.ledger.transaction() as tx:
        claims = jobs.claim(tx, owner="node:1", now=now, lease=LEASE, limit=BATCH, model_digest=MODEL)
        for claim in claims:
            # how a job ends says nothing about how long it waited: the shortest way is taken
            jobs.finish_unread(
                tx, claim, JobState.DECLINED, reason=Reason.LATERAL_VIEW, detail="", now=now + BATCH_SECONDS
            )
    return [int(claim.instance.sop_instance_uid.rpartition(".")[2]) for claim in claims]
