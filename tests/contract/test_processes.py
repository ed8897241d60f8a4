"""Several real processes on one ledger."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import func, select

from dicom_node.ledger import processes
from dicom_node.ledger.schema import event, job
from tests.contract.world import World, arrival

ROOT = Path(__file__).parents[2]
WORKERS, JOBS = 4, 200


def test_four_processes_do_each_job_exactly_once(world: World, ledger_url: str) -> None:
    world.receive(*(arrival(number) for number in range(JOBS)), now=0.0)
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.contract.claimer", ledger_url, f"worker-{number}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(WORKERS)
    ]
    done = []
    for worker in workers:
        output, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0
        done.append([int(line) for line in output.split()])
    assert sorted(number for numbers in done for number in numbers) == list(range(1, JOBS + 1))
    with world.ledger.reading() as tx:
        assert tx.execute(select(job.c.attempts).distinct()).scalars().all() == [1]
        moves = tx.execute(select(event.c.to_state, func.count()).group_by(event.c.to_state)).all()
    assert dict(map(tuple, moves)) == {"running": JOBS, "done": JOBS}


def test_processes_are_seen_and_forgotten(world: World) -> None:
    with world.ledger.transaction() as tx:
        processes.heartbeat(tx, role="receive", host="a", pid=7, version="1", now=0.0)
        processes.heartbeat(tx, role="analyse", host="a", pid=8, version="1", now=10.0)
        processes.heartbeat(tx, role="receive", host="a", pid=7, version="1", now=20.0)
        seen = processes.seen(tx)
    assert [(row.role, row.pid, row.started_at, row.seen_at) for row in seen] == [
        ("receive", 7, 0.0, 20.0),
        ("analyse", 8, 10.0, 10.0),
    ]
    with world.ledger.transaction() as tx:
        processes.heartbeat(tx, role="analyse", host="a", pid=9, version="1", now=20.0 + 86401)
        assert [row.pid for row in processes.seen(tx)] == [9]
