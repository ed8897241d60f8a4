"""History costs nothing: what is asked all the time does the same work after 1,000 studies and after 50,000."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, event, text

from dicom_node.ledger import Ledger, deliveries, holding, instances, jobs, overview, purge, results, studies
from tests.contract.world import ATTEMPTS, LEASE, MODEL, PARAMETERS, PATIENCE, QUIET, World, arrival, stored

LITTLE, MUCH = 1_000, 50_000

_HISTORY = (
    "INSERT INTO study (study_instance_uid, state, first_arrival, last_arrival, completed_at, concluded_at,"
    " accession_number, identity_key) SELECT 'old.' || n, 'concluded', n, n, n, n, 'OLD' || n, 'k' FROM seq",
    "INSERT INTO instance (study_id, sop_instance_uid, sop_class_uid, digest, transfer_syntax_uid, size,"
    " calling_ae_title, spool_key, received_at, state, is_current, without_job, identity)"
    " SELECT id, 'image.' || study_instance_uid, 'c', 'd' || id, 't', 1, 'A', 'k', 0, 'received', 1, 0, 'i'"
    " FROM study WHERE state = 'concluded'",
    "INSERT INTO job (instance_id, study_id, model, parameters, state, not_before, created_at, ended_at)"
    f" SELECT id, study_id, '{MODEL}', '{PARAMETERS}', 'done', 0, 0, 0 FROM instance",
    "INSERT INTO result (sop_instance_uid, study_id, job_id, kind, profile, encoder_version, sop_class_uid,"
    " series_instance_uid, transfer_syntax_uid, spool_key, digest, is_current, state, created_at)"
    " SELECT 'result.' || id, study_id, id, 'seg', 'strict', '1', 'c', 's', 't', 'k', 'd', 1, 'kept', 0 FROM job",
    "INSERT INTO delivery (result_id, study_id, destination, state, not_before, created_at, ended_at)"
    " SELECT id, study_id, 'pacs', 'stored', 0, 0, id FROM result",
)


def _with_history(world: World, studies_before: int) -> World:
    """That many concluded studies of one delivered image each, then a few that are under way in every state."""
    with world.ledger.transaction() as tx:
        tx.execute(
            text(
                "CREATE TEMP TABLE seq AS WITH RECURSIVE c(n) AS"
                f" (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {studies_before}) SELECT n FROM c"
            )
        )
        for statement in _HISTORY:
            tx.execute(text(statement))
    start = float(studies_before)
    world.receive(*(arrival(n, study=n) for n in range(1, 5)), now=start)
    for number, claim in enumerate(world.claim(now=start, limit=3), start=1):
        world.done(claim, now=start, encoded=[stored(f"2.25.{number}")])
    world.through(now=start + 20)
    world.sending(now=start + 21, limit=1)
    world.receive(*(arrival(n, study=n) for n in range(10, 13)), now=start + 30)
    return world


def _steps(connection: Connection, work: Callable[[], object]) -> int:
    """Instructions of SQLite's virtual machine that `work` takes: the same on every machine."""
    counted = [0]

    def count() -> int:
        counted[0] += 1
        return 0

    sqlite = connection.connection.driver_connection
    assert sqlite is not None
    sqlite.set_progress_handler(count, 1)
    work()
    sqlite.set_progress_handler(None, 1)
    return counted[0]


