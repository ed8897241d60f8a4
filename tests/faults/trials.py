"""One trial of each fault: it is brought about under load, and what became of the load is counted.

The short schedule (test_*.py) tries each once; the long one (`make faults`) as often as it is told to.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from pydicom.dataset import Dataset

from dicom_node.config import Role
from dicom_node.demo.archive import Kept, Verdict, keep_first
from dicom_node.demo.manners import Manner
from tests.faults import verdict
from tests.faults.hospital import Hospital, abnormal
from tests.faults.processes import Point, alive, frozen, kill, killed_at
from tests.waiting import wait_for

#: studies that are sent during one trial
LOAD = 3
#: seconds after the load began to be sent, at most, at which a kill at random strikes; more, and the work is done
_LATEST = 1.0
_SENDS = "sendto,sendmsg"
_SYNCS = "fsync,fdatasync"
#: the system calls at which each role is killed: what it had done by then must be enough, or come to nothing
POINTS: Mapping[Role, tuple[Point, ...]] = {
    Role.RECEIVE: (
        Point(calls="fsync"),
        Point(calls="writev"),
        Point(calls="fdatasync"),
        Point(calls="fdatasync", when=2),
        Point(calls=_SENDS, when=2),
    ),
    # what its encoders flush is theirs: they are other processes
    Role.ANALYSE: (
        Point(calls="fdatasync"),
        Point(calls=_SENDS),
        Point(calls="fdatasync", when=2),
        Point(calls="fdatasync", when=3),
    ),
    Role.CONCLUDE: (Point(calls="fdatasync"), Point(calls="writev"), Point(calls="fdatasync", when=2)),
    Role.DELIVER: (
        Point(calls="fdatasync"),
        Point(calls=_SENDS),
        Point(calls=_SENDS, when=3),
        Point(calls="fdatasync", when=2),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one trial."""

    fault: str
    #: False: the process never came to the chosen point, or nothing was left to be done at the drawn moment
    tried: bool
    #: acknowledged images that were lost, and objects that are not whole
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    #: seconds from the fault (from its end, where it lasts) until everything had come back
    recovered: float
    #: the system call that was chosen, if one was
    point: str = ""


Trial = Callable[[Hospital, random.Random], Outcome]


def killed_at_a_point(role: Role, point: Point, site: Hospital, _: random.Random) -> Outcome:
    """A role is killed as it gets to a system call."""
    pid = site.role(role)
    with killed_at(pid, point):
        with site.sending(*_load()):
            ends = time.monotonic() + 60
            wait_for("the kill, or the end of the load", lambda: _over(site, pid, ends), seconds=90)
            struck = time.monotonic()
        tried = not alive(pid)
    outcome = _outcome(site, f"{role.value} killed at a system call", struck, tried=tried)
    return replace(outcome, point=str(point))


def killed_at_random(role: Role, site: Hospital, chance: random.Random) -> Outcome:
    """A role is killed at a moment that is drawn."""
    pid = site.role(role)
    with site.sending(*_load()):
        _let_work(chance.uniform(0.0, _LATEST))
        busy = site.busy()
        kill(pid)
        struck = time.monotonic()
    return _outcome(site, f"{role.value} killed at random", struck, tried=busy)


def everything_killed(site: Hospital, chance: random.Random) -> Outcome:
    """The supervisor and every role are killed at once, as by a power cut; then the node is started."""
    with site.sending(*_load()):
        _let_work(chance.uniform(0.0, _LATEST))
        busy = site.busy()
        site.kill_everything()
        struck = time.monotonic()
        site.start()
    return _outcome(site, "every process killed at once", struck, tried=busy)


def supervisor_killed(site: Hospital, chance: random.Random) -> Outcome:
    """The supervisor alone is killed: its roles leave, no orphan keeps the port; then the node is started."""
    with site.sending(*_load()):
        _let_work(chance.uniform(0.0, _LATEST))
        busy = site.busy()
        struck = time.monotonic()
        site.kill_supervisor()
        site.start()
    return _outcome(site, "supervisor killed", struck, tried=busy)


def worker_frozen(site: Hospital, _: random.Random) -> Outcome:
    """The worker stands still past its lease, another does its work, and it wakes up again."""
    pid = site.role(Role.ANALYSE)
    with frozen(pid):
        site.send(*_load())
        struck = time.monotonic()
        other = site.start_role(Role.ANALYSE)
        site.settle()
    kill(other.pid)
    site.send(*_load(1))
    return _outcome(site, "worker frozen past its lease", struck)


