"""A study is concluded once: when it is quiet and read, or when waiting longer helps nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicom_node.conclude.complete import complete_quiet, conclude_ready
from dicom_node.conclude.report import Reporter
from dicom_node.domain import DeliveryState, Kind, Profile, StudyState
from dicom_node.ledger import caught_up, holding, results, studies
from dicom_node.ledger.schema import report
from tests.deliver.node import Node, peer, sender, settings_of

T0 = 1_750_000_000.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    settings = settings_of(
        tmp_path,
        sender("MODALITY", "archive", "held", "off"),
        sender("OTHER", "ohif"),
        peer("archive"),
        peer("held", mode="hold"),
        peer("off", mode="off"),
        peer("ohif", profile="ohif"),
        conclude={"quiet_period": 10, "conclude_after": 600},
    )
    node = Node(settings)
    yield node
    node.close()


def conclude(node: Node, now: float) -> None:
    """One look, as the role does it."""
    complete_quiet(node.ledger, node.settings.conclude, now=now)
    reporter = Reporter(node.ledger, node.spool, node.settings.results)
    settings = node.settings
    conclude_ready(node.ledger, settings.conclude, reporter, settings.route, named=settings.named, now=now)


def sent_to(node: Node) -> list[tuple[str, str, str]]:
    """Destination, SOP Instance UID and state of every delivery."""
    return sorted((one.destination, one.sop_instance_uid, one.state.value) for one in node.deliveries())


def test_waits_for_quiet_and_then_for_the_jobs(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, now=T0)
    node.arrive(uid, now=T0 + 6)
    conclude(node, T0 + 15)
    assert node.study(uid).study.state is StudyState.OPEN
    conclude(node, T0 + 16)
    assert node.study(uid).study.state is StudyState.COMPLETE
    node.analyse(node.result(uid), now=T0 + 17)
    conclude(node, T0 + 17)
    assert node.study(uid).study.state is StudyState.COMPLETE
    node.decline(now=T0 + 18)
    conclude(node, T0 + 18)
    assert node.study(uid).study.state is StudyState.CONCLUDED


def test_each_destination_gets_its_profile_in_its_mode(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, now=T0)
    node.arrive(uid, now=T0, calling="OTHER")
    strict = node.result(uid)
    ohif = node.result(uid, Kind.SEG, profile=Profile.OHIF)
    other = node.result(uid, Kind.SEG)
    node.analyse(strict, ohif, now=T0)
    node.analyse(other, now=T0)
    conclude(node, T0 + 10)
    assert sent_to(node) == sorted(
        [
            ("archive", strict.sop_instance_uid, "pending"),
            ("archive", other.sop_instance_uid, "pending"),
            ("held", strict.sop_instance_uid, "held"),
            ("held", other.sop_instance_uid, "held"),
            ("ohif", ohif.sop_instance_uid, "pending"),
        ]
    )


def test_a_sender_that_is_no_longer_configured_routes_nowhere(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, calling="GONE", now=T0)
    node.analyse(node.result(uid), now=T0)
    conclude(node, T0 + 10)
    assert node.study(uid).study.state is StudyState.CONCLUDED
    assert node.deliveries() == []


def test_a_late_image_adds_only_what_has_no_delivery_yet(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, now=T0)
    first = node.result(uid)
    node.analyse(first, now=T0)
    conclude(node, T0 + 10)
    before = {one.delivery_id for one in node.deliveries()}
    node.arrive(uid, now=T0 + 50)
    assert node.study(uid).study.state is StudyState.OPEN
    late = node.result(uid)
    node.analyse(late, now=T0 + 51)
    conclude(node, T0 + 60)
    assert node.study(uid).study.revision == 2
    added = [one for one in node.deliveries() if one.delivery_id not in before]
    assert sorted(one.destination for one in added) == ["archive", "held"]
    assert {one.sop_instance_uid for one in added} == {late.sop_instance_uid}


def test_concludes_without_what_takes_too_long_and_names_it(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, now=T0)
    node.arrive(uid, now=T0, sop_uid="1.2.3.4")
    node.analyse(node.result(uid), now=T0)
    conclude(node, T0 + 10)
    conclude(node, T0 + 609)
    assert node.study(uid).study.state is StudyState.COMPLETE
    conclude(node, T0 + 610)
    assert node.study(uid).study.state is StudyState.CONCLUDED
    assert len(node.deliveries()) == 2
    assert lacked(node) == ['["1.2.3.4"]']
    assert "partial" in node.reasons("study")


def test_a_job_that_ends_after_the_conclusion_gets_the_next_revision(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, now=T0)
    conclude(node, T0 + 10)
    conclude(node, T0 + 610)
    assert node.deliveries() == []
    node.analyse(node.result(uid), now=T0 + 700)
    conclude(node, T0 + 701)
    assert node.study(uid).study.revision == 2
    assert [one.destination for one in node.deliveries()] == ["archive", "held"]
    assert lacked(node)[-1] == "[]"


def test_what_was_superseded_before_it_was_sent_is_never_sent(node: Node) -> None:
    uid = str(generate_uid())
    recorded = node.arrive(uid, now=T0)
    old = node.result(uid)
    node.analyse(old, now=T0)
    conclude(node, T0 + 10)
    with node.ledger.transaction() as tx:
        sop_uid = results.of_study(tx, recorded.study_id)[0].sop_instance_uid
        assert sop_uid == old.sop_instance_uid
    corrected = node.arrive(uid, sop_uid=node.study(uid).instances[0].instance.sop_instance_uid, now=T0 + 20)
    assert corrected.outcome == "new_version"
    new = node.result(uid, predecessor=old.sop_instance_uid)
    node.analyse(new, now=T0 + 21)
    conclude(node, T0 + 40)
    assert sent_to(node) == sorted(
        [
            ("archive", old.sop_instance_uid, "abandoned"),
            ("held", old.sop_instance_uid, "abandoned"),
            ("archive", new.sop_instance_uid, "pending"),
            ("held", new.sop_instance_uid, "held"),
        ]
    )
    assert node.reasons("delivery").count("superseded") == 2


def test_an_arrival_during_the_conclusion_wins(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, now=T0)
    node.analyse(node.result(uid), now=T0)
    complete_quiet(node.ledger, node.settings.conclude, now=T0 + 10)
    with node.ledger.reading() as tx:
        (stale,) = studies.ready(tx, now=T0 + 10, conclude_after=600)
    node.arrive(uid, now=T0 + 11)
    with node.ledger.transaction() as tx:
        concluded = studies.conclude(
            tx,
            stale,
            revision=stale.revision,
            now=T0 + 12,
            deliveries=[],
            missing=studies.unfinished(tx, stale.study_id),
        )
    assert not concluded
    conclude(node, T0 + 12)
    assert node.study(uid).study.state is StudyState.OPEN
    assert node.deliveries() == []


def test_a_release_sends_what_was_held_and_a_new_conclusion_does_not_hold_it_again(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, now=T0)
    node.analyse(node.result(uid), now=T0)
    conclude(node, T0 + 10)
    with node.ledger.transaction() as tx:
        assert holding.release(tx, now=T0 + 20, destination="held") == 1
    node.arrive(uid, now=T0 + 30)
    node.decline(now=T0 + 30)
    conclude(node, T0 + 40)
    assert node.states("held") == [DeliveryState.PENDING]


def lacked(node: Node) -> list[str]:
    """What each conclusion lacked, as the ledger has it."""
    with node.ledger.reading() as tx:
        return list(tx.execute(select(report.c.missing).order_by(report.c.id)).scalars())


def test_what_the_node_fetched_goes_where_it_was_named_for_and_nowhere_else(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, now=T0)
    with node.ledger.transaction() as tx:
        caught_up.name(tx, ["1.2.826.7"], destination="ohif", now=T0)
        caught_up.name(tx, ["1.2.826.8"], destination="off", now=T0)
        caught_up.name(tx, ["1.2.826.9"], destination="gone", now=T0)
    for image in ("1.2.826.7", "1.2.826.8", "1.2.826.9"):
        node.arrive(uid, sop_uid=image, now=T0)
    by_itself = node.result(uid)
    fetched = node.result(uid, Kind.SEG, profile=Profile.OHIF)
    node.analyse(by_itself, node.result(uid, Kind.SEG, profile=Profile.OHIF), now=T0)
    node.analyse(fetched, node.result(uid), now=T0)
    node.analyse(node.result(uid), now=T0)
    node.analyse(node.result(uid), node.result(uid, profile=Profile.OHIF), now=T0)
    conclude(node, T0 + 10)
    assert [(destination, sent) for destination, sent, _ in sent_to(node)] == [
        ("archive", by_itself.sop_instance_uid),
        ("held", by_itself.sop_instance_uid),
        ("ohif", fetched.sop_instance_uid),
    ]
