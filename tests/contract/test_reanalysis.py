"""Analysed anew: what the new analysis makes stands for the image, and what it supersedes is recalled where asked."""

import pytest
from sqlalchemy import select

from dicom_node.domain import JobState, Reason, RejectionTitle, StudyState
from dicom_node.ledger import (
    Ledger,
    deliveries,
    encodings,
    instances,
    jobs,
    models,
    reanalysis,
    recall,
    rejections,
    results,
    withdrawals,
)
from dicom_node.ledger.reanalysis import Candidate, Prospect
from dicom_node.ledger.schema import job
from tests.contract.world import MODEL, PARAMETERS, World, arrival, stored

NEWER = "dd" * 32
IMAGE = "1.2.826.0.1.1"


@pytest.fixture
def sent(world: World) -> World:
    """One image, one result, stored at `pacs`; then a newer model of the same name becomes the active one."""
    world.receive(arrival(1), now=0.0)
    for claim in world.claim():
        world.done(claim, encoded=[stored("2.25.1")])
    world.through(now=20.0)
    for sending in world.sending(now=21.0):
        with world.ledger.transaction() as tx:
            deliveries.stored(tx, sending, 22.0)
    world.activate(NEWER)
    return world


def _candidates(world: World, *, parameters: str = PARAMETERS, **by_source: str) -> list[Candidate]:
    with world.ledger.reading() as tx:
        return reanalysis.candidates(tx, 1, parameters=parameters, by_source=by_source)


def _prospects(world: World, **settings: str) -> list[Prospect]:
    return [one.prospect for one in _candidates(world, **settings)]


def _queue(world: World, *, withdraw: RejectionTitle | None = None, now: float = 30.0) -> int:
    wanted = _candidates(world)
    with world.ledger.transaction() as tx:
        return reanalysis.queue(tx, wanted, recall_title=withdraw, now=now)


def test_a_new_model_alone_changes_nothing(sent: World) -> None:
    assert sent.claim(now=30.0) == []
    assert sent.study().state is StudyState.CONCLUDED
    (one,) = _candidates(sent)
    assert (one.prospect, one.model, [made.sop_instance_uid for made in one.standing]) == (
        Prospect.QUEUE,
        NEWER,
        ["2.25.1"],
    )


def test_new_results_supersede_and_are_sent_and_old_ones_stay_where_they_are(sent: World) -> None:
    assert _queue(sent) == 1
    assert sent.study().state is StudyState.CONCLUDED
    assert sent.current_results() == ["2.25.1"], "until there are others"
    (claim,) = sent.claim(now=31.0)
    assert claim.model == NEWER
    sent.done(claim, now=32.0, encoded=[stored("2.25.2", predecessor="2.25.1")])
    assert sent.current_results() == ["2.25.2"]
    row = sent.study()
    assert (row.state, row.revision) == (StudyState.OPEN, 2)
    assert sent.through(now=50.0) == [1]
    assert [one.result.sop_instance_uid for one in sent.sending(now=51.0)] == ["2.25.2"]
    with sent.ledger.reading() as tx:
        assert withdrawals.find(tx) == []


def test_what_is_superseded_is_recalled_where_that_was_asked(sent: World) -> None:
    _queue(sent, withdraw=RejectionTitle.QUALITY)
    (claim,) = sent.claim(now=31.0)
    with sent.ledger.reading() as tx:
        assert withdrawals.find(tx) == [], "not before there are others"
    sent.done(claim, now=32.0, encoded=[stored("2.25.2", predecessor="2.25.1")])
    with sent.ledger.reading() as tx:
        (one,) = withdrawals.find(tx)
    assert (one.sop_instance_uid, one.destination, one.title) == ("2.25.1", "pacs", RejectionTitle.QUALITY)
    assert sent.current_results() == ["2.25.2"]


@pytest.mark.parametrize(
    ("to", "reason", "left"),
    [
        (JobState.DECLINED, Reason.LOOKS_UNLIKE_A_FRONTAL_CHEST, []),
        (JobState.UNREADABLE, Reason.DECODE_FAILED, ["2.25.1"]),
    ],
)
def test_what_the_new_model_declines_has_no_result_any_more(
    sent: World, to: JobState, reason: Reason, left: list[str]
) -> None:
    _queue(sent)
    (claim,) = sent.claim(now=31.0)
    sent.unread(claim, to, reason, now=32.0)
    assert sent.current_results() == left


def test_a_model_of_another_name_keeps_its_results(world: World) -> None:
    world.activate("ee" * 32, name="bone age")
    world.receive(arrival(1))
    for claim in world.claim():
        world.done(claim, encoded=[stored(f"2.25.{claim.job_id}")])
    world.activate(NEWER)
    assert [one.prospect for one in _candidates(world)] == [Prospect.UP_TO_DATE, Prospect.QUEUE]
    _queue(world)
    (claim,) = world.claim(now=31.0)
    world.done(claim, now=32.0, encoded=[stored("2.25.9")])
    with world.ledger.reading() as tx:
        left = results.of_study(tx, 1)
        by_job = {row.id: row.model for row in tx.execute(select(job.c.id, job.c.model))}
    assert {by_job[made.job_id or 0] for made in left} == {"ee" * 32, NEWER}


