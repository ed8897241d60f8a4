"""The next of each queue is found by an index and never sorted for, on both databases."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, event

from dicom_node.ledger import deliveries, jobs, overview, purge, studies
from dicom_node.ledger.ledger import Tx
from tests.contract.world import LEASE, MODEL, PATIENCE, QUIET, World, arrival

#: what is asked, and the index that must answer it
ASKED: dict[str, tuple[Callable[[Tx], object], str]] = {
    "claim": (
        lambda tx: jobs.claim(tx, owner="w", now=9.0, lease=LEASE, limit=2, model_digest=MODEL),
        "ix_job_queued",
    ),
    "next due": (jobs.next_due, "ix_job_due"),
    "next expiry": (jobs.next_expiry, "ix_job_running"),
    "send": (
        lambda tx: deliveries.claim(tx, destination="pacs", now=9.0, owner="s", lease=LEASE, limit=2),
        "ix_delivery_pending",
    ),
    "next to send": (lambda tx: deliveries.next_due(tx, "pacs"), "ix_delivery_pending"),
    "quiet": (lambda tx: studies.quiet(tx, now=9.0, quiet_period=QUIET), "ix_study_open"),
    "ready": (lambda tx: studies.ready(tx, now=9.0, conclude_after=PATIENCE), "ix_study_complete"),
    "due to be purged": (lambda tx: purge.due(tx, ended_before=9.0, limit=2), "ix_study_remembered"),
    "the next of these": (lambda tx: purge.due(tx, ended_before=9.0, limit=2, after=1), "ix_study_remembered"),
    "oldest that waits": (lambda tx: overview.destinations(tx, ["pacs"]), "ix_delivery_decided"),
    "urgent ones": (overview.queues, "ix_job_urgent"),
}
#: the least of a column; of a handful of rows PostgreSQL may as well read another index of the same queue to its end
LEAST = {"next due": "ix_job_", "next expiry": "ix_job_", "next to send": "ix_delivery_"}


def _plans(tx: Connection, work: Callable[[Tx], object]) -> list[tuple[str, str]]:
    """(statement, plan) of each SELECT that `work` makes; the planner scans and sorts only where it must."""
    asked: list[tuple[str, object]] = []

    def note(connection: object, cursor: object, statement: str, parameters: object, *rest: object) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(tx.engine, "before_cursor_execute", note)
    try:
        work(tx)
    finally:
        event.remove(tx.engine, "before_cursor_execute", note)
    if tx.dialect.name == "postgresql":
        for setting in ("seqscan", "sort", "bitmapscan", "incremental_sort"):
            tx.exec_driver_sql(f"SET LOCAL enable_{setting} = off")
    explain = "EXPLAIN" if tx.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    return [
        (
            statement,
            "\n".join(
                str(row[-1])
                for row in tx.exec_driver_sql(f"{explain} {statement}", parameters)  # type: ignore[arg-type]
            ),
        )
        for statement, parameters in asked
    ]


@pytest.mark.parametrize("what", ASKED)
def test_an_index_answers(world: World, what: str) -> None:
    world.receive(*(arrival(n, study=n) for n in range(1, 4)))
    world.analyse()
    world.through(now=20.0)
    world.receive(*(arrival(n, study=n) for n in range(4, 9)), now=21.0)
    work, index = ASKED[what]
    with world.ledger.transaction() as tx:
        plans = _plans(tx, work)
        if tx.dialect.name == "postgresql":
            index = LEAST.get(what, index)
    using = [(statement, plan) for statement, plan in plans if index in plan]
    assert using, plans
    for statement, plan in using:
        assert "Sort" not in plan, plan
        assert "Seq Scan on job" not in plan, plan
        assert "TEMP B-TREE" not in plan, (statement, plan)
