"""What the door tells the audit trail: over real associations, read back from the file."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_node.audit import Trail
from dicom_node.config import PeerSection
from dicom_node.security import AuditSection, TLSSection
from tests import datasets
from tests.audit.reading import Told, told
from tests.peers import LOOPBACK, association, echoed, echoscu
from tests.pki import Authority
from tests.receive.conftest import Receiver, Start


class Audited:
    """A receiver, and what its audit trail says."""

    def __init__(self, receiver: Receiver, trail: Trail, file: Path) -> None:
        self.receiver = receiver
        self.trail = trail
        self._file = file

    @property
    def port(self) -> int:
        return self.receiver.port

    def said(self) -> list[Told]:
        """Every message; the trail is closed, so that none is missing."""
        self.receiver.scp.close(drain=5)
        self.trail.close(20)
        return [told(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []


@pytest.fixture
def audited(start: Start, tmp_path: Path) -> Iterator[Callable[..., Audited]]:
    trails: list[Trail] = []

    def _audited(**settings: Any) -> Audited:
        file = tmp_path / "audit.xml"
        trails.append(Trail(AuditSection(file=file), tls=TLSSection(), ae_title="CHEXNODE"))
        return Audited(start(audit=trails[-1], **settings), trails[-1], file)

    yield _audited
    for trail in trails:
        trail.close(0.1)


def test_an_association_and_what_it_brought(audited: Callable[..., Audited]) -> None:
    node = audited()
    one, other = datasets.chest(PatientID="P1"), datasets.chest(PatientID="P2")
    contexts = [(str(one.SOPClassUID), str(one.file_meta.TransferSyntaxUID))]
    with association(node.port, *contexts) as opened:
        for dataset in (one, other, one):
            assert opened.send_c_store(dataset).Status == 0x0000
    login, *transfers, logout = node.said()
    assert (login.event, login.kind, login.outcome) == ("110114", "110122", "0")
    assert (logout.event, logout.kind, logout.outcome) == ("110114", "110123", "0")
    assert login.participants[0] == ("SENDER", "", True)
    told_of = [(each.event, each.action, each.objects["110180"], each.objects["2"]) for each in transfers]
    assert told_of == [
        ("110104", "C", one.StudyInstanceUID, "P1"),
        ("110104", "C", other.StudyInstanceUID, "P2"),
        ("110104", "R", one.StudyInstanceUID, "P1"),
    ]
    assert [each.sop_classes for each in transfers] == [{str(one.SOPClassUID): 1}] * 3
    assert transfers[0].participants == [("SENDER", "110153", True), ("CHEXNODE", "110152", False)]


def test_what_was_not_kept_is_told_as_a_failure(audited: Callable[..., Audited]) -> None:
    node = audited(low_watermark=0, max_object_size=1 << 20)
    small, large = datasets.chest(64, 64), datasets.chest(1000, 1000)
    large.StudyInstanceUID = small.StudyInstanceUID
    contexts = [(str(small.SOPClassUID), str(small.file_meta.TransferSyntaxUID))]
    with association(node.port, *contexts) as opened:
        assert opened.send_c_store(large).Status == 0xA700
        assert opened.send_c_store(small).Status == 0x0000
    _, *transfers, _ = node.said()
    assert [(each.outcome, each.objects["110180"]) for each in transfers] == [
        ("8", small.StudyInstanceUID),
        ("0", small.StudyInstanceUID),
    ]


def test_an_association_that_breaks_off_is_told_all_the_same(audited: Callable[..., Audited]) -> None:
    node = audited()
    dataset = datasets.chest()
    contexts = [(str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID))]
    with association(node.port, *contexts) as opened:
        assert opened.send_c_store(dataset).Status == 0x0000
        opened.abort()
    said = node.said()
    assert [(each.event, each.kind) for each in said] == [("110114", "110122"), ("110104", ""), ("110114", "110123")]


def test_who_is_turned_away_is_an_alert_once_a_minute(audited: Callable[..., Audited]) -> None:
    node = audited()
    for _ in range(3):
        assert not echoed(echoscu(node.port, calling="STRANGER"))
    assert not echoed(echoscu(node.port, called="SOMEBODY"))
    said = node.said()
    assert [(each.event, each.kind, each.outcome) for each in said] == [("110113", "110126", "4")] * 2
    assert said[0].objects == {"110182": "STRANGER at 127.0.0.1"}
    assert [each.participants[0][1] for each in said] == ["110150"] * 2


def test_an_address_that_may_not_call_is_an_alert(audited: Callable[..., Audited]) -> None:
    elsewhere = PeerSection(
        name="pacs", ae_title="SENDER", sends=True, allow_from=("10.0.0.0/8",), results_to=("pacs",)
    )
    node = audited(peers=(elsewhere,))
    with socket.create_connection((LOOPBACK, node.port), timeout=20) as connection:
        assert connection.recv(1) == b""
    (alert,) = node.said()
    assert (alert.event, alert.objects) == ("110113", {"110182": "127.0.0.1"})


def test_a_failed_handshake_and_a_wrong_certificate_are_alerts(audited: Callable[..., Audited], tmp_path: Path) -> None:
    hospital = Authority(tmp_path / "pki")
    node = audited(tls=hospital.section(hospital.issue("CHEXNODE")))
    other = hospital.issue("OTHER", alternative="DNS:other.example")
    assert not echoed(echoscu(node.port))
    over_tls = ["+tls", str(other.key), str(other.certificate), "+cf", str(hospital.certificate)]
    assert not echoed(echoscu(node.port, options=over_tls))
    plain, wrong = node.said()
    assert (plain.event, plain.objects) == ("110113", {"110182": "127.0.0.1"})
    assert (wrong.event, wrong.objects) == ("110113", {"110182": "SENDER at 127.0.0.1"})
    assert wrong.root.findall("ActiveParticipant")[1].attrib["AlternativeUserID"] == "OTHER"


def test_a_wrong_user_is_a_login_that_failed(audited: Callable[..., Audited], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSCODE", "correct horse")
    sender = PeerSection(
        name="pacs",
        ae_title="SENDER",
        sends=True,
        allow_from=("127.0.0.1",),
        results_to=("pacs",),
        user="room1",
        user_secret="env:PASSCODE",
    )
    node = audited(peers=(sender,))
    assert not echoed(echoscu(node.port))
    (login,) = node.said()
    assert (login.event, login.kind, login.outcome) == ("110114", "110122", "4")


def test_without_an_audit_trail_nothing_is_watched(receiver: Receiver) -> None:
    dataset = datasets.chest()
    contexts = [(str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID))]
    with association(receiver.port, *contexts) as opened:
        assert opened.send_c_store(dataset).Status == 0x0000