def _work(tx: Connection, now: float) -> dict[str, Callable[[], object]]:
    return {
        "record": lambda: instances.record(tx, arrival(20, study=20), parameters=PARAMETERS, now=now),
        "duplicate": lambda: instances.record(tx, arrival(20, study=20), parameters=PARAMETERS, now=now),
        "claim": lambda: jobs.claim(tx, owner="w", now=now, lease=LEASE, limit=2, model_digest=MODEL),
        "finish": lambda: jobs.finish_done(
            tx,
            jobs.claim(tx, owner="w", now=now, lease=LEASE, limit=1, model_digest=MODEL)[0],
            now=now,
            score=0.1,
            findings=[],
            results=[stored("2.25.77")],
        ),
        "reclaim": lambda: jobs.reclaim_expired(tx, now=now, attempts_allowed=ATTEMPTS),
        "jobs due": lambda: (jobs.next_due(tx), jobs.next_expiry(tx), jobs.failed(tx)),
        "quiet": lambda: studies.quiet(tx, now=now, quiet_period=QUIET),
        "ready": lambda: studies.ready(tx, now=now, conclude_after=PATIENCE),
        "studies due": lambda: studies.next_due(tx, quiet_period=QUIET, conclude_after=PATIENCE),
        "send": lambda: deliveries.claim(tx, destination="pacs", now=now, owner="s", lease=LEASE, limit=1),
        "sendings": lambda: (deliveries.next_due(tx, "pacs"), deliveries.reclaim_expired(tx, now=now)),
        "status": lambda: (overview.studies(tx, limit=5), overview.queues(tx), overview.quarantined(tx)),
        "status of one": lambda: (
            overview.studies(tx, accession="OLD7"),
            overview.studies(tx, study_uid="old.7"),
        ),
        "destinations": lambda: overview.destinations(tx, ["pacs"]),
        "results": lambda: (results.of_study(tx, 7), results.of_sop_instance(tx, "image.old.7")),
        "retain": lambda: (
            purge.due(tx, ended_before=now, limit=5),
            purge.due(tx, ended_before=now, limit=5, after=7),
        ),
        "operate": lambda: (
            holding.release(tx, now=now, destination="pacs"),
            holding.requeue(tx, now=now, destination="pacs"),
            holding.abandon(tx, now=now, reason="", destination="nowhere"),
        ),
    }


def _costs(url: str, studies_before: int) -> dict[str, int]:
    ledger = Ledger.open(url)
    _with_history(World(ledger), studies_before)
    with ledger.transaction() as tx:
        costs = {name: _steps(tx, work) for name, work in _work(tx, studies_before + 60.0).items()}
    ledger.close()
    return costs


def test_the_cost_of_everyday_work_does_not_grow_with_history(url: str, folder: Path) -> None:
    little = _costs(url, LITTLE)
    second = f"sqlite:///{folder}/second.sqlite"
    Ledger.migrate(second)
    much = _costs(second, MUCH)
    grown = {name: (little[name], much[name]) for name in little if much[name] > 1.2 * little[name] + 20}
    assert grown == {}


def test_no_query_of_everyday_work_scans_a_table_or_sorts_a_queue(url: str) -> None:
    ledger = Ledger.open(url)
    _with_history(World(ledger), LITTLE)
    asked: list[tuple[str, object]] = []

    def note(connection: object, cursor: object, statement: str, parameters: object, *rest: object) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            asked.append((statement, parameters))

    with ledger.transaction() as tx:
        engine: Engine = tx.engine
        event.listen(engine, "before_cursor_execute", note)
        for work in _work(tx, LITTLE + 60.0).values():
            work()
        event.remove(engine, "before_cursor_execute", note)
        assert len(asked) > 60
        for statement, parameters in asked:
            plan = [row[3] for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for step in plan:
                scanned = step.startswith("SCAN") and not _bounded(step)
                sorted_queue = "TEMP B-TREE" in step and _takes_from_a_queue(statement)
                assert not scanned, (step, statement)
                assert not sorted_queue, (step, statement)
    ledger.close()


def _bounded(step: str) -> bool:
    """A scan of a partial index is one of the queue; models are a handful; what is counted or newest stops at LIMIT."""
    return (
        step.startswith("SCAN anon_")
        or (
            "USING" in step
            and any(
                f"INDEX ix_{name}" in step
                for name in (
                    "job_",
                    "delivery_",
                    "commitment_",
                    "study_open",
                    "study_complete",
                    "study_last_arrival",
                    "instance_q",
                    "instance_pledged",
                )
            )
        )
        or step == "SCAN model"
    )


def _takes_from_a_queue(statement: str) -> bool:
    return "LIMIT" in statement and ("'queued'" in statement or "'pending'" in statement)
