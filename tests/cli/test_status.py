"""`chexnode status` says where each study is, what it waits for, since when, for whom, and which command helps."""

import json
import re
import time

import pytest

from dicom_node.domain import DeliveryState, Reason
from dicom_node.errors import NotFound
from dicom_node.ledger import pledges, processes
from dicom_node.ledger.commitments import Reference
from tests.cli.conftest import Run
from tests.site import Site


@pytest.fixture(autouse=True)
def today(site: Site) -> None:
    site.now = time.time() - 3 * 3600


def words(text: str) -> str:
    """The text of a screen without its line breaks."""
    return " ".join(text.split())


def test_nothing_yet(run: Run, site: Site) -> None:
    output = run("status").output
    assert "No study has come yet" in output
    assert "not running: start it with chexnode serve" in output


def test_a_study_that_is_analysed_and_held(run: Run, site: Site) -> None:
    site.arrive("1.2.1", accession="A1")
    site.analyse()
    site.arrive("1.2.1", accession="A1")
    site.decline(Reason.LATERAL_VIEW, "ViewPosition is LL")
    site.conclude("1.2.1")
    output = words(run("status", "--accession", "A1").output)
    assert "concluded 3 h ago: 2 images" in output
    assert "1 image analysed" in output
    assert "declined: lateral_view, ViewPosition is LL" in output
    assert "archive: 2 results held for 3 h: chexnode release --study 1.2.1" in output
    assert "score 0.90, 1 candidate" in output
    assert "image 1.2.1.1.2" in output


def test_what_an_open_study_waits_for(run: Run, site: Site) -> None:
    site.now = time.time() - 62
    site.arrive("1.2.1")
    output = words(run("status").output)
    assert "no accession number 1.2.1 open: 1 image, the last" in output
    assert "complete if nothing comes for" in output
    assert "1 image waits to be analysed" in output


def test_failed_refused_and_unreachable_are_named_with_what_helps(run: Run, site: Site) -> None:
    for study in ("1.2.1", "1.2.2"):
        site.arrive(study)
        site.analyse()
    site.conclude("1.2.1", held=False)
    site.send("archive", DeliveryState.FAILED, "0xA900: it does not match")
    site.conclude("1.2.2", held=False)
    site.send("archive", DeliveryState.PENDING, "no answer from 10.0.0.7", again_in=3.5 * 3600)
    site.arrive("1.2.3")
    site.fail("the GPU is gone")
    output = words(run("status").output)
    assert "archive is dead: 2 results waiting for 3 h, it never took anything (no answer from 10.0.0.7)" in output
    assert "chexnode abandon archive" in output
    assert "refused 3 h ago (0xA900: it does not match): chexnode retry --study 1.2.1" in output
    assert re.search(r"next attempt in 3\d min after 1 attempt: no answer from 10\.0\.0\.7", output)
    assert "1 analysis failed; try again: chexnode retry --all" in output
    assert "failed (the GPU is gone): chexnode retry --study 1.2.3" in output


def test_quarantine_is_shown_with_the_command_that_ends_it(run: Run, site: Site) -> None:
    uid = site.arrive("1.2.1", digest="1" * 64)
    site.analyse()
    site.arrive("1.2.1", uid=uid, digest="2" * 64)
    site.quarantine()
    output = words(run("status").output)
    assert f"from ARCHIVE: chexnode accept 222222222222 {uid}" in output


def test_roles_that_are_silent_are_named(run: Run, site: Site) -> None:
    with site.ledger.transaction() as tx:
        for role, ago in (("receive", 5), ("analyse", 600)):
            processes.heartbeat(tx, role=role, host="h", pid=1, version="1", now=time.time() - ago)
    output = words(run("status").output)
    assert "receive alive analyse silent, seen 10 min ago conclude not running deliver not running" in output


def test_a_destination_that_the_configuration_has_lost_is_shown(run: Run, site: Site) -> None:
    site.arrive("1.2.1")
    site.analyse()
    site.conclude("1.2.1", destination="gone")
    assert "gone not configured 2 - -" in words(run("status").output)


def test_commands_are_never_broken_over_lines(run: Run, site: Site) -> None:
    study = "2.25." + "1" * 59
    site.arrive(study)
    site.analyse()
    site.conclude(study)
    assert f"chexnode release --study {study}" in run("status").output.replace("    ", "")


def test_json_says_the_same_and_nothing_of_the_patient(run: Run, site: Site) -> None:
    site.arrive("1.2.1", accession="A1")
    site.analyse()
    site.conclude("1.2.1")
    said = json.loads(run("status", "--json").output)
    (study,) = said["studies"]
    assert study["study"]["accession_number"] == "A1"
    assert [each["state"] for each in study["deliveries"]] == ["held", "held"]
    assert (
        said["destinations"][0] | {"destination": "archive", "mode": "hold", "dead": False} == said["destinations"][0]
    )
    assert "P1" not in json.dumps(said)


def test_a_study_that_never_came_is_said(run: Run, site: Site) -> None:
    with pytest.raises(NotFound, match="accession number Z"):
        run("status", "--accession", "Z")
    with pytest.raises(NotFound, match=r"UID 1\.2\.3"):
        run("status", "--study", "1.2.3")


def test_a_peers_text_cannot_command_the_terminal(run: Run, site: Site) -> None:
    site.arrive("1.2.1", accession="\x1b[2J[red]A1")
    output = run("status").output
    assert "\x1b" not in output
    assert "[red]A1" in output


def test_what_is_not_committed_to_is_named_and_what_is_pledged_counted(run: Run, site: Site) -> None:
    uid = site.arrive("1.2.1")
    site.analyse()
    site.conclude("1.2.1", held=False)
    site.send("archive", DeliveryState.UNCOMMITTED)
    with site.ledger.transaction() as tx:
        reference = Reference(sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1", sop_instance_uid=uid)
        pledges.enter(tx, peer="archive", transaction_uid="1.2.3", references=[reference], now=site.now)
        pledges.pledge(tx, uid)
    output = words(run("status").output)
    assert "archive stored 2 results and has not committed to keeping them, the first 3 h ago" in output
    assert "archive: 2 results stored 3 h ago, but they are not committed to yet" in output
    assert "1 image pledged to peers, kept until an archive commits to them; 1 peer waiting for a report" in output
    (destination,) = json.loads(run("status", "--json").output)["destinations"]
    assert destination["uncommitted"] == 2


def test_what_the_last_look_holds_says_why_beside_what_is_held_for_a_word(run: Run, site: Site) -> None:
    site.arrive("1.2.1", accession="A-1001")
    site.analyse()
    site.conclude("1.2.1", held=False)
    site.send("archive", DeliveryState.HELD, "its image is in another study of the archive")
    site.arrive("1.2.1", accession="A-1001")
    site.analyse()
    site.conclude("1.2.1")
    output = words(run("status", "--study", "1.2.1").output)
    assert "held for 3 h: its image is in another study of the archive: chexnode release --study 1.2.1" in output
    assert "held for 3 h: chexnode release --study 1.2.1" in output
