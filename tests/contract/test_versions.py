"""The same SOP Instance UID with other bytes."""

import pytest
from sqlalchemy import select

from dicom_node.domain import DeliveryState, InstanceState, JobState, Kind, Reason, StudyState
from dicom_node.errors import LostRace
from dicom_node.ledger import deliveries, findings, holding, instances, jobs, overview, versions
from dicom_node.ledger.identity import Identity
from dicom_node.ledger.jobs import ClaimedJob
from dicom_node.ledger.schema import delivery
from dicom_node.ledger.versions import Previous, Verdict
from tests.contract.world import World, arrival, stored

UID = "1.2.826.0.1.1"


@pytest.fixture
def analysed(world: World) -> World:
    """Image 1 of study 1, read, its picture known, its SEG made; the study is open."""
    world.receive(arrival(1), now=0.0)
    (claim,) = world.claim()
    world.done(claim, encoded=[stored("2.25.1")])
    return world


def _adopt(world: World, claim: ClaimedJob, before: Previous, *, re_encode: bool, now: float = 5.0) -> None:
    with world.ledger.transaction() as tx:
        versions.adopt(
            tx,
            claim,
            before,
            picture_digest="picture",
            now=now,
            encoded=[stored("2.25.2", predecessor=before.results[0].sop_instance_uid)] if re_encode else None,
            identity=Identity(patient_id="P-2", issuer_of_patient_id="", accession_number="A-2") if re_encode else None,
        )


def _current(world: World) -> int:
    with world.ledger.reading() as tx:
        row = instances.current(tx, UID)
    assert row is not None
    return row.instance_id


def test_same_picture_same_identity_stands(analysed: World) -> None:
    analysed.through(now=20.0)
    claim = analysed.new_version(data="another description", now=25.0)
    before, verdict = analysed.judge(claim)
    assert verdict is Verdict.STANDS
    _adopt(analysed, claim, before, re_encode=False, now=26.0)
    assert _current(analysed) == claim.instance.instance_id
    assert analysed.current_results() == ["2.25.1"]
    assert analysed.study().state is StudyState.CONCLUDED, "there is no news in it"
    with analysed.ledger.reading() as tx:
        assert len(findings.of_job(tx, claim.job_id)) == 1
        (view,) = overview.studies(tx)
    assert [one.job.state for shown in view.instances for one in shown.jobs] == [JobState.DONE] * 2
    assert view.instances[1].jobs[0].job.score == 0.7


def test_a_corrected_patient_means_new_results_that_supersede(analysed: World) -> None:
    analysed.through(now=20.0)
    (sent,) = analysed.sending(now=21.0)
    with analysed.ledger.transaction() as tx:
        deliveries.stored(tx, sent, 22.0)
    claim = analysed.new_version(patient_id="P-2", accession="A-2", now=25.0)
    before, verdict = analysed.judge(claim)
    assert verdict is Verdict.RE_ENCODE
    assert before.job is not None
    assert [one.sop_instance_uid for one in before.results] == ["2.25.1"]
    _adopt(analysed, claim, before, re_encode=True, now=26.0)
    assert analysed.current_results() == ["2.25.2"]
    row = analysed.study()
    assert (row.state, row.revision, row.patient_id, row.accession_number) == (
        StudyState.OPEN,
        2,
        "P-2",
        "A-2",
    )
    assert analysed.through(now=40.0) == [1]
    (again,) = analysed.sending(now=41.0)
    assert (again.result.sop_instance_uid, again.result.predecessor) == ("2.25.2", "2.25.1")


@pytest.mark.parametrize("held", [False, True])
def test_results_under_the_wrong_patient_are_not_sent_any_more(analysed: World, held: bool) -> None:
    analysed.through(now=20.0, held=held)
    claim = analysed.new_version(patient_id="P-2", now=25.0)
    before, _ = analysed.judge(claim)
    _adopt(analysed, claim, before, re_encode=True, now=26.0)
    with analysed.ledger.transaction() as tx:
        assert tx.execute(select(delivery.c.state)).scalars().all() == [DeliveryState.ABANDONED]
        assert holding.release(tx, now=27.0) == 0
    assert analysed.sending(now=28.0) == []


