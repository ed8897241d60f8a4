"""What destinations are asked to commit to, what peers are pledged: the same on every backend."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from dicom_node.domain import CommitmentState, DeliveryState
from dicom_node.ledger import commitments, deliveries, holding, overview, pledges, purge, recall, schema
from dicom_node.ledger.commitments import ATTEMPTS, Asked, Reference
from dicom_node.ledger.overview import DeliveryView
from tests.contract.world import World, arrival

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
NOTHING: Mapping[str, int] = {}


def stored(world: World, *images: int, now: float = 100.0) -> None:
    """A study an image, its one result stored where commitment is asked for."""
    for image in images:
        world.receive(arrival(image, study=image), now=now - 50)
        world.analyse(now=now - 45)
    world.through(now=now - 20)
    for claim in world.sending(now=now):
        with world.ledger.transaction() as tx:
            deliveries.stored(tx, claim, now, ask_at=now)


def ask(world: World, now: float, *, uid: str = "2.25.1", within: float = 50.0, limit: int = 10) -> Asked | None:
    with world.ledger.transaction() as tx:
        return commitments.ask(
            tx,
            destination="pacs",
            transaction_uid=uid,
            now=now,
            gather=1.0,
            report_by=now + within,
            limit=limit,
        )


def answer(
    world: World,
    now: float,
    *committed: str,
    failures: Mapping[str, int] = NOTHING,
    uid: str = "2.25.1",
    destination: str = "pacs",
) -> bool:
    with world.ledger.transaction() as tx:
        return commitments.answer(
            tx,
            destinations=[destination],
            transaction_uid=uid,
            committed=committed,
            failures=failures,
            now=now,
        )


def views(world: World) -> list[DeliveryView]:
    with world.ledger.reading() as tx:
        found = [one for view in overview.studies(tx) for one in view.deliveries]
    return sorted(found, key=lambda one: one.delivery_id)


def states(world: World) -> list[str]:
    return [one.state.value for one in views(world)]


def transactions(world: World) -> list[str]:
    with world.ledger.reading() as tx:
        return list(tx.execute(select(schema.commitment.c.state).order_by(schema.commitment.c.id)).scalars())


def due(world: World) -> list[int]:
    with world.ledger.reading() as tx:
        return purge.due(tx, ended_before=1e12, limit=100)


def test_what_is_stored_is_asked_about_once(world: World) -> None:
    stored(world, 1, 2)
    asked = ask(world, 100.0)
    assert asked is not None
    assert [each.sop_class_uid for each in asked.references] == [SEG, SEG]
    assert ask(world, 100.0, uid="2.25.2") is None
    assert due(world) == []
    with world.ledger.reading() as tx:
        assert commitments.next_due(tx, "pacs") == 150.0
        assert commitments.next_due(tx, "other") is None


def test_a_report_commits_what_it_names_and_nothing_that_was_not_asked(world: World) -> None:
    stored(world, 1, 2)
    asked = ask(world, 100.0)
    assert asked is not None
    first, second = (each.sop_instance_uid for each in asked.references)
    assert not answer(world, 110.0, first, second, destination="other")
    assert not answer(world, 110.0, first, second, uid="2.25.9")
    assert states(world) == ["uncommitted", "uncommitted"]
    assert answer(world, 110.0, first, "1.2.3", failures={second: 0x0112})
    assert states(world) == ["committed", "pending"]
    assert transactions(world) == [CommitmentState.ANSWERED.value]
    assert due(world) == [1]
    # heard once is heard: a repeat changes nothing
    assert answer(world, 111.0, second)
    assert states(world) == ["committed", "pending"]


def test_what_a_report_leaves_out_or_contradicts_is_not_committed(world: World) -> None:
    stored(world, 1, 2)
    asked = ask(world, 100.0)
    assert asked is not None
    first, _ = (each.sop_instance_uid for each in asked.references)
    answer(world, 110.0, first, failures={first: 0x0110})
    assert states(world) == ["pending", "pending"]
    assert all("Failure Reason 0110" in one.last_error for one in views(world))


def test_what_is_not_committed_is_sent_again_and_in_the_end_is_a_persons(world: World) -> None:
    stored(world, 1)
    for attempt in range(1, ATTEMPTS + 1):
        now = 100.0 * attempt
        asked = ask(world, now, uid=f"2.25.{attempt}")
        assert asked is not None
        answer(world, now, failures={asked.references[0].sop_instance_uid: 0x0112}, uid=f"2.25.{attempt}")
        for claim in world.sending(now=now + 50):
            with world.ledger.transaction() as tx:
                deliveries.stored(tx, claim, now + 50, ask_at=now + 50)
    assert states(world) == ["failed"]
    assert due(world) == []
    with world.ledger.transaction() as tx:
        assert holding.requeue(tx, now=999.0) == 1
    assert views(world)[0].commitment_attempts == 0


def test_silence_counts_and_late_good_news_are_good_news(world: World) -> None:
    stored(world, 1)
    for attempt in range(ATTEMPTS):
        assert ask(world, 100.0 + 51 * attempt, uid=f"2.25.{attempt}") is not None
    assert ask(world, 100.0 + 51 * ATTEMPTS, uid="2.25.9") is None
    assert states(world) == ["failed"]
    assert set(transactions(world)) == {CommitmentState.LAPSED.value}
    (one,) = views(world)
    assert one.last_error == commitments.SILENCE
    assert answer(world, 900.0, failures={one.sop_instance_uid: 0x0112}, uid="2.25.0")
    assert states(world) == ["failed"], "bad news that were asked for again meanwhile are old news"
    assert answer(world, 901.0, one.sop_instance_uid, uid="2.25.1")
    assert states(world) == ["committed"]


def test_a_destination_that_was_not_reached_may_take_its_time(world: World) -> None:
    stored(world, 1)
    for attempt in range(2 * ATTEMPTS):
        asked = ask(world, 100.0 + attempt, uid=f"2.25.{attempt}")
        assert asked is not None
        with world.ledger.transaction() as tx:
            commitments.unheard(tx, asked, now=100.0 + attempt, not_before=101.0 + attempt, error="cannot connect")
    assert states(world) == ["uncommitted"]
    assert (views(world)[0].commitment_attempts, views(world)[0].last_error) == (0, "cannot connect")


def test_a_report_that_was_quicker_than_the_broken_connection_stands(world: World) -> None:
    stored(world, 1)
    asked = ask(world, 100.0)
    assert asked is not None
    answer(world, 101.0, asked.references[0].sop_instance_uid)
    with world.ledger.transaction() as tx:
        commitments.unheard(tx, asked, now=102.0, not_before=103.0, error="it left")
    assert states(world) == ["committed"]
    assert transactions(world) == [CommitmentState.ANSWERED.value]


def test_nobody_waits_any_more(world: World) -> None:
    stored(world, 1, 2)
    with world.ledger.transaction() as tx:
        assert commitments.forgo(tx, now=110.0, reason="given up", destination="other") == 0
        assert commitments.forgo(tx, now=110.0, reason="given up", study=1) == 1
        assert commitments.forgo(tx, now=110.0, reason="given up", destination="pacs") == 1
    assert states(world) == ["stored", "stored"]
    assert due(world) == [1, 2]


def test_what_is_recalled_while_its_commitment_is_awaited_is_withdrawn(world: World) -> None:
    from dicom_node.domain import RejectionTitle

    stored(world, 1)
    with world.ledger.transaction() as tx:
        recall.mark(tx, [1], title=RejectionTitle.QUALITY, now=110.0)
    (one,) = views(world)
    assert (one.state, one.withdrawn is not None) == (DeliveryState.UNCOMMITTED, True)


def test_a_destination_shows_what_it_has_not_committed_to(world: World) -> None:
    stored(world, 1)
    with world.ledger.reading() as tx:
        (view,) = overview.destinations(tx)
    assert (view.uncommitted, view.uncommitted_since, view.last_success) == (1, 100.0, 100.0)


def enter(world: World, *references: Reference, uid: str = "1.2.3", now: float = 10.0) -> bool:
    with world.ledger.transaction() as tx:
        return pledges.enter(tx, peer="modality", transaction_uid=uid, references=references, now=now)


def owed(world: World, now: float = 10.0) -> pledges.Owed | None:
    with world.ledger.reading() as tx:
        return pledges.due(tx, peer="modality", now=now)


def image(number: int) -> Reference:
    return Reference(sop_class_uid=DX, sop_instance_uid=f"1.2.826.0.1.{number}")


def test_a_request_is_owed_until_it_is_reported(world: World) -> None:
    assert enter(world, image(1), image(2))
    first = owed(world)
    assert first is not None
    assert [item.reference for item in first.items] == [image(1), image(2)]
    with world.ledger.transaction() as tx:
        assert pledges.due(tx, peer="other", now=99.0) is None
        pledges.postpone(tx, first, not_before=50.0, error="away")
        assert pledges.next_due(tx, peer="modality") == 50.0
    assert owed(world, 49.0) is None
    again = owed(world, 50.0)
    assert again is not None
    assert again.attempts == 1
    with world.ledger.transaction() as tx:
        pledges.decide(tx, {again.items[0].item_id: 0, again.items[1].item_id: 0x0112})
        pledges.decide(tx, {again.items[0].item_id: 0x0110})
        assert pledges.reported(tx, again, now=60.0)
        assert not pledges.given_up(tx, again, now=60.0, error="late")
    assert owed(world, 99.0) is None
    # asked again: what was pledged stays, what was not there is looked at anew
    assert enter(world, image(2), image(1), now=70.0)
    third = owed(world, 70.0)
    assert third is not None
    assert [item.failure_reason for item in third.items] == [0, None]
    assert not enter(world, image(1), now=71.0)


def test_the_uid_of_a_request_of_ours_is_no_peers(world: World) -> None:
    stored(world, 1)
    assert ask(world, 100.0, uid="1.2.3") is not None
    with world.ledger.transaction() as tx:
        references = [image(1)]
        assert not pledges.enter(tx, peer="pacs", transaction_uid="1.2.3", references=references, now=101.0)
    assert transactions(world) == [CommitmentState.AWAITED.value]


def test_a_pledge_keeps_the_study_and_can_be_taken_back_until_it_was_told(world: World) -> None:
    stored(world, 1)
    with world.ledger.transaction() as tx:
        commitments.forgo(tx, now=100.0, reason="not asked")
    assert due(world) == [1]
    with world.ledger.transaction() as tx:
        (row,) = pledges.pledge(tx, image(1).sop_instance_uid)
        assert pledges.pledge(tx, image(9).sop_instance_uid) == []
    assert row.sop_class_uid == DX
    assert due(world) == []
    with world.ledger.transaction() as tx:
        assert purge.purge(tx, 1, ended_before=1e12, now=1e12) is None
        assert pledges.count(tx) == 1
        pledges.take_back(tx, image(1).sop_instance_uid)
    assert due(world) == [1]
    enter(world, image(1))
    told = owed(world)
    assert told is not None
    with world.ledger.transaction() as tx:
        pledges.pledge(tx, image(1).sop_instance_uid)
        pledges.decide(tx, {told.items[0].item_id: 0})
        pledges.take_back(tx, image(1).sop_instance_uid)
    assert due(world) == []


def test_what_is_pledged_is_handed_over_to_an_archive(world: World) -> None:
    stored(world, 1, 2)
    with world.ledger.transaction() as tx:
        commitments.forgo(tx, now=100.0, reason="not asked")
        for number in (1, 2):
            pledges.pledge(tx, image(number).sop_instance_uid)
        assert pledges.next_hand_over(tx, senders=["MODALITY"]) == 0.0
        assert pledges.next_hand_over(tx, senders=["OTHER"]) is None
    assert hand_over(world, 200.0, senders=["OTHER"]) is None
    asked = hand_over(world, 200.0)
    assert asked is not None
    assert set(asked.references) == {image(1), image(2)}
    assert hand_over(world, 200.0 + pledges.RECHECK - 1) is None
    assert answer(world, 210.0, image(1).sop_instance_uid, uid="2.25.200")
    assert due(world) == [1]
    with world.ledger.reading() as tx:
        assert pledges.archived(tx, image(1))
        assert not pledges.archived(tx, image(2))
        other_class = Reference(sop_class_uid=SEG, sop_instance_uid=image(1).sop_instance_uid)
        assert not pledges.archived(tx, other_class)
    again = hand_over(world, 200.0 + pledges.RECHECK)
    assert again is not None
    assert again.references == (image(2),)


def hand_over(world: World, now: float, *, senders: Sequence[str] = ("MODALITY",)) -> Asked | None:
    with world.ledger.transaction() as tx:
        return pledges.hand_over(
            tx,
            destination="pacs",
            senders=senders,
            transaction_uid=f"2.25.{now:.0f}",
            now=now,
            report_by=now + 50,
            limit=10,
        )


def test_a_purged_instance_is_not_pledged(world: World) -> None:
    stored(world, 1)
    with world.ledger.transaction() as tx:
        commitments.forgo(tx, now=100.0, reason="not asked")
        assert purge.purge(tx, 1, ended_before=1e12, now=1e12)
        assert pledges.pledge(tx, image(1).sop_instance_uid) == []
        assert pledges.count(tx) == 0
