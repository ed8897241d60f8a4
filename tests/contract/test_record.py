"""What an arrival does: new, duplicate, new version; and to which study."""

import dataclasses
import threading

from sqlalchemy import select

from dicom_node.domain import InstanceState, JobState, StudyState
from dicom_node.ledger import Ledger, identity, instances, models, overview, studies
from dicom_node.ledger.instances import Outcome
from dicom_node.ledger.schema import instance, job, study
from tests.contract.world import MODEL, PARAMETERS, World, arrival


def test_a_new_image_opens_its_study_and_queues_a_job(world: World) -> None:
    (made,) = world.receive(arrival(1), now=100.0)
    assert made.outcome is Outcome.NEW
    row = world.study(made.study_id)
    assert (row.state, row.revision, row.last_arrival) == (StudyState.OPEN, 1, 100.0)
    assert (row.accession_number, row.patient_id) == ("A-1", "P-1")
    (claim,) = world.claim(now=100.0)
    assert claim.instance.sop_instance_uid == "1.2.826.0.1.1"
    assert claim.instance.is_current
    assert (claim.model, claim.parameters, claim.attempts) == (MODEL, PARAMETERS, 1)


def test_the_same_bytes_again_change_nothing(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    world.through(now=50.0)
    before = world.study()
    (again,) = world.receive(arrival(1), now=60.0)
    assert again.outcome is Outcome.DUPLICATE
    assert again.instance_id == 1
    assert world.study() == before
    assert world.claim(now=60.0) == []


def test_bytes_of_an_earlier_version_are_a_duplicate_too(world: World) -> None:
    world.receive(arrival(1), arrival(1, data="second"))
    (again,) = world.receive(arrival(1))
    assert (again.outcome, again.instance_id) == (Outcome.DUPLICATE, 1)


def test_purged_bytes_are_still_known(world: World) -> None:
    world.receive(arrival(1))
    world.analyse()
    with world.ledger.transaction() as tx:
        assert instances.purge(tx, 1, now=9.0) == f"{1:032x}"
        assert instances.purge(tx, 1, now=9.0) is None
    (again,) = world.receive(arrival(1))
    assert again.outcome is Outcome.DUPLICATE
    with world.ledger.reading() as tx:
        assert instances.get(tx, 1).state is InstanceState.PURGED


def test_an_instance_is_not_purged_while_a_job_needs_it(world: World) -> None:
    world.receive(arrival(1))
    with world.ledger.transaction() as tx:
        assert instances.purge(tx, 1, now=9.0) is None


def test_a_new_image_reopens_a_complete_study_with_the_same_revision(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    world.quieten(now=20.0)
    assert world.study().state is StudyState.COMPLETE
    world.receive(arrival(2), now=25.0)
    row = world.study()
    assert (row.state, row.revision, row.completed_at) == (StudyState.OPEN, 1, None)
    assert world.quieten(now=30.0) == []
    assert world.quieten(now=36.0) == [1]


def test_a_new_image_reopens_a_concluded_study_with_the_next_revision(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    assert world.through(now=20.0) == [1]
    world.receive(arrival(2), now=25.0)
    row = world.study()
    assert (row.state, row.revision) == (StudyState.OPEN, 2)


def test_another_version_leaves_a_concluded_study_alone_until_it_is_judged(world: World) -> None:
    world.receive(arrival(1), now=0.0)
    world.analyse()
    world.through(now=20.0)
    (second,) = world.receive(arrival(1, data="second"), now=25.0)
    assert second.outcome is Outcome.NEW_VERSION
    assert world.study().state is StudyState.CONCLUDED
    (claim,) = world.claim(now=26.0)
    assert (claim.instance.instance_id, claim.instance.is_current) == (second.instance_id, False)


def test_jobs_are_made_later_for_what_came_before_any_model(ledger: Ledger) -> None:
    world = World(ledger, model=False)
    world.receive(arrival(1), arrival(2), now=0.0)
    world.quieten(now=20.0)
    assert world.conclude(now=30.0) == [], "a study without a single job is not one that has been read"
    with world.ledger.reading() as tx:
        assert studies.unfinished(tx, 1) == ["1.2.826.0.1.1", "1.2.826.0.1.2"]
    world.activate(MODEL)
    with ledger.transaction() as tx:
        assert models.insert_missing(tx, model=MODEL, parameters=PARAMETERS, now=40.0) == 2
        assert models.insert_missing(tx, model=MODEL, parameters=PARAMETERS, now=40.0) == 0
    world.analyse(now=41.0)
    assert world.conclude(now=42.0) == [1]


def test_a_later_model_takes_over_what_is_queued_and_nothing_else(world: World) -> None:
    world.receive(arrival(1), arrival(2), arrival(3))
    first, second = world.claim(limit=2)
    world.done(first)
    world.activate("dd" * 32)
    (third,) = world.claim()
    assert third.model == "dd" * 32
    world.done(second)
    with world.ledger.reading() as tx:
        made = tx.execute(select(job.c.model).order_by(job.c.id)).scalars().all()
    assert made == [MODEL, MODEL, "dd" * 32]


def test_a_model_of_another_name_gets_jobs_of_its_own(world: World) -> None:
    world.activate("ee" * 32, name="bone-age")
    world.receive(arrival(1))
    assert sorted(claim.model for claim in world.claim()) == [MODEL, "ee" * 32]


def test_identifying_values_stand_in_the_study_alone(world: World) -> None:
    world.receive(arrival(1, patient_id="SECRET-PATIENT", accession="SECRET-ACCESSION"))
    world.analyse()
    world.through(now=50.0)
    with world.ledger.reading() as tx:
        (view,) = overview.studies(tx, accession="SECRET-ACCESSION")
        for table in instance.metadata.sorted_tables:
            if table is not study:
                values = [value for row in tx.execute(select(table)) for value in row]
                assert not any("SECRET" in str(value) for value in values), table
    assert "SECRET" not in repr(view)
    with world.ledger.transaction() as tx:
        identity.forget(tx, 1)
        assert not any("SECRET" in str(value) for value in tx.execute(select(study)).one())


def test_associations_at_the_same_time_make_one_study_and_one_current_version(world: World) -> None:
    outcomes: list[Outcome] = []
    started = threading.Barrier(8)

    def store(number: int) -> None:
        started.wait(10)
        data = "first" if number % 2 else "second"
        (made,) = world.receive(dataclasses.replace(arrival(1, data=data), spool_key=f"{number:032x}"))
        outcomes.append(made.outcome)

    threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == sorted([Outcome.NEW, Outcome.NEW_VERSION] + [Outcome.DUPLICATE] * 6)
    with world.ledger.reading() as tx:
        assert tx.execute(select(study.c.id)).scalars().all() == [1]
        assert len(tx.execute(select(instance.c.id).where(instance.c.is_current)).all()) == 1
        assert tx.execute(select(job.c.state)).scalars().all() == [JobState.QUEUED.value] * 2