def test_what_arrives_meanwhile_goes_first(sent: World) -> None:
    _queue(sent)
    sent.receive(arrival(2, study=2, priority=-1), now=30.0)
    first, second = sent.claim(now=31.0)
    assert (first.study_id, second.study_id) == (2, 1)


def test_each_image_is_told_what_can_be_done(sent: World) -> None:
    _queue(sent)
    assert _prospects(sent) == [Prospect.UNDER_WAY]
    (claim,) = sent.claim(now=31.0)
    with sent.ledger.transaction() as tx:
        jobs.retry(tx, claim, now=32.0, not_before=32.0, error="no", attempts_allowed=1)
    assert _prospects(sent) == [Prospect.FAILED]
    with sent.ledger.transaction() as tx:
        assert jobs.requeue(tx, claim.job_id, 33.0)
    (claim,) = sent.claim(now=34.0)
    sent.done(claim, now=35.0, encoded=[stored("2.25.2")])
    assert _prospects(sent) == [Prospect.UP_TO_DATE]
    sent.activate(MODEL)
    assert _prospects(sent) == [Prospect.BEEN_THERE]
    assert _prospects(sent, parameters="99" * 32) == [Prospect.QUEUE]
    assert _prospects(sent, MODALITY="99" * 32) == [Prospect.QUEUE]
    assert _prospects(sent, OTHER="99" * 32) == [Prospect.BEEN_THERE]
    assert _queue(sent) == 0


def test_what_was_purged_rejected_or_is_a_note_is_not_analysed_anew(sent: World) -> None:
    with sent.ledger.transaction() as tx:
        assert instances.purge(tx, 1, now=25.0)
    assert _prospects(sent) == [Prospect.PURGED]
    sent.receive(arrival(2), now=26.0)
    (claim,) = sent.claim(now=27.0)
    sent.unread(claim, JobState.DECLINED, Reason.REJECTION_NOTE, now=28.0)
    assert len(_candidates(sent)) == 1
    with sent.ledger.transaction() as tx:
        rejections.enter(tx, [IMAGE], title=RejectionTitle.QUALITY, note="1.2.3", study_id=1, now=29.0)
    assert _prospects(sent) == [Prospect.REJECTED]
    assert _queue(sent) == 0


def test_what_was_recalled_is_not_made_again(world: World) -> None:
    world.receive(arrival(1))
    world.analyse()
    with world.ledger.transaction() as tx:
        recall.mark(tx, [1], title=RejectionTitle.QUALITY, now=5.0)
    assert _prospects(world) == [Prospect.BEEN_THERE]


def test_queued_jobs_get_the_parameters_of_their_source(world: World) -> None:
    world.receive(arrival(1))
    with world.ledger.transaction() as tx:
        models.activate(tx, MODEL, parameters="11" * 32, by_source={"MODALITY": "22" * 32, "WARD": "33" * 32})
    (claim,) = world.claim()
    assert claim.parameters == "22" * 32


def test_what_came_before_any_model_gets_the_parameters_of_its_source(ledger: Ledger) -> None:
    world = World(ledger, model=False)
    world.receive(arrival(1))
    world.activate(MODEL)
    with ledger.transaction() as tx:
        by_source = {"MODALITY": "22" * 32}
        assert models.insert_missing(tx, model=MODEL, parameters=PARAMETERS, by_source=by_source, now=1.0) == 1
    (claim,) = world.claim()
    assert claim.parameters == "22" * 32


def test_what_is_drawn_is_noted_once_and_told(world: World) -> None:
    with world.ledger.transaction() as tx:
        assert encodings.find(tx, model_digest=MODEL, digest=PARAMETERS) is None
        encodings.remember(tx, model_digest=MODEL, digest=PARAMETERS, threshold=0.25, most_findings=3)
        assert encodings.find(tx, model_digest=MODEL, digest=PARAMETERS) is None, "its family is not noted"
        family = ("123110", "DCM", "Artificial Intelligence")
        models.register(tx, digest=MODEL, name="chexnode", version="1", family=family, now=9.0)
        encodings.remember(tx, model_digest=MODEL, digest=PARAMETERS, threshold=0.75, most_findings=9)
        noted = encodings.find(tx, model_digest=MODEL, digest=PARAMETERS)
    assert noted is not None
    assert (noted.name, noted.version, noted.family, noted.threshold, noted.most_findings) == (
        "chexnode",
        "1",
        family,
        0.25,
        3,
    )


def test_a_job_says_under_which_settings_it_is_read_unless_a_twin_says_so(world: World) -> None:
    world.receive(arrival(1))
    (claim,) = world.claim()
    with world.ledger.transaction() as tx:
        assert jobs.read_under(tx, claim, PARAMETERS) is claim
        other = jobs.read_under(tx, claim, "22" * 32)
    assert other.parameters == "22" * 32
    world.done(other)
    assert _prospects(world, parameters="22" * 32) == [Prospect.UP_TO_DATE]
    _queue(world)
    (again,) = world.claim(now=31.0)
    with world.ledger.transaction() as tx:
        assert jobs.read_under(tx, again, "22" * 32) is again
