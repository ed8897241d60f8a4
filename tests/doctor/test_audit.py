"""The doctor on the audit trail's places: a folder that is there or not, a repository that is believed or not."""

from pathlib import Path

import pytest

from dicom_node.config import Settings
from dicom_node.doctor import audit
from dicom_node.doctor.check import Check, Health
from dicom_node.security import AuditSection, TLSSection
from tests.audit.receiver import repository
from tests.peers import free_port
from tests.pki import Authority


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def _look(section: AuditSection, tls: TLSSection | None = None) -> list[Check]:
    return list(audit.checks(Settings(audit=section, tls=tls or TLSSection())))


def test_without_a_trail_there_is_nothing_to_look_at() -> None:
    assert _look(AuditSection()) == []


def test_the_file(tmp_path: Path) -> None:
    (there,) = _look(AuditSection(file=tmp_path / "audit.xml"))
    assert there.health is Health.OK
    (missing,) = _look(AuditSection(file=tmp_path / "nowhere" / "audit.xml"))
    assert missing.health is Health.FAILED
    assert list(tmp_path.iterdir()) == []


def test_the_repository(hospital: Authority, tmp_path: Path) -> None:
    tls = hospital.section(hospital.issue("CHEXNODE"), receive=False)
    with repository(hospital, hospital.issue("ARR")) as arr:
        (believed,) = _look(AuditSection(syslog_host="127.0.0.1", syslog_port=arr.port), tls)
        assert arr.messages == []
    assert believed.health is Health.OK
    stranger = Authority(tmp_path / "elsewhere", name="Another CA")
    with repository(hospital, stranger.issue("ARR")) as arr:
        (doubted,) = _look(AuditSection(syslog_host="127.0.0.1", syslog_port=arr.port), tls)
    assert doubted.health is Health.FAILED
    (away,) = _look(AuditSection(syslog_host="127.0.0.1", syslog_port=free_port()), tls)
    assert away.health is Health.FAILED
