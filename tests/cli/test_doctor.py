"""`chexnode doctor` finds what is wrong and says what to do."""

import json
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from dicom_node.config import Role, Settings, load_settings
from dicom_node.doctor import Check, Health, host, model, node, peers, setup
from dicom_node.domain import DeliveryState
from dicom_node.ledger import pledges, processes
from dicom_node.ledger.commitments import Reference
from tests.cli.conftest import Run
from tests.peers import dcmqrscp, free_port, storescp
from tests.site import Site, configure


def loaded(folder: Path, **changes: str) -> Settings:
    """The settings of the configuration in `folder`, made if need be; `changes` set what stands there as a default."""
    file = folder / "chexnode.toml"
    text = file.read_text() if file.exists() else configure(folder, port=free_port()).read_text()
    for old, new in changes.items():
        text = text.replace(f"#{old} =", f"{old} = {new} #")
    file.write_text(text)
    return load_settings(file)


def said(checks: list[Check], health: Health) -> str:
    return "\n".join(f"{check.what}: {check.said} / {check.advice}" for check in checks if check.health is health)


@pytest.mark.peer
def test_a_site_where_all_is_well_but_nothing_runs(run: Run, tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, _):
        configure(tmp_path, port=free_port(), archive_port=port, mode="send")
        result = run("doctor", "--json")
    checks = {each["what"]: each for each in json.loads(result.output)}
    health = {what: each["health"] for what, each in checks.items()}
    assert health["disk"] != "failed"  # how fast and how full it is, is this machine's
    assert health["configuration"] == health["clock"] == health["peer archive"] == "ok"
    assert health["ledger"] == health["listener"] == "warning"
    assert "answered C-ECHO" in checks["peer archive"]["said"]
    assert "chexnode serve" in checks["ledger"]["advice"]
    assert (result.exit_code == 0) == ("failed" not in health.values())


def test_without_a_configuration_there_is_nothing_to_examine(run: Run, tmp_path: Path) -> None:
    result = run("doctor")
    assert result.exit_code == 1
    assert "failed   configuration  chexnode.toml does not exist" in result.output
    assert "1 failed" in result.output


def test_a_configuration_without_routes_fails(tmp_path: Path) -> None:
    file = tmp_path / "chexnode.toml"
    file.write_text("")
    assert "sends = true" in said(list(setup.checks(file, load_settings(file))), Health.FAILED)


def test_a_node_that_its_archive_cannot_reach_is_warned_of(tmp_path: Path) -> None:
    file = configure(tmp_path)
    file.write_text(file.read_text().replace('host = "127.0.0.1"\n# the port at which it', 'host = "10.9.9.9"\n#'))
    warnings = said(list(setup.checks(file, load_settings(file))), Health.WARNING)
    assert "127.0.0.1 only, where archive cannot reach it" in warnings
    assert "no destination has mode send" in warnings


