"""What a study's report is made of, and how its objects take each other's place."""

from dataclasses import replace

from dicom_node.domain import JobState, Kind, Profile, Reason, ResultState
from dicom_node.ledger import deliveries, encodings, headers, jobs, models, reports, results, studies
from dicom_node.ledger.deliveries import NewDelivery
from dicom_node.ledger.headers import KeptHeader
from dicom_node.ledger.keys import spool_keys
from dicom_node.ledger.reports import Outcome
from dicom_node.ledger.rows import ResultRow
from tests.contract.world import MODEL, PARAMETERS, PATIENCE, World, arrival, stored

OTHER = "dd" * 32


def keep(world: World, job_id: int, key: str = "e" * 32) -> None:
    with world.ledger.transaction() as tx:
        headers.store(tx, job_id, KeptHeader(spool_key=key, input_digest="f1" * 32))


def outcomes(world: World) -> list[Outcome]:
    with world.ledger.reading() as tx:
        return reports.outcomes(tx, 1)


def current(world: World) -> list[ResultRow]:
    with world.ledger.reading() as tx:
        return reports.current(tx, 1)


def report(world: World, uid: str, *, now: float, profile: Profile = Profile.OHIF) -> list[ResultRow]:
    """The study is concluded with a report of one object."""
    world.quieten(now=now)
    with world.ledger.transaction() as tx:
        (row,) = studies.ready(tx, now=now, conclude_after=PATIENCE)
        missing = studies.unfinished(tx, row.study_id)
        assert studies.conclude(tx, row, revision=row.revision, now=now, deliveries=[], missing=missing)
        written = [replace(stored(uid, Kind.SR), profile=profile)]
        return reports.store(tx, written, study_id=row.study_id, revision=row.revision, now=now)


def test_an_image_s_outcome_is_what_its_model_said_of_it_last(world: World) -> None:
    world.receive(arrival(1), arrival(2), arrival(3), now=0.0)
    first, second, _ = world.claim()
    world.done(first)
    keep(world, first.job_id)
    world.unread(second, JobState.DECLINED, Reason.LATERAL_VIEW)
    done, declined, running = outcomes(world)
    assert done.job is not None
    assert done.job.state is JobState.DONE
    assert done.header == KeptHeader(spool_key="e" * 32, input_digest="f1" * 32)
    assert declined.job is not None
    assert (declined.job.reason, declined.header, declined.encoding) == (Reason.LATERAL_VIEW, None, None)
    assert (running.job, running.under_way) == (None, True)
    assert [one.under_way for one in (done, declined)] == [False, False]


def test_how_an_image_was_encoded_is_told_where_it_was_noted(world: World) -> None:
    world.receive(arrival(1))
    world.analyse()
    (before,) = outcomes(world)
    assert before.encoding is None, "a release that noted nothing"
    family = ("123110", "DCM", "Artificial Intelligence")
    with world.ledger.transaction() as tx:
        models.register(tx, digest=MODEL, name="chexnode", version="1", family=family, now=0.0)
        encodings.remember(tx, model_digest=MODEL, digest=PARAMETERS, threshold=0.3, most_findings=4)
    (after,) = outcomes(world)
    assert after.encoding is not None
    assert (after.encoding.threshold, after.encoding.most_findings) == (0.3, 4)
    assert after != before


def test_what_failed_does_not_take_an_earlier_word_back(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse(now=1.0)
    with world.ledger.transaction() as tx:
        models.queue_jobs(tx, instance_id=1, study_id=1, priority=0, rank=2.0, parameters="cc" * 32, now=2.0)
    (waiting,) = outcomes(world)
    assert waiting.job is not None
    assert (waiting.job.state, waiting.under_way) == (JobState.DONE, True)
    (claim,) = world.claim(now=3.0)
    with world.ledger.transaction() as tx:
        jobs.retry(tx, claim, now=4.0, not_before=5.0, error="broken", attempts_allowed=1)
    (failed,) = outcomes(world)
    assert failed.job is not None
    assert (failed.job.state, failed.under_way) == (JobState.DONE, False)


def test_two_models_are_two_outcomes(world: World) -> None:
    world.activate(OTHER, name="bone-age")
    world.receive(arrival(1))
    world.analyse()
    found = outcomes(world)
    assert sorted(one.job.model for one in found if one.job is not None) == sorted([MODEL, OTHER])


def test_a_replaced_version_has_no_outcome(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse(now=1.0)
    claim = world.new_version(data="second", patient_id="P-2")
    world.done(claim, now=4.0)
    (one,) = outcomes(world)
    assert one.instance.instance_id == claim.instance.instance_id


def test_a_new_report_takes_the_place_of_all_earlier_ones(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse(now=1.0)
    (old,) = report(world, "2.25.1", now=20.0)
    assert current(world) == [old]
    assert (old.job_id, old.kind, old.is_current) == (None, Kind.SR, True)
    with world.ledger.transaction() as tx:
        wanted = [NewDelivery(result_id=old.result_id, destination="pacs", held=False)]
        deliveries.queue_deliveries(tx, wanted, study_id=1, now=20.0)
    world.receive(arrival(2), now=30.0)
    world.analyse(now=31.0)
    (new,) = report(world, "2.25.2", now=50.0, profile=Profile.AIR)
    assert current(world) == [new]
    assert world.sending(now=60.0) == [], "what was not sent of the old one never is"
    with world.ledger.reading() as tx:
        assert old.sop_instance_uid not in {row.sop_instance_uid for row in results.of_study(tx, 1)}
        assert results.is_ours(tx, old.sop_instance_uid)


def test_a_purged_report_is_still_the_one_that_the_next_replaces(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse(now=1.0)
    (old,) = report(world, "2.25.1", now=20.0)
    with world.ledger.transaction() as tx:
        assert results.purge(tx, old.result_id, now=30.0)
    (purged,) = current(world)
    assert (purged.sop_instance_uid, purged.state) == ("2.25.1", ResultState.PURGED)


def test_headers_are_named_until_their_study_is_purged(world: World) -> None:
    world.receive(arrival(1), arrival(2, study=2))
    first, second = world.claim()
    world.done(first)
    world.done(second, encoded=[stored("2.25.9")])
    keep(world, first.job_id, "1" * 32)
    keep(world, second.job_id, "2" * 32)
    with world.ledger.transaction() as tx:
        assert {"1" * 32, "2" * 32} <= spool_keys(tx)
        assert headers.purge(tx, 1) == ["1" * 32]
        assert headers.purge(tx, 1) == []
        assert "1" * 32 not in spool_keys(tx)
        assert headers.of_job(tx, first.job_id) is None
        assert headers.of_job(tx, second.job_id) is not None
