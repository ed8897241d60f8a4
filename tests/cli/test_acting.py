"""release, retry, accept, abandon: they ask what is meant, say what they do, and do it."""

import time
from pathlib import Path

import pytest

from dicom_node.domain import DeliveryState
from dicom_node.errors import NotFound
from dicom_node.ledger import choice, overview
from tests.cli.conftest import Run
from tests.cli.running import chexnode
from tests.site import Site


@pytest.fixture(autouse=True)
def held(site: Site) -> None:
    """One study with its two results held."""
    site.arrive("1.2.1", accession="A1", digest="1" * 64)
    site.analyse()
    site.conclude("1.2.1")


def count(site: Site, state: DeliveryState) -> int:
    with site.ledger.reading() as tx:
        return len(choice.deliveries(tx, state))


def test_release_says_and_does(run: Run, site: Site) -> None:
    dry = run("release", "--accession", "A1", "--dry-run").output
    assert "Would release 2 results." in dry
    assert count(site, DeliveryState.HELD) == 2
    output = run("release", "--accession", "A1").output
    assert "Released 2 results." in output
    assert output.split("\n", 1)[1] == dry.split("\n", 1)[1]
    assert "archive  seg sc   A1         1.2.1" in output
    assert count(site, DeliveryState.PENDING) == 2


@pytest.mark.parametrize("command", ["release", "retry"])
@pytest.mark.parametrize("arguments", [(), ("--all", "--study", "1.2.1")], ids=["nothing", "all and some"])
def test_what_is_meant_must_be_said(run: Run, site: Site, command: str, arguments: tuple[str, ...]) -> None:
    result = run(command, *arguments)
    assert result.exit_code == 2
    assert "say what is meant" in result.output
    assert count(site, DeliveryState.HELD) == 2


def test_destinations_that_nobody_knows_are_refused_and_the_known_named(run: Run, site: Site) -> None:
    for arguments in (("release", "--destination", "archvie"), ("abandon", "archvie", "--yes")):
        with pytest.raises(NotFound, match=r"archvie; there are: archive"):
            run(*arguments)


def test_what_is_released_for_a_destination_that_is_off_is_said(run: Run, site: Site, tmp_path: Path) -> None:
    file = tmp_path / "chexnode.toml"
    file.write_text(file.read_text().replace('mode = "hold"', 'mode = "off"'))
    assert "archive is off" in run("release", "--all").output


def test_retry_says_and_does(run: Run, site: Site) -> None:
    site.arrive("1.2.2")
    site.fail("the GPU is gone")
    run("release", "--all")
    site.now = time.time() + 1
    site.send("archive", DeliveryState.FAILED, "0xA900")
    output = run("retry", "--all").output
    assert "Retrying 1 failed analysis, 2 refused results, and 0 results ahead of time." in output
    assert "the GPU is gone" in output
    assert count(site, DeliveryState.PENDING) == 2


def test_abandon_asks_first(run: Run, site: Site) -> None:
    refused = run("abandon", "archive", answers="n\n")
    assert refused.exit_code == 1
    assert "Never send 2 results to archive?" in refused.output
    assert "Would abandon 2 results" in run("abandon", "archive", "-n").output
    assert count(site, DeliveryState.HELD) == 2
    assert "Abandoned 2 results" in run("abandon", "archive", answers="y\n").output
    assert count(site, DeliveryState.ABANDONED) == 2
    assert "Would abandon 0 results" in run("abandon", "archive", "--yes").output


def test_accept_says_and_does(run: Run, site: Site) -> None:
    site.arrive("1.2.1", uid="1.2.1.1.1", digest="2" * 64)
    site.quarantine()
    assert "Would accept 1.2.1.1.1 as received" in run("accept", "1.2.1.1.1", "--dry-run").output
    assert "Accepted 1.2.1.1.1 as received" in run("accept", "2" * 12).output
    with site.ledger.reading() as tx:
        assert overview.quarantined(tx) == []
    with pytest.raises(NotFound, match="quarantined"):
        run("accept", "1.2.1.1.1")


def test_in_a_process_of_its_own(site: Site, tmp_path: Path) -> None:
    ran = chexnode("release", "--study", "1.2.1", folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Released 2 results." in ran.stdout
    assert chexnode("abandon", "archive", folder=tmp_path).returncode == 1  # nobody there to answer
    assert count(site, DeliveryState.PENDING) == 2


def test_abandon_ends_waiting_for_commitments(run: Run, site: Site) -> None:
    run("release", "--all")
    site.now = time.time() + 1
    site.send("archive", DeliveryState.UNCOMMITTED)
    dry = run("abandon", "archive", "--dry-run").output
    assert "Would wait for no commitment to 2 results any more." in dry
    assert count(site, DeliveryState.UNCOMMITTED) == 2
    output = run("abandon", "archive", "--yes").output
    assert "No commitment to 2 results is waited for any more." in output
    assert count(site, DeliveryState.STORED) == 2
