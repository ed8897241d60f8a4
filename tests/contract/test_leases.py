"""After a crash nobody waits for leases of processes that are gone."""

import os
import socket
import subprocess

from dicom_node.domain import JobState
from dicom_node.ledger import leases
from dicom_node.ledger.rows import job_row
from dicom_node.ledger.schema import job as job_table
from tests.contract.world import ATTEMPTS, World, arrival


def _states(world: World) -> list[JobState]:
    with world.ledger.reading() as tx:
        return [job_row(row).state for row in tx.execute(job_table.select().order_by(job_table.c.id)).mappings()]


def _reclaim(world: World) -> tuple[int, int]:
    with world.ledger.transaction() as tx:
        return leases.reclaim_vanished(tx, now=2.0, attempts_allowed=ATTEMPTS)


def _dead_pid() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


def test_what_a_process_that_is_gone_holds_is_taken_back_at_once(world: World) -> None:
    world.receive(arrival(1), arrival(2))
    world.claim(now=1.0, limit=1, owner=f"{socket.gethostname()}:{_dead_pid()}")
    world.claim(now=1.0, limit=1, owner=f"{socket.gethostname()}:{os.getppid()}")
    assert _reclaim(world) == (1, 0)
    assert _states(world) == [JobState.QUEUED, JobState.RUNNING]


def test_another_hosts_process_is_left_to_its_lease(world: World) -> None:
    world.receive(arrival(1))
    world.claim(now=1.0, owner=f"elsewhere:{_dead_pid()}")
    assert _reclaim(world) == (0, 0)
    assert _states(world) == [JobState.RUNNING]


def test_a_predecessor_with_the_same_process_id_is_gone_too(world: World) -> None:
    world.receive(arrival(1))
    world.claim(now=1.0, owner=leases.owner())
    assert _reclaim(world) == (1, 0)


def test_what_a_dead_sender_held_is_pending_again(world: World) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim()
    world.done(claim)
    world.through(now=20.0)
    assert len(world.sending(now=30.0, owner=f"{socket.gethostname()}:{_dead_pid()}")) == 1
    assert _reclaim(world) == (0, 1)