def test_secrets_that_others_may_read(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")
    token.chmod(0o644)
    settings = loaded(tmp_path, dicomweb_secret=f'"file:{token}"')
    (check,) = (each for each in setup.checks(tmp_path / "chexnode.toml", settings) if "other users" in each.said)
    assert check.advice == f"chmod 600 {token}"
    assert "s3cret" not in check.said
    token.chmod(0o600)
    assert "other users" not in said(list(setup.checks(tmp_path / "chexnode.toml", settings)), Health.WARNING)


def test_a_disk_below_its_watermarks(tmp_path: Path) -> None:
    settings = loaded(tmp_path, watermark=str(1 << 60))
    assert "delivered studies are deleted" in said(list(host.checks(settings)), Health.WARNING)
    settings = loaded(tmp_path, low_watermark=str(1 << 60))
    assert "every association is refused" in said(list(host.checks(settings)), Health.FAILED)


def test_a_folder_that_others_may_look_into(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    settings.node.folder.mkdir(mode=0o755)
    assert f"chmod 700 {settings.node.folder}" in said(list(host.checks(settings)), Health.WARNING)
    settings.node.folder.chmod(0o700)
    assert said(list(host.checks(settings)), Health.WARNING) == ""


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    read_only = settings.node.model_copy(update={"folder": Path("/proc/nowhere")})
    failures = said(list(host.checks(settings.model_copy(update={"node": read_only}))), Health.FAILED)
    assert "/proc cannot be written" in failures


def test_roles_and_clocks(site: Site, tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert "not running" in said(list(node.checks(settings)), Health.WARNING)
    with site.ledger.transaction() as tx:
        for role in Role:
            late = 600 if role is Role.DELIVER else 0
            processes.heartbeat(tx, role=role, host="here", pid=1, version="1", now=time.time() - late)
        processes.heartbeat(tx, role="analyse", host="gpu-host", pid=1, version="1", now=time.time() + 60)
    failures = said(list(node.checks(settings)), Health.FAILED)
    assert "roles: deliver said nothing" in failures
    assert "gpu-host is 60 s ahead" in failures


def test_who_listens_where_the_node_should(site: Site, tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert "nobody listens" in said(list(node.checks(settings)), Health.WARNING)
    with socket.create_server(("127.0.0.1", settings.receive.port)):
        assert "something else listens" in said(list(node.checks(settings)), Health.FAILED)
        with site.ledger.transaction() as tx:
            processes.heartbeat(tx, role="receive", host="here", pid=1, version="1", now=time.time())
        assert "listener: CHEXNODE at" in said(list(node.checks(settings)), Health.OK)


def test_dead_destinations_and_all_that_waits_for_a_person(site: Site, tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    site.now = time.time() - 7200
    for study in ("1.2.1", "1.2.2", "1.2.3"):
        site.arrive(study)
        site.analyse()
    site.conclude("1.2.1", held=False)
    site.send("archive", DeliveryState.FAILED, "0xA900")
    site.conclude("1.2.2", held=False)
    site.send("archive", DeliveryState.PENDING, "no answer")
    site.conclude("1.2.3", destination="gone")
    site.arrive("1.2.4")
    site.fail("the GPU is gone")
    checks = list(node.checks(settings))
    assert "archive is dead" in said(checks, Health.FAILED)
    assert "chexnode abandon archive" in said(checks, Health.FAILED)
    warnings = said(checks, Health.WARNING)
    for command in ("retry --destination archive", "release --destination gone", "retry --all", "abandon gone"):
        assert f"chexnode {command}" in warnings


def test_commitments_that_do_not_come_and_reports_that_nobody_takes(site: Site, tmp_path: Path) -> None:
    settings = loaded(tmp_path, commitment="true")
    site.now = time.time() - 7200
    uid = site.arrive("1.2.1")
    site.analyse()
    site.conclude("1.2.1", held=False)
    site.send("archive", DeliveryState.UNCOMMITTED)
    with site.ledger.transaction() as tx:
        reference = Reference(sop_class_uid="1.2.3", sop_instance_uid=uid)
        pledges.enter(tx, peer="archive", transaction_uid="1.2.3", references=[reference], now=site.now)
    warnings = said(list(node.checks(settings)), Health.WARNING)
    assert "archive has stored, but not committed to keeping, for up to 2.0 h: 2" in warnings
    assert "does it know CHEXNODE at port" in warnings
    assert "chexnode abandon archive" in warnings
    assert "that peers asked for and do not take: 1" in warnings


def test_a_ledger_of_another_version_fails(site: Site, tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    site.ledger.close()
    with sqlite3.connect(settings.node.folder / "ledger.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "9999" in said(list(node.checks(settings)), Health.FAILED)


def test_a_model_that_is_not_there_fails(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    only = settings.model.model_copy(update={"folder": tmp_path / "nowhere"})
    (check,) = model.checks(settings.model_copy(update={"model": only}))
    assert check.health is Health.FAILED
    assert "nowhere" in check.said


def test_the_model_that_ships_is_whole(tmp_path: Path) -> None:
    checks = list(model.checks(loaded(tmp_path, device='"cpu"')))
    assert [check.health for check in checks] == [Health.OK, Health.OK]
    assert "read a film in" in checks[0].said
    assert checks[1].said.startswith("CPU")


@pytest.mark.peer
def test_peers_that_do_not_answer(tmp_path: Path) -> None:
    configure(tmp_path, archive_port=free_port())
    settings = loaded(tmp_path)
    assert "cannot connect to ARCHIVE" in said(list(peers.checks(settings)), Health.FAILED)
    off = settings.peers[0].model_copy(update={"mode": None})
    checks = list(peers.checks(settings.model_copy(update={"peers": (off,)})))
    assert "may send all the same" in said(checks, Health.WARNING)


@pytest.mark.peer
def test_an_archive_is_asked_whether_it_answers_the_last_look(tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, _):
        configure(tmp_path, port=free_port(), archive_port=port, mode="send")
        settings = loaded(tmp_path, ask='"find"')
        wrong = said(list(peers.checks(settings)), Health.FAILED)
        assert "last look archive" in wrong
        assert "results for it wait" in wrong
    (tmp_path / "qr").mkdir()
    with dcmqrscp(tmp_path / "qr") as port:
        asked = settings.destinations[0].model_copy(update={"port": port})
        checks = peers.checks(settings.model_copy(update={"peers": (asked,)}))
        assert "last look archive: archive answers C-FIND" in said(list(checks), Health.OK)
