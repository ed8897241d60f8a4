"""One outbox: what is recorded of each outcome, and when it tries again."""

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import update

from dicom_node.deliver.circuit import Circuit
from dicom_node.deliver.destination import Outcome, Verdict
from dicom_node.deliver.outbox import BATCH, LEASE, Outbox
from dicom_node.deliver.recorder import Recorder
from dicom_node.errors import LedgerUnavailable
from dicom_node.ledger import Channel, Tx, deliveries, holding, schema
from dicom_node.ledger.rows import StoredResult
from tests.deliver.node import Node, settings_of
from tests.waiting import wait_for

STORED = Outcome(verdict=Verdict.STORED)
NEVER = threading.Event()


class Told:
    """A destination whose outcomes are told beforehand; success once they are used up."""

    def __init__(self, *outcomes: Outcome, before: Callable[[], object] = lambda: None) -> None:
        self.outcomes = list(outcomes)
        self.batches: list[list[str]] = []
        self.closed = 0
        self._before = before

    def send(self, results: Sequence[StoredResult]) -> Generator[Outcome, None, None]:
        self.batches.append([])
        try:
            for result in results:
                self._before()
                self.batches[-1].append(result.sop_instance_uid)
                yield self.outcomes.pop(0) if self.outcomes else STORED
        finally:
            self.closed += 1


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path, deliver={"retry_first": 60, "retry_longest": 900}))
    yield node
    node.close()


def outbox(node: Node, told: Told, circuit: Circuit | None = None, *, workers: int = 1) -> Outbox:
    section = node.settings.deliver
    return Outbox(
        "archive",
        told,
        ledger=node.ledger,
        recorder=Recorder(node.ledger),
        circuit=circuit or Circuit(section, jitter=lambda: 1.0),
        section=section,
        owner="test",
        workers=workers,
        jitter=lambda: 1.0,
    )


def results(node: Node, number: int) -> list[StoredResult]:
    return [node.result("1.2.3") for _ in range(number)]


def test_each_outcome_is_recorded(node: Node) -> None:
    node.queue("archive", *results(node, 4))
    told = Told(
        STORED,
        Outcome(verdict=Verdict.REFUSED, detail="never"),
        Outcome(verdict=Verdict.RETRY, detail="later"),
        Outcome(verdict=Verdict.UNTRIED, detail="not its turn"),
    )
    now = time.time()
    assert outbox(node, told).turn(NEVER) == 0
    one, two, three, four = node.deliveries()
    assert [view.state.value for view in (one, two, three, four)] == ["stored", "failed", "pending", "pending"]
    assert [view.attempts for view in (one, two, three, four)] == [1, 1, 1, 0]
    assert [view.last_error for view in (two, three, four)] == ["never", "later", ""]
    assert three.not_before == pytest.approx(now + 60, abs=5)
    assert four.not_before == pytest.approx(now, abs=5)


def test_a_warning_stands_in_the_event(node: Node) -> None:
    node.queue("archive", *results(node, 1))
    outbox(node, Told(Outcome(verdict=Verdict.STORED, detail="it answered with status B000"))).turn(NEVER)
    assert node.states() == ["stored"]
    assert "it answered with status B000" in node.reasons("delivery")


def test_each_outcome_is_recorded_at_once_while_the_next_is_sent(node: Node) -> None:
    node.queue("archive", *results(node, 3))
    seen: list[list[str]] = []

    def look() -> None:
        """The object goes out only once what was answered before it stands in the ledger."""
        wait_for("the outcomes so far", lambda: node.states().count("stored") == len(seen))
        seen.append(sorted(node.states()))

    outbox(node, Told(before=look)).turn(NEVER)
    assert seen == [
        ["sending", "sending", "sending"],
        ["sending", "sending", "stored"],
        ["sending", "stored", "stored"],
    ]


def test_waits_double_up_to_the_longest_and_never_end(node: Node) -> None:
    node.queue("archive", *results(node, 1))
    (before,) = node.deliveries()
    waits = []
    for _ in range(7):
        outbox(node, Told(Outcome(verdict=Verdict.RETRY, detail="later"))).turn(NEVER)
        (view,) = node.deliveries()
        waits.append(round((view.not_before - time.time()) / 30) * 30)
        with node.ledger.transaction() as tx:
            (claim,) = deliveries.claim(tx, destination="archive", now=view.not_before, owner="t", lease=1, limit=1)
            deliveries.postpone(tx, claim, now=time.time() - 1, reason="sooner, for the test")
    assert waits == [60, 120, 240, 480, 900, 900, 900]
    assert node.states() == ["pending"]
    assert before.attempts == 0


