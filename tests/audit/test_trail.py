"""The audit trail: to a file, to a repository over TLS, and what the door says of who came."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dicom_node.audit import Action, Event, Participant, Trail, Transfer, message
from dicom_node.audit.sink import MOST_WAITING, Sink
from dicom_node.logs import hashed
from dicom_node.security import AuditSection, TLSSection
from tests.audit.reading import told
from tests.audit.receiver import repository
from tests.peers import free_port
from tests.pki import Authority
from tests.waiting import wait_for

NODE = Participant(user_id="CHEXNODE", role=message.DESTINATION_ROLE)
CALLER = Participant(user_id="SENDER", address="10.0.0.7", role=message.SOURCE_ROLE, is_requestor=True)
CAME = Event(
    event=message.INSTANCES_TRANSFERRED,
    action=Action.CREATE,
    participants=[CALLER, NODE],
    transfer=Transfer(study_instance_uid="1.2.3", patient_id="P&<1>", sop_classes={"1.2.840.1": 2, "1.2.840.2": 1}),
)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


Opened = Callable[..., Trail]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Trails that are closed at the end."""
    trails: list[Trail] = []

    def _opened(section: AuditSection, tls: TLSSection | None = None) -> Trail:
        trails.append(Trail(section, tls=tls or TLSSection(), ae_title="CHEXNODE"))
        return trails[-1]

    yield _opened
    for trail in trails:
        trail.close(0.1)


def test_a_transfer_as_the_standard_has_it(opened: Opened, tmp_path: Path) -> None:
    trail = opened(AuditSection(file=tmp_path / "audit.xml", source="ward 3"))
    trail.say(CAME)
    trail.close(20)
    (line,) = (tmp_path / "audit.xml").read_text().splitlines()
    said = told(line)
    assert (said.event, said.action, said.outcome) == ("110104", "C", "0")
    assert said.participants == [("SENDER", "110153", True), ("CHEXNODE", "110152", False)]
    assert said.objects == {"110180": "1.2.3", "2": "P&<1>"}
    assert said.sop_classes == {"1.2.840.1": 2, "1.2.840.2": 1}
    (source,) = said.root.findall("AuditSourceIdentification")
    assert source.attrib == {"AuditSourceID": "ward 3"}
    (caller, _) = said.root.findall("ActiveParticipant")
    assert (caller.attrib["NetworkAccessPointID"], caller.attrib["NetworkAccessPointTypeCode"]) == ("10.0.0.7", "2")


def test_the_file_is_the_owner_s_and_may_be_moved_away(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "audit.xml"
    trail = opened(AuditSection(file=path))
    trail.application(starts=True)
    wait_for("the first message", lambda: path.exists() and path.read_text().endswith("\n"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.rename(tmp_path / "audit.1")
    trail.application(starts=False)
    trail.close(20)
    assert [told(file.read_text()).kind for file in (tmp_path / "audit.1", path)] == ["110120", "110121"]


def test_identifiers_can_be_hashed(opened: Opened, tmp_path: Path) -> None:
    trail = opened(AuditSection(file=tmp_path / "audit.xml", identifiers="hashed"))
    trail.say(CAME)
    trail.close(20)
    assert told((tmp_path / "audit.xml").read_text()).objects == {"110180": hashed("1.2.3"), "2": hashed("P&<1>")}


def test_a_peer_that_calls_itself_by_control_characters_breaks_no_message(opened: Opened, tmp_path: Path) -> None:
    trail = opened(AuditSection(file=tmp_path / "audit.xml"))
    trail.alert(about='A\x01\nB"<', why="not\x00known", participants=[Participant(user_id='A\x01\nB"<')])
    trail.close(20)
    (line,) = (tmp_path / "audit.xml").read_text().splitlines()
    assert told(line).objects == {"110182": 'A??B"<'}


def test_messages_reach_a_repository_over_tls(opened: Opened, hospital: Authority) -> None:
    tls = hospital.section(hospital.issue("CHEXNODE"), receive=False)
    with repository(hospital, hospital.issue("ARR")) as arr:
        trail = opened(AuditSection(syslog_host="127.0.0.1", syslog_port=arr.port), tls)
        for _ in range(3):
            trail.say(CAME)
        trail.close(20)
        wait_for("three messages", lambda: len(arr.messages) == 3)
    assert arr.clients == ["CHEXNODE"]
    for each in arr.messages:
        assert (each["priority"], each["app"], each["process"]) == ("85", "chexnode", str(os.getpid()))
        assert each["id"] == "DICOM+RFC3881"
        assert each["at"].endswith("Z")
        assert told(each["message"]).objects["110180"] == "1.2.3"


def test_a_repository_that_is_away_gets_all_once_it_is_back(opened: Opened, hospital: Authority) -> None:
    """Before it ever ran, and after it hung up: what is sent into a closed connection would be lost unnoticed."""
    tls = hospital.section(hospital.issue("CHEXNODE"), receive=False)
    shown = hospital.issue("ARR")
    port = free_port()
    trail = opened(AuditSection(syslog_host="127.0.0.1", syslog_port=port), tls)
    trail.application(starts=True)
    with repository(hospital, shown, port=port) as first:
        wait_for("the message that had waited", lambda: len(first.messages) == 1)
    trail.say(CAME)
    trail.application(starts=False)
    with repository(hospital, shown, port=port) as second:
        wait_for("the messages that had waited", lambda: len(second.messages) == 2)
    assert [told(each).event for each in second.xml()] == ["110104", "110100"]


def test_a_repository_that_is_not_believed_gets_nothing(opened: Opened, hospital: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "elsewhere", name="Another CA")
    tls = hospital.section(hospital.issue("CHEXNODE"), receive=False)
    with capture_logs() as logged, repository(hospital, stranger.issue("ARR")) as arr:
        trail = opened(AuditSection(syslog_host="127.0.0.1", syslog_port=arr.port), tls)
        trail.say(CAME)
        wait_for("its refusal", lambda: arr.refused)
        trail.close(20)
        assert arr.messages == []
    assert [(entry["event"], entry["lost"]) for entry in logged if "lost" in entry] == [
        ("audit messages were lost: their place was away when the process ended", 1)
    ]


def test_a_place_that_stays_away_costs_memory_for_so_many_messages_and_nobody_waits() -> None:
    released = threading.Event()
    written: list[str] = []

    def write(message: str) -> None:
        assert released.wait(60)
        written.append(message)

    with capture_logs() as logged:
        sink = Sink("place", write)
        for number in range(MOST_WAITING + 5):
            sink.put(str(number))
        released.set()
        sink.close(60)
    assert written[-MOST_WAITING:] == [str(number) for number in range(5, MOST_WAITING + 5)]
    assert sum(entry.get("lost", 0) for entry in logged) == 5
