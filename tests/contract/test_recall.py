"""Recalled results: never sent again, withdrawn where they are, each by a rejection note that is a result too."""

import threading

import pytest
from sqlalchemy import select

from dicom_node.domain import DeliveryState, Kind, RejectionTitle
from dicom_node.ledger import Tx, deliveries, holding, overview, purge, recall, results, withdrawals
from dicom_node.ledger.deliveries import NewDelivery
from dicom_node.ledger.schema import delivery, result
from tests.contract.world import MODEL, World, arrival, stored

QUALITY = RejectionTitle.QUALITY


@pytest.fixture
def sent(world: World) -> World:
    """Two images of a study, a result each, both stored at `pacs`; the second waits for `viewer` as well."""
    world.receive(arrival(1), arrival(2), now=0.0)
    for number, claim in enumerate(world.claim(), start=1):
        world.done(claim, encoded=[stored(f"2.25.{number}")])
    world.through(now=20.0)
    with world.ledger.transaction() as tx:
        wanted = [NewDelivery(result_id=2, destination="viewer", held=False)]
        deliveries.queue_deliveries(tx, wanted, study_id=1, now=20.0)
    for claim in world.sending(now=21.0):
        with world.ledger.transaction() as tx:
            deliveries.stored(tx, claim, 22.0)
    return world


def _recall(world: World, *ids: int, title: RejectionTitle = QUALITY, now: float = 30.0) -> int:
    with world.ledger.transaction() as tx:
        return recall.mark(tx, ids, title=title, now=now)


def _waiting(world: World) -> dict[str, list[str]]:
    """What lacks a note: SOP Instance UIDs by destination."""
    with world.ledger.reading() as tx:
        found: dict[str, list[str]] = {}
        for objects in withdrawals.unnoted(tx, limit=10).values():
            for one in objects:
                found.setdefault(one.destination, []).append(one.result.sop_instance_uid)
        return found


def _states(world: World) -> list[tuple[str, str]]:
    with world.ledger.reading() as tx:
        rows = tx.execute(select(delivery.c.destination, delivery.c.state).order_by(delivery.c.id)).all()
        return [(row.destination, row.state) for row in rows]


def test_what_was_stored_is_withdrawn_and_what_was_not_is_never_sent(sent: World) -> None:
    assert _recall(sent, 1, 2) == 2
    assert _waiting(sent) == {"pacs": ["2.25.1", "2.25.2"]}
    assert _states(sent) == [("pacs", "stored"), ("pacs", "stored"), ("viewer", "abandoned")]
    assert sent.current_results() == []
    assert sent.sending(now=40.0, destination="viewer") == []


def test_recalling_twice_is_recalling_once(sent: World) -> None:
    _recall(sent, 1)
    assert _recall(sent, 1, 2, title=RejectionTitle.PATIENT_SAFETY, now=31.0) == 1
    with sent.ledger.reading() as tx:
        assert {one.sop_instance_uid: one.title for one in withdrawals.find(tx)} == {
            "2.25.1": QUALITY,
            "2.25.2": RejectionTitle.PATIENT_SAFETY,
        }
        titles = tx.execute(select(result.c.recall_title, result.c.recalled_at).order_by(result.c.id)).all()
    assert [tuple(row) for row in titles] == [("113001", 30.0), ("113037", 31.0)]


def test_what_is_being_sent_is_withdrawn_once_it_has_arrived(sent: World) -> None:
    (under_way,) = sent.sending(now=25.0, destination="viewer")
    _recall(sent, 2)
    assert _waiting(sent) == {"pacs": ["2.25.2"]}
    with sent.ledger.transaction() as tx:
        deliveries.stored(tx, under_way, 31.0)
    assert _waiting(sent) == {"pacs": ["2.25.2"], "viewer": ["2.25.2"]}


@pytest.mark.parametrize("first", ["recall", "answer"])
def test_what_a_destination_did_not_answer_to_may_be_there(sent: World, first: str) -> None:
    (under_way,) = sent.sending(now=25.0, destination="viewer")

    def no_answer() -> None:
        with sent.ledger.transaction() as tx:
            deliveries.retry(tx, under_way, now=26.0, not_before=27.0, error="no answer")

    if first == "answer":
        no_answer()
    _recall(sent, 2)
    if first == "recall":
        no_answer()
        assert sent.sending(now=40.0, destination="viewer") == []
    assert _waiting(sent)["viewer"] == ["2.25.2"]
    assert _states(sent)[-1] == ("viewer", "abandoned")


def test_what_a_destination_refused_is_not_there(sent: World) -> None:
    (under_way,) = sent.sending(now=25.0, destination="viewer")
    with sent.ledger.transaction() as tx:
        deliveries.refused(tx, under_way, 26.0, "0x0122")
    _recall(sent, 2)
    assert _waiting(sent) == {"pacs": ["2.25.2"]}
    assert _states(sent)[-1] == ("viewer", "abandoned")


def _note(world: World, *, now: float = 32.0) -> int:
    with world.ledger.transaction() as tx:
        ((study_id, objects),) = withdrawals.unnoted(tx, limit=10).items()
        ids = [one.withdrawal_id for one in objects]
        note_id = withdrawals.note(tx, ids, stored("2.25.99", Kind.KOS), study_id=study_id, now=now)
        wanted = [NewDelivery(result_id=note_id, destination="pacs", held=False, released=True)]
        deliveries.queue_deliveries(tx, wanted, study_id=study_id, now=now)
    return note_id