def test_a_destination_that_takes_nothing_is_left_alone_for_a_while(node: Node) -> None:
    node.queue("archive", *results(node, 1))
    tried = outbox(node, Told(Outcome(verdict=Verdict.RETRY, detail="dead")))
    assert tried.turn(NEVER) == 30
    assert tried.turn(NEVER) is None


def test_takes_no_more_than_a_batch_at_a_time(node: Node) -> None:
    node.queue("archive", *results(node, BATCH + 2))
    told = Told()
    sending = outbox(node, told)
    sending.turn(NEVER)
    sending.turn(NEVER)
    assert [len(batch) for batch in told.batches] == [BATCH, 2]
    assert node.states() == ["stored"] * (BATCH + 2)


def test_sends_nothing_of_another_destination_and_nothing_held(node: Node) -> None:
    node.queue("other", *results(node, 1))
    node.queue("archive", *results(node, 1), held=True)
    told = Told()
    assert outbox(node, told).turn(NEVER) is None
    assert told.batches == []
    assert sorted(node.states()) == ["held", "pending"]


def test_stop_ends_the_batch_and_hands_the_rest_back(node: Node) -> None:
    node.queue("archive", *results(node, 3))
    stop = threading.Event()
    told = Told(before=stop.set)
    outbox(node, told).turn(stop)
    assert node.states() == ["stored", "pending", "pending"]
    assert [view.attempts for view in node.deliveries()] == [1, 0, 0]
    assert told.closed == 1


def test_a_claim_that_was_taken_back_meanwhile_is_not_recorded(node: Node) -> None:
    node.queue("archive", *results(node, 2))

    def lapse() -> None:
        with node.ledger.transaction() as tx:
            deliveries.reclaim_expired(tx, now=time.time() + LEASE + 1)

    outbox(node, Told(before=lapse)).turn(NEVER)
    assert node.states() == ["pending", "pending"]


def test_what_is_held_is_kept(node: Node) -> None:
    node.queue("archive", *results(node, 1))
    moved = threading.Event()
    go_on = threading.Event()

    def wait() -> None:
        moved.set()
        go_on.wait()

    sending = outbox(node, Told(before=wait))
    thread = threading.Thread(target=sending.turn, args=(NEVER,), daemon=True)
    thread.start()
    assert moved.wait(10)
    with node.ledger.reading() as tx:
        first = deliveries.next_expiry(tx)
    sending.keep_hold()
    with node.ledger.reading() as tx:
        second = deliveries.next_expiry(tx)
    go_on.set()
    thread.join()
    assert first is not None
    assert second is not None
    assert second > first
    assert node.states() == ["stored"]


def test_a_stuck_thread_loses_what_is_handed_back(node: Node) -> None:
    node.queue("archive", *results(node, 1))
    stuck = threading.Event()
    wakes = threading.Event()

    def wait() -> None:
        stuck.set()
        wakes.wait()

    sending = outbox(node, Told(before=wait))
    thread = threading.Thread(target=sending.turn, args=(NEVER,), daemon=True)
    thread.start()
    assert stuck.wait(10)
    sending.hand_back()
    assert node.states() == ["pending"]
    wakes.set()
    thread.join()
    assert node.states() == ["pending"]


def test_survives_what_nobody_foresaw_and_stops_when_told_to(tmp_path: Path) -> None:
    node = Node(settings_of(tmp_path))
    failures = [RuntimeError("a bug of ours")]

    def fail_once() -> None:
        if failures:
            raise failures.pop()

    stop = threading.Event()
    sending = outbox(node, Told(before=fail_once))
    with node.ledger.bell.listen(Channel.DELIVERIES) as listener:
        thread = threading.Thread(target=sending.run, args=(listener, stop), daemon=True)
        thread.start()
        node.queue("archive", *results(node, 2))
        wait_for("both deliveries", lambda: node.states() == ["stored", "stored"])
        assert not failures
        assert any("RuntimeError" in reason for reason in node.reasons("delivery"))
        stop.set()
        listener.wake()
        thread.join(10)
        assert not thread.is_alive()
    node.close()