def test_a_superseded_result_that_was_being_sent_is_not_tried_again(analysed: World) -> None:
    analysed.through(now=20.0)
    (under_way,) = analysed.sending(now=21.0)
    claim = analysed.new_version(patient_id="P-2", now=25.0)
    before, _ = analysed.judge(claim)
    _adopt(analysed, claim, before, re_encode=True, now=26.0)
    with analysed.ledger.transaction() as tx:
        deliveries.retry(tx, under_way, now=27.0, not_before=28.0, error="no answer")
    assert analysed.sending(now=29.0) == []
    with analysed.ledger.reading() as tx:
        assert tx.execute(select(delivery.c.state)).scalars().all() == [DeliveryState.ABANDONED]


def test_an_image_moved_to_another_study_leaves_the_first_one(analysed: World) -> None:
    claim = analysed.new_version(study=2, patient_id="P-2")
    assert claim.study_id == 2
    before, verdict = analysed.judge(claim)
    assert verdict is Verdict.RE_ENCODE
    _adopt(analysed, claim, before, re_encode=True)
    assert analysed.current_results(1) == []
    assert analysed.current_results(2) == ["2.25.2"]
    assert analysed.through(now=40.0) == [1, 2]
    assert [held.result.sop_instance_uid for held in analysed.sending(now=41.0)] == ["2.25.2"]
    assert analysed.study(1).patient_id == "P-1"


def test_the_same_identity_in_another_study_is_another_identity(analysed: World) -> None:
    claim = analysed.new_version(study=2)
    assert analysed.judge(claim)[1] is Verdict.RE_ENCODE


def test_another_picture_waits_for_a_person(analysed: World) -> None:
    analysed.through(now=20.0)
    claim = analysed.new_version(data="another picture", now=25.0)
    _, verdict = analysed.judge(claim, picture="other picture")
    assert verdict is Verdict.QUARANTINE
    with analysed.ledger.transaction() as tx:
        versions.quarantine(tx, claim, reason=Reason.DIFFERENT_PICTURE, picture_digest="other picture", now=26.0)
    assert _current(analysed) == 1
    assert analysed.current_results() == ["2.25.1"]
    assert analysed.study().state is StudyState.CONCLUDED
    with analysed.ledger.transaction() as tx:
        (row,) = overview.quarantined(tx)
        assert (row.instance_id, row.reason) == (claim.instance.instance_id, Reason.DIFFERENT_PICTURE)
        assert jobs.failed(tx) == [], "it waits for accept, not for retry"
        assert overview.queues(tx).failed_jobs == 0
        assert not jobs.requeue(tx, claim.job_id, 27.0)


def test_an_accepted_picture_is_analysed_and_supersedes(analysed: World) -> None:
    analysed.through(now=20.0)
    claim = analysed.new_version(data="another picture", now=25.0)
    with analysed.ledger.transaction() as tx:
        versions.quarantine(tx, claim, reason=Reason.DIFFERENT_PICTURE, picture_digest="other", now=26.0)
    with analysed.ledger.transaction() as tx:
        assert instances.accept(tx, claim.instance.instance_id, 30.0)
        assert not instances.accept(tx, claim.instance.instance_id, 30.0)
    assert analysed.current_results() == [], "they show the other picture"
    row = analysed.study()
    assert (row.state, row.revision) == (StudyState.OPEN, 2)
    assert analysed.sending(now=31.0) == []
    (again,) = analysed.claim(now=31.0)
    assert again.instance.is_current
    assert again.instance.reason is None
    analysed.done(again, now=32.0, encoded=[stored("2.25.3")], picture="other")
    assert analysed.through(now=50.0) == [1]
    assert [held.result.sop_instance_uid for held in analysed.sending(now=51.0)] == ["2.25.3"]