def worker_frozen_in_mid_work(site: Hospital, _: random.Random) -> Outcome:
    """The same, with a job that the worker had begun: it wakes up with a result that is not wanted any more."""
    pid = site.role(Role.ANALYSE)
    load = _load()
    with site.sending(*load):
        wait_for("a job to run", lambda: site.ask("SELECT 1 FROM job WHERE state = 'running'"), seconds=60, every=0.001)
        with frozen(pid):
            struck = time.monotonic()
            other = site.start_role(Role.ANALYSE)
            wait_for(
                "the other worker to do it all",
                lambda: len(load) == len(site.acknowledged.keys() & {str(each.SOPInstanceUID) for each in load}),
                seconds=60,
            )
            site.settle()
    kill(other.pid)
    return _outcome(site, "worker frozen in mid-work", struck)


def archive_away(site: Hospital, chance: random.Random) -> Outcome:
    """The archive is down while the load is received and analysed."""
    site.close_archive()
    site.send(*_load())
    _let_work(chance.uniform(2.0, 5.0))
    site.open_archive()
    return _outcome(site, "archive down", time.monotonic())


def archive_full(site: Hospital, _: random.Random) -> Outcome:
    """The archive answers A700 to each object three times, then takes it."""
    refusals: dict[str, int] = {}

    def full(held: Kept | None, arrived: Kept) -> Verdict:
        tries = refusals[arrived.sop_instance_uid] = refusals.get(arrived.sop_instance_uid, 0) + 1
        return keep_first(held, arrived) if tries > 3 else Verdict(keep=False, status=0xA700)

    site.close_archive()
    site.open_archive(manners=full)
    struck = time.monotonic()
    site.send(*_load())
    return _outcome(site, "archive out of resources (A700)", struck)


def archive_awkward(manner: Manner, name: str, site: Hospital, _: random.Random) -> Outcome:
    """The archive has bad manners with each new object."""
    site.close_archive()
    site.open_archive(manner)
    struck = time.monotonic()
    site.send(*_load(1 if manner is Manner.STALL else LOAD))
    return _outcome(site, name, struck)


def _load(count: int = LOAD) -> list[Dataset]:
    return [abnormal() for _ in range(count)]


def _over(site: Hospital, pid: int, ends: float) -> bool:
    """The process is gone, or has had time to come to where it should have been killed."""
    return not alive(pid) or time.monotonic() > ends


def _let_work(seconds: float) -> None:
    """The moment of a kill is drawn: there is nothing to wait for."""
    until = time.monotonic() + seconds
    wait_for("the drawn moment", lambda: time.monotonic() > until, seconds=seconds + 5)


def _outcome(site: Hospital, fault: str, struck: float, *, tried: bool = True) -> Outcome:
    back = site.settle()
    return Outcome(
        fault=fault,
        tried=tried,
        lost=(*verdict.lost(site), *verdict.half_files(site)),
        duplicated=tuple(verdict.duplicated(site)),
        recovered=back - struck,
    )


#: trials of the archive's and the worker's faults, which kill nothing
FAULTS: Mapping[str, Trial] = {
    "worker-frozen": worker_frozen,
    "worker-frozen-in-mid-work": worker_frozen_in_mid_work,
    "archive-down": archive_away,
    "archive-full": archive_full,
    "archive-drops": partial(archive_awkward, Manner.DROP_AFTER_STORE, "archive stores and hangs up"),
    "archive-stalls": partial(archive_awkward, Manner.STALL, "archive stops reading"),
}


def kills(round_number: int) -> dict[str, Trial]:
    """The trials of one round that kill: each role at its next point or at random, the supervisor, everything."""
    trials: dict[str, Trial] = {}
    for role, points in POINTS.items():
        # every second round at random; the others walk through the points
        if round_number % 2:
            trials[f"{role.value}-killed-at-random"] = partial(killed_at_random, role)
        else:
            point = points[round_number // 2 % len(points)]
            trials[f"{role.value}-killed-at-call"] = partial(killed_at_a_point, role, point)
    return trials | {"supervisor-killed": supervisor_killed, "everything-killed": everything_killed}