def test_a_ledger_that_is_busy_for_too_long_is_waited_for(node: Node) -> None:
    node.queue("archive", *results(node, 1))
    stop = threading.Event()

    class Busy(Told):
        def send(self, results: Sequence[StoredResult]) -> Generator[Outcome, None, None]:
            if not self.batches:
                self.batches.append([])
                raise LedgerUnavailable("busy")
            yield from super().send(results)

    told = Busy()
    sending = outbox(node, told)
    with node.ledger.bell.listen(Channel.DELIVERIES) as listener:
        thread = threading.Thread(target=sending.run, args=(listener, stop), daemon=True)
        thread.start()
        wait_for("the first try", lambda: told.batches)
        stop.set()
        listener.wake()
        thread.join(10)
    assert node.states() == ["sending"]
    sending.keep_hold()
    with node.ledger.transaction() as tx:
        assert deliveries.reclaim_expired(tx, now=time.time() + LEASE + 1) == 1


def test_what_was_not_delivered_in_time_is_held_until_a_person_says_so(tmp_path: Path) -> None:
    node = Node(settings_of(tmp_path, deliver={"deliver_within": 3600, "retry_first": 60}))
    try:
        node.queue("archive", *results(node, 2))
        with node.ledger.transaction() as tx:
            tx.execute(update(schema.delivery).where(schema.delivery.c.id == 1).values(created_at=time.time() - 3700))
        told = Told()
        outbox(node, told).turn(NEVER)
        late, timely = node.deliveries()
        assert [late.state.value, timely.state.value] == ["held", "stored"]
        assert late.last_error == "not delivered within 3600 s (deliver_within): it may come too late"
        with node.ledger.transaction() as tx:
            holding.release(tx, now=time.time(), destination="archive")
        outbox(node, told).turn(NEVER)
        assert node.states() == ["stored", "stored"]
    finally:
        node.close()


def test_what_only_waits_for_its_commitment_is_not_too_late(tmp_path: Path) -> None:
    node = Node(settings_of(tmp_path, deliver={"deliver_within": 3600}))
    try:
        node.queue("archive", *results(node, 1))
        with node.ledger.transaction() as tx:
            tx.execute(update(schema.delivery).values(created_at=time.time() - 3700, commitment_attempts=1))
        outbox(node, Told()).turn(NEVER)
        assert node.states() == ["stored"]
    finally:
        node.close()


def test_no_limit_is_no_limit(tmp_path: Path) -> None:
    node = Node(settings_of(tmp_path, deliver={"deliver_within": 0}))
    try:
        node.queue("archive", *results(node, 1))
        with node.ledger.transaction() as tx:
            tx.execute(update(schema.delivery).values(created_at=0.0))
        outbox(node, Told()).turn(NEVER)
        assert node.states() == ["stored"]
    finally:
        node.close()


def test_what_waits_for_its_image_or_is_held_gives_the_destination_no_pause(node: Node) -> None:
    node.queue("archive", *results(node, 2))
    told = Told(Outcome(verdict=Verdict.WAIT, detail="not there yet"), Outcome(verdict=Verdict.HOLD, detail="moved"))
    assert outbox(node, told).turn(NEVER) == 0
    waits, is_held = node.deliveries()
    assert [waits.state.value, is_held.state.value] == ["pending", "held"]
    assert (waits.last_error, is_held.last_error) == ("not there yet", "moved")
    assert waits.not_before > time.time() + 20


