"""What the node fetches itself: what it lacks, for which destination, and how its results are routed by that."""

import pytest

from dicom_node.ledger import caught_up, versions
from dicom_node.ledger.caught_up import Routes
from dicom_node.ledger.identity import Identity
from dicom_node.ledger.lookup import source_of_result
from tests.contract.test_reports import current, report
from tests.contract.world import World, arrival, stored

FIRST, SECOND, THIRD = (f"1.2.826.0.1.{image}" for image in (1, 2, 3))


@pytest.fixture
def analysed(world: World) -> World:
    """Images 1 and 2 of study 1 are there and analysed, each with one SEG."""
    world.receive(arrival(1), arrival(2), now=0.0)
    for number, claim in enumerate(world.claim(), start=1):
        world.done(claim, encoded=[stored(f"2.25.{number}")])
    return world


def test_what_the_node_has_or_made_is_not_unknown(analysed: World) -> None:
    with analysed.ledger.reading() as tx:
        assert caught_up.unknown(tx, [THIRD, FIRST, "2.25.1", "1.2.3"]) == [THIRD, "1.2.3"]
        assert caught_up.own(tx, [THIRD, FIRST, "2.25.1"]) == {"2.25.1"}
        assert caught_up.unknown(tx, []) == []


def test_more_than_one_query_takes_are_asked_in_steps(analysed: World) -> None:
    many = [f"1.2.3.{number}" for number in range(1100)]
    with analysed.ledger.reading() as tx:
        assert caught_up.unknown(tx, [*many, FIRST]) == many


def test_what_came_by_itself_is_routed_by_its_sender_and_what_was_fetched_by_its_name(analysed: World) -> None:
    with analysed.ledger.transaction() as tx:
        caught_up.name(tx, [SECOND], destination="research", now=1.0)
        caught_up.name(tx, [SECOND], destination="elsewhere", now=2.0)
        assert caught_up.routes(tx, 1) == Routes(calling_ae_titles=("MODALITY",), named={2: "research"})
        caught_up.name(tx, [FIRST], destination="research", now=3.0)
        assert caught_up.routes(tx, 1) == Routes(calling_ae_titles=(), named={1: "research", 2: "research"})


def test_what_did_not_come_is_forgotten_and_what_came_is_not(analysed: World) -> None:
    with analysed.ledger.transaction() as tx:
        caught_up.name(tx, [SECOND, THIRD], destination="research", now=1.0)
        caught_up.forget_missing(tx, [SECOND, THIRD])
    analysed.receive(arrival(3), now=4.0)
    with analysed.ledger.reading() as tx:
        assert caught_up.routes(tx, 1).named == {2: "research"}
        assert caught_up.routes(tx, 1).calling_ae_titles == ("MODALITY",)


def test_a_result_tells_which_images_it_was_made_from(analysed: World) -> None:
    report(analysed, "2.25.9", now=20.0)
    with analysed.ledger.reading() as tx:
        images = {uid: source_of_result(tx, uid) for uid in ("2.25.1", "2.25.2", "2.25.9")}
        assert source_of_result(tx, "2.25.404") is None
    assert {uid: source and source.images for uid, source in images.items()} == {
        "2.25.1": {FIRST},
        "2.25.2": {SECOND},
        "2.25.9": {FIRST, SECOND},
    }


def test_the_report_of_a_study_whose_last_image_was_moved_goes_with_it(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    report(world, "2.25.9", now=20.0)
    claim = world.new_version(study=2, now=25.0)
    before, _ = world.judge(claim)
    with world.ledger.transaction() as tx:
        identity = Identity(patient_id="P-2", issuer_of_patient_id="", accession_number="A-2")
        encoded = [stored("2.25.2")]
        versions.adopt(tx, claim, before, picture_digest="picture", now=26.0, encoded=encoded, identity=identity)
    assert current(world) == []