def test_a_version_waits_for_the_one_before_it(world: World) -> None:
    world.receive(arrival(1), arrival(1, data="second"), arrival(1, data="third"))
    first, second, third = world.claim()
    assert world.judge(second)[1] is Verdict.WAIT
    world.done(first, encoded=[stored("2.25.1")])
    assert world.judge(third)[1] is Verdict.WAIT
    before, verdict = world.judge(second)
    assert verdict is Verdict.STANDS
    _adopt(world, second, before, re_encode=False)
    before, verdict = world.judge(third)
    assert verdict is Verdict.STANDS
    assert [one.sop_instance_uid for one in before.results] == ["2.25.1"], "made from the first version"
    _adopt(world, third, before, re_encode=False)
    assert _current(world) == third.instance.instance_id


def test_a_study_is_not_ready_while_a_version_is_undecided(analysed: World) -> None:
    claim = analysed.new_version(data="second")
    analysed.quieten(now=20.0)
    assert analysed.conclude(now=21.0) == []
    before, _ = analysed.judge(claim)
    _adopt(analysed, claim, before, re_encode=False, now=22.0)
    assert analysed.conclude(now=23.0) == [1]


def test_a_corrected_header_may_make_a_declined_image_readable(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    (claim,) = world.claim()
    world.unread(claim, JobState.DECLINED, Reason.LATERAL_VIEW)
    world.through(now=20.0)
    again = world.new_version(data="corrected view", now=25.0)
    assert world.judge(again)[1] is Verdict.ANALYSE
    world.done(again, now=26.0, encoded=[stored("2.25.4")])
    assert _current(world) == again.instance.instance_id
    assert (world.study().state, world.study().revision) == (StudyState.OPEN, 2)
    assert world.through(now=40.0) == [1]
    assert world.current_results() == ["2.25.4"]


def test_a_corrected_header_may_make_a_read_image_not_ours(analysed: World) -> None:
    analysed.through(now=20.0)
    claim = analysed.new_version(data="a child", now=25.0)
    analysed.unread(claim, JobState.DECLINED, Reason.UNDER_AGE, now=26.0)
    assert _current(analysed) == claim.instance.instance_id
    assert analysed.current_results() == []
    assert analysed.sending(now=27.0) == []
    assert analysed.study().state is StudyState.OPEN


def test_an_unreadable_version_changes_nothing(analysed: World) -> None:
    analysed.through(now=20.0)
    claim = analysed.new_version(data="cut short", now=25.0)
    analysed.unread(claim, JobState.UNREADABLE, Reason.TRUNCATED, now=26.0)
    assert _current(analysed) == 1
    assert analysed.current_results() == ["2.25.1"]
    assert analysed.study().state is StudyState.CONCLUDED


def test_no_finding_is_attributed_to_a_model_that_did_not_make_it(analysed: World) -> None:
    analysed.activate("dd" * 32)
    claim = analysed.new_version(data="another description")
    before, verdict = analysed.judge(claim)
    assert verdict is Verdict.STANDS
    _adopt(analysed, claim, before, re_encode=False)
    with analysed.ledger.reading() as tx:
        (view,) = overview.studies(tx)
    assert len({one.job.model for shown in view.instances for one in shown.jobs}) == 1
    other = analysed.new_version(patient_id="P-2")
    assert analysed.judge(other)[1] is Verdict.ANALYSE


def test_an_adoption_that_another_overtook_is_discarded(analysed: World) -> None:
    analysed.receive(arrival(1, data="second"), now=3.0)
    (second,) = analysed.claim(now=3.0)
    before, _ = analysed.judge(second)
    analysed.receive(arrival(1, data="third"), now=3.0)
    (third,) = analysed.claim(now=3.0)
    analysed.done(third, encoded=[stored("2.25.5", Kind.SC)])
    with pytest.raises(LostRace):
        _adopt(analysed, second, before, re_encode=False)
    assert _current(analysed) == third.instance.instance_id
    with analysed.ledger.reading() as tx:
        assert instances.get(tx, second.instance.instance_id).state is InstanceState.RECEIVED
        assert findings.of_job(tx, second.job_id) == []


def test_what_was_not_analysed_cannot_be_adopted(world: World) -> None:
    world.receive(arrival(1), arrival(1, data="second"))
    _, second = world.claim()
    before, _ = world.judge(second)
    with pytest.raises(ValueError, match="nothing to adopt"):
        _adopt(world, second, before, re_encode=False)