class Halting(Told):
    """Does not answer before it is told to."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.sending, self.may_answer = threading.Event(), threading.Event()
        super().__init__(*outcomes, before=self._halt)

    def _halt(self) -> None:
        self.sending.set()
        assert self.may_answer.wait(30)


@contextlib.contextmanager
def under_way(worker: Outbox, told: Halting) -> Iterator[list[float | None]]:
    """A turn of `worker` that has begun to send, and ends on leaving; then what it returned."""
    pauses: list[float | None] = []
    thread = threading.Thread(target=lambda: pauses.append(worker.turn(NEVER)), daemon=True)
    thread.start()
    assert told.sending.wait(30)
    try:
        yield pauses
    finally:
        told.may_answer.set()
        thread.join(30)


def test_two_workers_share_what_is_due_and_send_nothing_twice(node: Node) -> None:
    studies = [node.queue("archive", *results(node, 3)) for _ in range(8)]
    circuit = Circuit(node.settings.deliver)
    first, second = Halting(), Told()
    one, other = outbox(node, first, circuit, workers=2), outbox(node, second, circuit, workers=2)
    with under_way(one, first):
        while other.turn(NEVER) is not None:
            pass
    assert node.states() == ["stored"] * 24
    assert [len(batch) for batch in (*first.batches, *second.batches)] == [12, 6, 4, 2]
    sent = [uid for batch in (*first.batches, *second.batches) for uid in batch]
    assert sent == [uid for study in studies for uid in study]


def test_a_study_is_not_sent_by_two_at_a_time(node: Node) -> None:
    node.queue("archive", *results(node, BATCH + 3))
    circuit = Circuit(node.settings.deliver)
    first, second = Halting(), Told()
    one, other = outbox(node, first, circuit, workers=2), outbox(node, second, circuit, workers=2)
    with under_way(one, first):
        assert other.turn(NEVER) is None
    assert other.turn(NEVER) == 0
    assert second.batches
    assert node.states().count("stored") == len(first.batches[0]) + len(second.batches[0])


def test_the_workers_of_a_dead_destination_take_one_pause_together(node: Node, tmp_path: Path) -> None:
    for _ in range(4):
        node.queue("archive", *results(node, 4))
    dead = [Outcome(verdict=Verdict.RETRY, detail="dead", unreached=True)] * 16
    section = settings_of(tmp_path / "other", deliver={"retry_first": 8, "retry_longest": 900}).deliver
    circuit = Circuit(section, jitter=lambda: 1.0)
    first, second = Halting(*dead), Told(*dead)
    one, other = outbox(node, first, circuit, workers=2), outbox(node, second, circuit, workers=2)
    with under_way(one, first) as pauses:
        assert other.turn(NEVER) == 8
    # it was the same trouble, so the pause was not doubled
    assert pauses[0] is not None
    assert 0 < pauses[0] <= 8
    assert 0 < circuit.wait() <= 8
    assert node.states().count("pending") == 16


def test_after_a_pause_one_asks_first_and_the_others_follow_once_it_took_something(tmp_path: Path) -> None:
    section = settings_of(tmp_path, deliver={"retry_first": 0.01, "retry_longest": 0.01}).deliver
    circuit = Circuit(section)
    circuit.vain(time.monotonic())
    wait_for("the pause to end", lambda: circuit.wait() == 0)
    waits: list[float] = []
    other = threading.Thread(target=lambda: waits.append(circuit.wait()))
    other.start()
    other.join()
    assert waits[0] > 0.01
    assert circuit.wait() == 0
    assert circuit.took()
    assert not circuit.took()
    other = threading.Thread(target=lambda: waits.append(circuit.wait()))
    other.start()
    other.join()
    assert waits[1] == 0


def test_an_association_too_many_costs_no_delivery_an_attempt(node: Node) -> None:
    for _ in range(3):
        node.queue("archive", *results(node, 4))
    circuit = Circuit(node.settings.deliver)
    sibling = outbox(node, Told(), circuit, workers=2)

    class Full(Told):
        """There is no room beside the association that is there."""

        def send(self, results: Sequence[StoredResult]) -> Generator[Outcome, None, None]:
            sibling.turn(NEVER)
            yield from (Outcome(verdict=Verdict.RETRY, detail="no room", unreached=True) for _ in results)

    rest = outbox(node, Full(), circuit, workers=2).turn(NEVER)
    assert rest is not None
    assert rest > 0
    assert circuit.wait() == 0
    assert sorted(node.states()) == ["pending"] * 8 + ["stored"] * 4
    assert {one.attempts for one in node.deliveries() if one.state.value == "pending"} == {0}


def test_what_one_outcome_breaks_breaks_no_other(node: Node) -> None:
    """Outcomes that share a commit: one that the ledger cannot take is the only one that is lost."""
    node.queue("archive", *results(node, 3))
    with node.ledger.transaction() as tx:
        claims = deliveries.claim(tx, destination="archive", now=time.time(), owner="t", lease=60, limit=3)
    begun, go_on = threading.Event(), threading.Event()

    def halt(tx: Tx) -> None:
        begun.set()
        go_on.wait(10)

    def fail(tx: Tx) -> None:
        deliveries.stored(tx, claims[1], time.time())
        raise ValueError("nobody foresaw it")

    with Recorder(node.ledger) as recorder:
        recorder.record(0, halt)
        assert begun.wait(10)
        entered = [
            recorder.record(1, lambda tx: deliveries.stored(tx, claims[0], time.time())),
            recorder.record(2, fail),
            recorder.record(3, lambda tx: deliveries.stored(tx, claims[2], time.time())),
        ]
        go_on.set()
        assert [type(each.exception(10)) for each in entered] == [type(None), ValueError, type(None)]
    assert node.states() == ["stored", "sending", "stored"]