def test_a_note_is_sent_like_a_result_and_is_none_of_the_current_ones(sent: World) -> None:
    _recall(sent, 1, 2)
    _note(sent)
    assert _waiting(sent) == {}
    assert sent.current_results() == []
    with sent.ledger.reading() as tx:
        assert results.is_ours(tx, "2.25.99")
        assert {one.note for one in withdrawals.find(tx)} == {DeliveryState.PENDING}
    (claim,) = sent.sending(now=33.0)
    assert claim.result.kind is Kind.KOS
    with sent.ledger.transaction() as tx:
        deliveries.refused(tx, claim, 34.0, "0x0122 SOP class not supported")
    with sent.ledger.reading() as tx:
        found = withdrawals.find(tx, study_ids=[1])
        (view,) = overview.studies(tx, study_uid="1.2.826.0.9.1")
    assert [(one.note, one.note_error, one.by_hand) for one in found] == [
        (DeliveryState.FAILED, "0x0122 SOP class not supported", True)
    ] * 2
    shown = {one.sop_instance_uid: one for one in view.deliveries}
    assert shown["2.25.1"].recalled
    assert shown["2.25.1"].withdrawn == found[0]
    assert shown["2.25.99"].is_current
    assert shown["2.25.99"].withdrawn is None


def test_a_note_goes_out_to_a_destination_on_hold(sent: World) -> None:
    _recall(sent, 1, 2)
    _note(sent)
    with sent.ledger.transaction() as tx:
        assert holding.hold(tx, destination="pacs", now=33.0) == 0
    assert len(sent.sending(now=34.0)) == 1


def test_what_cannot_be_noted_is_to_be_deleted_by_hand(sent: World) -> None:
    _recall(sent, 1, 2)
    with sent.ledger.transaction() as tx:
        (objects,) = withdrawals.unnoted(tx, limit=10).values()
        withdrawals.obstruct(tx, [objects[0].withdrawal_id], "it was purged")
    assert _waiting(sent) == {"pacs": ["2.25.2"]}
    with sent.ledger.reading() as tx:
        assert [(one.obstacle, one.by_hand) for one in withdrawals.find(tx)] == [("it was purged", True), ("", False)]


def test_retention_waits_for_the_note(sent: World) -> None:
    _recall(sent, 1, 2)
    with sent.ledger.reading() as tx:
        assert purge.due(tx, ended_before=1000.0, limit=5) == []
    _note(sent)
    (claim,) = sent.sending(now=33.0)
    with sent.ledger.transaction() as tx:
        deliveries.stored(tx, claim, 34.0)
    with sent.ledger.reading() as tx:
        assert purge.due(tx, ended_before=1000.0, limit=5) == [1]


def _found(world: World, **chosen: object) -> list[tuple[str, str]]:
    with world.ledger.reading() as tx:
        rows = recall.find(tx, **chosen)  # type: ignore[arg-type]  # each is what find() takes
        return [(one.sop_instance_uid, one.destination) for one in rows]


def test_results_are_found_by_study_model_and_time(sent: World) -> None:
    sent.activate("dd" * 32)
    sent.receive(arrival(3, study=2), now=50.0)
    for claim in sent.claim(now=50.0):
        sent.done(claim, now=51.0, encoded=[stored("2.25.3")])
    old = [("2.25.1", "pacs"), ("2.25.2", "pacs"), ("2.25.2", "viewer")]
    new = [("2.25.3", "")]
    assert _found(sent) == old + new
    assert _found(sent, study_ids=[2]) == new
    assert _found(sent, model_digest=MODEL[:8]) == old
    assert _found(sent, model_digest="dddddddd") == new
    assert _found(sent, model_digest="%" * 8) == []
    assert _found(sent, since=51.0) == new
    assert _found(sent, until=51.0) == old
    assert _found(sent, since=52.0) == []
    with sent.ledger.reading() as tx:
        assert {(one.told, one.recalled) for one in recall.find(tx)} == {(True, False)}


def test_a_purged_study_tells_nobody_s_identity(sent: World) -> None:
    _recall(sent, 2)
    _note(sent)
    (claim,) = sent.sending(now=33.0)
    with sent.ledger.transaction() as tx:
        deliveries.stored(tx, claim, 34.0)
    with sent.ledger.transaction() as tx:
        assert purge.purge(tx, 1, ended_before=1000.0, now=1001.0)
    with sent.ledger.reading() as tx:
        assert [(one.sop_instance_uid, one.told, one.recalled) for one in recall.find(tx)] == [
            ("2.25.1", False, False),
            ("2.25.2", False, True),
            ("2.25.2", False, True),
        ]


@pytest.mark.parametrize("first", ["recall", "stored"])
def test_a_recall_and_an_arrival_at_the_same_moment_cannot_miss_each_other(sent: World, first: str) -> None:
    (under_way,) = sent.sending(now=25.0, destination="viewer")
    begun, go_on = threading.Event(), threading.Event()

    def recalled(tx: Tx) -> None:
        recall.mark(tx, [2], title=QUALITY, now=30.0)

    def arrived(tx: Tx) -> None:
        deliveries.stored(tx, under_way, 30.0)

    one, other = (recalled, arrived) if first == "recall" else (arrived, recalled)

    def slow() -> None:
        with sent.ledger.transaction() as tx:
            one(tx)
            begun.set()
            assert go_on.wait(20)

    def quick() -> None:
        with sent.ledger.transaction() as tx:
            other(tx)

    threads = [threading.Thread(target=slow), threading.Thread(target=quick)]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    threads[1].join(0.3)  # until it waits for the first; were it done by then, all the better
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert _waiting(sent)["viewer"] == ["2.25.2"]
