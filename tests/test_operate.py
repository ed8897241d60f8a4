"""What an operator may do, on a real ledger: it does what it says, and a dry run does nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node import operate
from dicom_node.domain import DeliveryState, InstanceState, JobState, Kind, Reason
from dicom_node.errors import NotFound
from dicom_node.ledger import choice, deliveries, overview
from dicom_node.operate import Choice
from tests.site import Site

ALL = Choice()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Three studies of one image each: A held, B refused, C waiting for its next attempt."""
    made = Site.make(tmp_path / "ledger.sqlite")
    for study, accession in (("1.2.1", "A"), ("1.2.2", "B"), ("1.2.3", "C")):
        made.arrive(study, accession=accession)
        made.analyse()
    made.conclude("1.2.1")
    made.conclude("1.2.2", held=False)
    made.send("archive", DeliveryState.FAILED, "0xA900: it does not match")
    made.conclude("1.2.3", destination="backup", held=False)
    made.send("backup", DeliveryState.PENDING, "no answer")
    yield made
    made.ledger.close()


def states(site: Site) -> dict[str, set[DeliveryState]]:
    with site.ledger.reading() as tx:
        views = overview.studies(tx)
    return {view.study.accession_number: {each.state for each in view.deliveries} for view in views}


def test_release_sends_what_is_held(site: Site) -> None:
    released = operate.release(site.ledger, ALL, now=site.now)
    assert [(each.accession_number, each.kind) for each in released] == [("A", Kind.SEG), ("A", Kind.SC)]
    assert states(site)["A"] == {DeliveryState.PENDING}
    assert operate.release(site.ledger, ALL, now=site.now) == ()


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        (Choice(study_instance_uid="1.2.1"), 2),
        (Choice(accession_number="A"), 2),
        (Choice(study_instance_uid="1.2.1", accession_number="A", destination="archive"), 2),
        (Choice(study_instance_uid="1.2.2"), 0),
        (Choice(destination="backup"), 0),
        (Choice(destination="archive"), 2),
    ],
)
def test_release_does_what_is_chosen_and_nothing_else(site: Site, chosen: Choice, count: int) -> None:
    assert len(operate.release(site.ledger, chosen, now=site.now)) == count
    assert states(site)["A"] == {DeliveryState.PENDING if count else DeliveryState.HELD}


@pytest.mark.parametrize(
    "chosen",
    [
        Choice(study_instance_uid="1.2.99"),
        Choice(accession_number="Z"),
        Choice(study_instance_uid="1.2.1", accession_number="B"),
        Choice(accession_number=""),
    ],
)
def test_a_study_that_is_not_there_is_said_and_nothing_is_done(site: Site, chosen: Choice) -> None:
    before = states(site)
    with pytest.raises(NotFound, match="chexnode status"):
        operate.release(site.ledger, chosen, now=site.now)
    assert states(site) == before


def test_retry_queues_refused_deliveries_anew_and_hastens_those_that_wait(site: Site) -> None:
    retried = operate.retry(site.ledger, ALL, now=site.now)
    assert {each.accession_number for each in retried.refused} == {"B"}
    assert {each.accession_number for each in retried.waiting} == {"C"}
    assert states(site)["B"] == {DeliveryState.PENDING}
    with site.ledger.reading() as tx:
        due = choice.deliveries(tx, DeliveryState.PENDING)
    assert len(due) == 4
    assert all(each.not_before <= site.now for each in due)


def test_retry_of_one_destination_leaves_others_and_analyses_alone(site: Site) -> None:
    site.arrive("1.2.4", accession="D")
    site.fail("the GPU is gone")
    retried = operate.retry(site.ledger, Choice(destination="backup"), now=site.now)
    assert (retried.jobs, retried.refused) == ((), ())
    assert len(retried.waiting) == 2
    assert states(site)["B"] == {DeliveryState.FAILED}


def test_retry_queues_failed_analyses_anew(site: Site) -> None:
    uid = site.arrive("1.2.4", accession="D")
    site.fail("the GPU is gone")
    (job,) = operate.retry(site.ledger, Choice(accession_number="D"), now=site.now).jobs
    assert (job.sop_instance_uid, job.last_error) == (uid, "the GPU is gone")
    with site.ledger.reading() as tx:
        (view,) = overview.studies(tx, accession="D")
    assert [each.job.state for each in view.instances[0].jobs] == [JobState.QUEUED]


def test_abandon_ends_what_waits_and_names_what_is_on_its_way(site: Site) -> None:
    operate.retry(site.ledger, Choice(accession_number="B"), now=site.now)
    with site.ledger.transaction() as tx:
        deliveries.claim(tx, destination="archive", now=site.now, owner="sender", lease=60, limit=1)
    done = operate.abandon(site.ledger, Choice(destination="archive"), now=site.now, reason="replaced")
    assert [each.accession_number for each in done.deliveries] == ["A", "A", "B"]
    assert [each.accession_number for each in done.sending] == ["B"]
    assert states(site) == {
        "A": {DeliveryState.ABANDONED},
        "B": {DeliveryState.ABANDONED, DeliveryState.SENDING},
        "C": {DeliveryState.PENDING},
    }


def test_accept_makes_the_quarantined_version_current_and_has_it_read(site: Site) -> None:
    uid = site.arrive("1.2.5", uid="1.2.5.1", digest="1" * 64)
    site.analyse()
    site.arrive("1.2.5", uid=uid, digest="2" * 64)
    site.quarantine()
    accepted = operate.accept(site.ledger, uid, now=site.now)
    assert (accepted.digest, accepted.reason) == ("2" * 64, Reason.DIFFERENT_PICTURE)
    assert site.claim().instance.digest == "2" * 64
    with pytest.raises(NotFound, match="quarantined"):
        operate.accept(site.ledger, uid, now=site.now)


def test_of_several_versions_in_quarantine_a_digest_names_one(site: Site) -> None:
    uid = site.arrive("1.2.5", uid="1.2.5.1", digest="1" * 64)
    site.analyse()
    for digit in "23":
        site.arrive("1.2.5", uid=uid, digest=digit * 64)
        site.quarantine()
    with pytest.raises(NotFound, match="222222222222, 333333333333"):
        operate.accept(site.ledger, uid, now=site.now)
    with pytest.raises(NotFound):
        operate.accept(site.ledger, "3" * 7, now=site.now)
    assert operate.accept(site.ledger, "3" * 8, now=site.now).digest == "3" * 64


def test_a_dry_run_says_the_same_and_does_nothing(site: Site) -> None:
    uid = site.arrive("1.2.5", accession="E", uid="1.2.5.1", digest="1" * 64)
    site.analyse()
    site.arrive("1.2.5", uid=uid, digest="2" * 64)
    site.quarantine()
    before = states(site)
    for _ in range(2):
        assert len(operate.release(site.ledger, ALL, now=site.now, dry_run=True)) == 2
        assert len(operate.retry(site.ledger, ALL, now=site.now, dry_run=True).refused) == 2
        assert len(operate.abandon(site.ledger, ALL, now=site.now, reason="", dry_run=True).deliveries) == 6
        assert operate.accept(site.ledger, uid, now=site.now, dry_run=True).state is InstanceState.QUARANTINED
    assert states(site) == before
    with site.ledger.reading() as tx:
        assert len(overview.quarantined(tx)) == 1
        assert all(d.not_before > site.now for d in choice.deliveries(tx, DeliveryState.PENDING))
