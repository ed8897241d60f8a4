"""The role as a whole: it registers its model, wakes by the bell, drains when told, and survives SIGKILL."""

import contextlib
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_node.analyse import role
from dicom_node.config import Role
from dicom_node.domain import JobState
from dicom_node.errors import ConfigurationError, SchemaMismatch
from dicom_node.ledger import bell, jobs, models, processes, results
from dicom_node.ledger.schema import job
from dicom_node.sections import ModelSection
from tests.analyse.conftest import Node, settings_in, with_lesion
from tests.analyse.fakes import MANIFEST, ThresholdPredictor
from tests.waiting import wait_for


def states(node: Node) -> list[str]:
    with node.ledger.reading() as tx:
        return list(tx.execute(select(job.c.state).order_by(job.c.id)).scalars())


@contextlib.contextmanager
def running(node: Node) -> Iterator[None]:
    """The role in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=role.run, args=(node.settings, stop), kwargs={"predictor": ThresholdPredictor()})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_it_makes_its_model_known_and_reads_what_came_before_it(node: Node):
    node.arrive(with_lesion())
    assert states(node) == [], "nobody reads yet, so there is no job"
    with running(node):
        wait_for("the early image to be read", lambda: states(node) == [JobState.DONE], seconds=60)
        with node.ledger.reading() as tx:
            assert models.active(tx) == [MANIFEST.digest]
            assert [process.role for process in processes.seen(tx)] == [Role.ANALYSE]


def test_it_wakes_by_the_bell(node: Node, monkeypatch: pytest.MonkeyPatch):
    # it would sleep through the test
    monkeypatch.setattr(role, "_LONGEST_SLEEP", 1000.0)
    monkeypatch.setattr(bell, "LONGEST_WAIT", 1000.0)
    with running(node):
        wait_for("the model to be registered", lambda: _active(node), seconds=60)
        node.arrive(with_lesion())
        wait_for("the first image", lambda: states(node) == [JobState.DONE], seconds=60)
        node.arrive(with_lesion())
        wait_for("the second image", lambda: states(node) == [JobState.DONE] * 2, seconds=60)


def test_it_reads_everything_exactly_once_however_often_it_is_killed(node: Node):
    arrived = [node.arrive(with_lesion(), now=time.time()) for _ in range(3)]
    command = [sys.executable, "-m", "tests.analyse.node_process", str(node.settings.node.folder)]
    for enough in (1, 3):
        process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        try:
            wait_for(f"{enough} images", lambda enough=enough: states(node).count(JobState.DONE) >= enough, seconds=120)
            if enough == 3:
                process.terminate()
                process.wait(30)
        finally:
            process.kill()
            process.wait()
        wait_for("the leases of the killed to end", lambda: _reclaim(node))
    assert process.returncode == 0, "told to stop, it leaves in peace"
    assert states(node) == [JobState.DONE] * 3
    with node.ledger.reading() as tx:
        for one in arrived:
            rows = results.of_study(tx, one.study_id)
            assert len(rows) == 2
            for row in rows:
                assert hashlib.sha256(node.spool.read(row.spool_key)).hexdigest() == row.digest


def test_it_refuses_a_model_or_a_ledger_that_is_not_there(tmp_path: Path, node: Node):
    nowhere = node.settings.model_copy(update={"model": ModelSection(folder=tmp_path / "nowhere")})
    with pytest.raises(ConfigurationError, match=r"model\.folder"):
        role.run(nowhere, threading.Event())
    with pytest.raises(SchemaMismatch):
        role.run(settings_in(tmp_path / "other"), threading.Event(), predictor=ThresholdPredictor())
    above = node.settings.model_copy(update={"model": ModelSection(threshold=0.95)})
    with pytest.raises(ConfigurationError, match=r"model\.threshold"):
        role.run(above, threading.Event(), predictor=ThresholdPredictor())


def _active(node: Node) -> bool:
    with node.ledger.reading() as tx:
        return bool(models.active(tx))


def _reclaim(node: Node) -> bool:
    """What the conclude role does once leases have ended; whether nothing is running any more."""
    with node.ledger.transaction() as tx:
        jobs.reclaim_expired(tx, now=time.time(), attempts_allowed=100)
    return JobState.RUNNING not in states(node)
