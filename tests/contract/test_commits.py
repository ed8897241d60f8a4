"""Group commits: whatever waits shares the next one, and nobody's fault is anybody else's."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from dicom_node.domain import Arrival
from dicom_node.errors import LedgerUnavailable, StorageFault
from dicom_node.ledger import Ledger, Tx, instances, models
from dicom_node.receive.commits import Commits, NotRecorded
from dicom_node.receive.intake import Intake
from dicom_node.spool import Spool
from tests.contract.world import MODEL, PARAMETERS, arrival
from tests.waiting import wait_for

WAITING = 8


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    with ledger.transaction() as tx:
        models.register(tx, digest=MODEL, name="probe", version="1", now=0.0)
        models.activate(tx, MODEL, parameters=PARAMETERS)
    return ledger


@pytest.fixture
def counted(ledger: Ledger) -> list[str]:
    """One entry a commit that writes."""
    seen: list[str] = []
    event.listen(ledger._engine, "commit", lambda connection: seen.append("commit"))
    return seen


def enter(tx: Tx, what: Arrival) -> str:
    return instances.record(tx, what, parameters=PARAMETERS, now=what.received_at).outcome.value


class Crowd:
    """Arrivals in threads of their own: the first is held in its transaction until all the others wait."""

    def __init__(self, ledger: Ledger, enters: Callable[[Tx, Arrival], str]) -> None:
        self._enters = enters
        self._pool = ThreadPoolExecutor(WAITING + 1)
        self._inside, self._go = threading.Event(), threading.Event()
        self.commits = Commits(ledger, self._enter)

    def _enter(self, tx: Tx, what: Arrival) -> str:
        self._inside.set()
        assert self._go.wait(20)
        return self._enters(tx, what)

    def record(self, arrivals: list[Arrival]) -> list[Future[str]]:
        first = self._pool.submit(self.commits.record, arrivals[0])
        assert self._inside.wait(20)
        others = [self._pool.submit(self.commits.record, each) for each in arrivals[1:]]
        wait_for("the others to wait", lambda: len(self.commits._queue) == len(others))
        self._go.set()
        self._pool.shutdown(wait=True)
        return [first, *others]


def _current(ledger: Ledger, images: range) -> list[int]:
    with ledger.reading() as tx:
        return [image for image in images if instances.current(tx, f"1.2.826.0.1.{image}") is not None]


def test_those_that_wait_share_one_commit(ledger: Ledger, counted: list[str]) -> None:
    arrivals = [arrival(image, study=image % 3) for image in range(WAITING + 1)]
    futures = Crowd(ledger, enter).record(arrivals)
    assert [future.result() for future in futures] == ["new"] * (WAITING + 1)
    assert len(counted) == 2, "that of the first, and one for all who waited"
    assert _current(ledger, range(WAITING + 1)) == list(range(WAITING + 1))


def test_one_alone_waits_for_nobody(ledger: Ledger, counted: list[str]) -> None:
    commits = Commits(ledger, enter)
    assert [commits.record(arrival(image)) for image in range(3)] == ["new"] * 3
    assert len(counted) == 3


def test_the_fault_of_one_is_no_others(ledger: Ledger) -> None:
    def enters(tx: Tx, what: Arrival) -> str:
        outcome = enter(tx, what)
        if what.head.sop_instance_uid.endswith(".5"):
            raise ValueError("its own fault")
        return outcome

    futures = Crowd(ledger, enters).record([arrival(image) for image in range(WAITING + 1)])
    for image, future in enumerate(futures):
        if image == 5:
            with pytest.raises(NotRecorded, match="its own fault") as raised:
                future.result()
            assert isinstance(raised.value.why, ValueError)
            assert not raised.value.in_doubt
        else:
            assert future.result() == "new"
    assert _current(ledger, range(WAITING + 1)) == [0, 1, 2, 3, 4, 6, 7, 8]


def test_the_same_image_twice_in_one_commit_is_a_duplicate(ledger: Ledger, counted: list[str]) -> None:
    futures = Crowd(ledger, enter).record([arrival(0), arrival(1), arrival(1), arrival(1, data="other"), arrival(2)])
    outcomes = [future.result() for future in futures]
    assert sorted(outcomes) == ["duplicate", "new", "new", "new", "new_version"]
    assert len(counted) == 2


def test_a_ledger_that_goes_away_is_told_to_all_at_once(ledger: Ledger) -> None:
    asked: list[str] = []

    def enters(tx: Tx, what: Arrival) -> str:
        asked.append(what.head.sop_instance_uid)
        if len(asked) > 1:
            raise LedgerUnavailable("gone")
        return enter(tx, what)

    futures = Crowd(ledger, enters).record([arrival(image) for image in range(WAITING + 1)])
    assert futures[0].result() == "new"
    for future in futures[1:]:
        with pytest.raises(NotRecorded, match="gone") as raised:
            future.result()
        assert not raised.value.in_doubt, "it was never asked to commit"
    assert len(asked) == 3, "the first, the crowd, one of it by itself: the others need not wait for the same answer"
    assert _current(ledger, range(WAITING + 1)) == [0]


@pytest.fixture
def intake(ledger: Ledger, tmp_path: Path) -> Iterator[Intake]:
    spool = Spool(tmp_path / "spool")
    yield Intake(spool, ledger, parameters=PARAMETERS, low_watermark=0, max_object_size=1 << 20)
    spool.close()


def _take(intake: Intake, image: int) -> tuple[str, str]:
    """What recording came to, and the key of its bytes."""
    key = intake.spool.put(str(image).encode())
    one = arrival(image)
    try:
        said = intake.record(
            head=one.head,
            transfer_syntax_uid=one.transfer_syntax_uid,
            digest=one.digest,
            size=one.size,
            calling_ae_title=one.calling_ae_title,
            spool_key=key,
            priority=0,
        )
    except (LedgerUnavailable, StorageFault) as error:
        said = type(error).__name__
    return said, key


@pytest.mark.parametrize("came_through", [True, False], ids=["came through", "did not"])
def test_a_commit_that_failed_unheard_loses_no_bytes(ledger: Ledger, intake: Intake, came_through: bool) -> None:
    """The answer of a commit is lost, once: each is entered again by itself, and finds its own row there, or none."""
    failing = [True]

    def fail(connection: Connection) -> None:
        if failing and failing.pop():
            if came_through:
                connection.connection.commit()
            raise LedgerUnavailable("no answer to the commit")

    with ThreadPoolExecutor(WAITING) as pool:
        with intake._commits._turn:  # so that all of them wait for one commit
            futures = [pool.submit(_take, intake, image) for image in range(WAITING)]
            wait_for("all of them to wait", lambda: len(intake._commits._queue) == WAITING)
            event.listen(ledger._engine, "commit", fail)
        taken = [future.result() for future in futures]
    assert [said for said, _ in taken] == ["new"] * WAITING
    with ledger.reading() as tx:
        rows = [instances.current(tx, f"1.2.826.0.1.{image}") for image in range(WAITING)]
    assert [row.spool_key for row in rows if row] == [key for _, key in taken]
    assert [intake.spool.read(key) for _, key in taken] == [str(image).encode() for image in range(WAITING)]


@pytest.mark.parametrize("error", [LedgerUnavailable, StorageFault])
def test_bytes_whose_commit_is_in_doubt_stay(
    ledger: Ledger, intake: Intake, error: type[LedgerUnavailable | StorageFault]
) -> None:
    def fail(connection: Connection) -> None:
        raise error("no answer to the commit")

    event.listen(ledger._engine, "commit", fail)
    said, key = _take(intake, 1)
    event.remove(ledger._engine, "commit", fail)
    assert said == error.__name__
    assert intake.spool.read(key) == b"1"
    assert _take(intake, 1)[0] == "new", "sent again it is taken"
