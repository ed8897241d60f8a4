"""`chexnode recall`, and what `status` says of it: what is withdrawn, how far it came, what a person must do."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicom_node.domain import DeliveryState, Kind, Profile
from dicom_node.errors import NotFound
from dicom_node.ledger import deliveries, results, withdrawals
from dicom_node.ledger.deliveries import NewDelivery
from dicom_node.ledger.rows import StoredResult
from tests.cli.conftest import Run
from tests.cli.running import chexnode
from tests.site import MODEL, Site


@pytest.fixture(autouse=True)
def sent(site: Site) -> None:
    """One study whose two results the archive has, and one whose two are held."""
    site.arrive("1.2.1", accession="A1")
    site.analyse()
    site.conclude("1.2.1", held=False)
    site.send("archive", DeliveryState.STORED)
    site.arrive("1.2.2", accession="A2")
    site.analyse()
    site.conclude("1.2.2")


def write_note(site: Site, outcome: DeliveryState | None, error: str = "") -> None:
    """The rejection note is written, and what the archive says to it; None: it waits."""
    note = StoredResult(
        kind=Kind.KOS,
        profile=Profile.STRICT,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.59",
        sop_instance_uid="2.25.99",
        series_instance_uid="2.25.98",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        encoder_version="1",
        spool_key="9" * 32,
        digest="a" * 64,
    )
    with site.ledger.transaction() as tx:
        ((study_id, objects),) = withdrawals.unnoted(tx, limit=5).items()
        note_id = withdrawals.note(tx, [one.withdrawal_id for one in objects], note, study_id=study_id, now=site.now)
        wanted = [NewDelivery(result_id=note_id, destination="archive", held=False, released=True)]
        deliveries.queue_deliveries(tx, wanted, study_id=study_id, now=site.now)
    if outcome is not None:
        site.send("archive", outcome, error)


def test_it_lists_asks_and_does(run: Run, site: Site) -> None:
    dry = run("recall", "--since", "2020-01-01", "--dry-run").output
    assert "archive  seg sc   by a rejection note  A1         1.2.1" in dry
    assert "archive  seg sc   never sent           A2         1.2.2" in dry
    assert "Would recall 4 results." in dry
    refused = run("recall", "--study", "1.2.1", answers="n\n")
    assert refused.exit_code == 1
    assert "Recall 2 results? There is no way back." in refused.output
    assert "Nothing that an archive has was recalled." in run("recall", "--list").output
    done = run("recall", "--study", "1.2.1", "--reason", "patient-safety", answers="y\n").output
    assert "Recalled 2 results; the running node writes and sends the rejection notes." in done
    assert "Would recall 0 results." in run("recall", "--study", "1.2.1", "--yes").output
    with site.ledger.reading() as tx:
        assert [(one.title, one.accession_number) for one in withdrawals.find(tx)] == [("113037", "A1")] * 2


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        (("--accession", "A2"), 2),
        (("--model", MODEL[:8]), 4),
        (("--model", MODEL.upper()[:10]), 4),
        (("--model", "0" * 8), 0),
        (("--profile", "strict"), 4),
        (("--profile", "ohif"), 0),
        (("--until", "2020-01-01"), 0),
        (("--until", "2035-01-01 13:30", "--study", "1.2.1"), 2),
    ],
    ids=str,
)
def test_what_is_meant(run: Run, chosen: tuple[str, ...], count: int) -> None:
    assert f"Would recall {count} results." in run("recall", *chosen, "-n").output


def test_studies_and_times_that_are_none_are_refused(run: Run) -> None:
    with pytest.raises(NotFound, match="chexnode status"):
        run("recall", "--study", "1.2.99", "--yes")
    assert run("recall", "--since", "yesterday", "--yes").exit_code == 2
    assert run("recall", "--since", "2026-01-01", "--reason", "whim").exit_code == 2


def test_a_day_is_local_time(run: Run, site: Site) -> None:
    made = datetime.fromtimestamp(site.now - 60, UTC).astimezone()
    after = made.strftime("%Y-%m-%dT%H:%M:%S")
    assert "Would recall 2 results." in run("recall", "--until", after, "-n").output


def test_status_and_list_tell_how_far_it_came(run: Run, site: Site) -> None:
    run("recall", "--study", "1.2.1", "--yes")
    assert (
        "archive: 2 results recalled; the rejection note is to be written" in run("status", "--study", "1.2.1").output
    )
    assert "is to be written" in run("recall", "--list").output
    write_note(site, None)
    said = run("status", "--study", "1.2.1").output
    assert "archive: 2 results recalled; the rejection note is on its way" in said
    assert "archive: 1 rejection note waiting" in said
    site.send("archive", DeliveryState.STORED)
    said = run("status", "--study", "1.2.1").output
    assert "archive: 2 results recalled; archive took the rejection note (whether it hides them" in said
    assert "archive: 1 rejection note stored" in said
    listed = run("recall", "--list", "--accession", "A1").output
    assert "taken" in listed
    assert "By hand" not in listed
    assert "2.25." not in listed
    assert "Imaging Object Change Management" in listed


def test_what_an_archive_does_not_take_is_a_person_s(run: Run, site: Site) -> None:
    run("recall", "--study", "1.2.1", "--yes")
    write_note(site, DeliveryState.FAILED, "0x0122 SOP class not supported")
    said = run("status", "--study", "1.2.1").output
    assert "the rejection note was refused (0x0122 SOP class not supported)" in " ".join(said.split())
    assert "chexnode recall --list --study 1.2.1" in said
    listed = run("recall", "--list").output
    assert "To be deleted by hand, 2 results:" in listed
    assert "  archive  study 1.2.1  seg 2.25.10" in listed
    assert "  archive  study 1.2.1  sc 2.25.11" in listed


def test_recalled_and_superseded_are_said_in_plain_words(run: Run, site: Site) -> None:
    run("recall", "--study", "1.2.2", "--yes")
    assert "archive: 2 recalled results abandoned" in run("status", "--study", "1.2.2").output
    with site.ledger.transaction() as tx:
        results.retire(tx, "1.2.1.1.1", now=site.now)
    assert "archive: 2 superseded results stored" in run("status", "--study", "1.2.1").output


def test_in_a_process_of_its_own(site: Site, tmp_path: Path) -> None:
    assert chexnode("recall", "--study", "1.2.1", folder=tmp_path).returncode == 1  # nobody there to answer
    ran = chexnode("recall", "--study", "1.2.1", "--yes", folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Recalled 2 results" in ran.stdout
