"""Audit messages (PS3.15 A.5.1 to A.5.3) as XML. Pure: the time, who speaks and every identifier are arguments."""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from xml.etree.ElementTree import Element, SubElement, tostring


class Action(StrEnum):
    """EventActionCode."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


class Outcome(IntEnum):
    """EventOutcomeIndicator."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


@dataclass(frozen=True, kw_only=True)
class Code:
    """A code of the DICOM Controlled Terminology (PS3.16 Annex D), or of RFC 3881."""

    value: str
    meaning: str
    scheme: str = "DCM"


APPLICATION_ACTIVITY = Code(value="110100", meaning="Application Activity")
INSTANCES_TRANSFERRED = Code(value="110104", meaning="DICOM Instances Transferred")
STUDY_DELETED = Code(value="110105", meaning="DICOM Study Deleted")
SECURITY_ALERT = Code(value="110113", meaning="Security Alert")
USER_AUTHENTICATION = Code(value="110114", meaning="User Authentication")
APPLICATION_START = Code(value="110120", meaning="Application Start")
APPLICATION_STOP = Code(value="110121", meaning="Application Stop")
LOGIN = Code(value="110122", meaning="Login")
LOGOUT = Code(value="110123", meaning="Logout")
NODE_AUTHENTICATION = Code(value="110126", meaning="Node Authentication")
APPLICATION = Code(value="110150", meaning="Application")
DESTINATION_ROLE = Code(value="110152", meaning="Destination Role ID")
SOURCE_ROLE = Code(value="110153", meaning="Source Role ID")
_STUDY_INSTANCE_UID = Code(value="110180", meaning="Study Instance UID")
_NODE_ID = Code(value="110182", meaning="Node ID")
_PATIENT_NUMBER = Code(value="2", meaning="Patient Number", scheme="RFC-3881")


@dataclass(frozen=True, kw_only=True)
class Participant:
    """Who took part: an AE, or a process."""

    #: AE title; of a process its id
    user_id: str
    #: IP address, or host name; empty: not known
    address: str = ""
    role: Code | None = None
    is_requestor: bool = False
    #: another name of it: the user that it said it is, the host's process id
    alternative: str = ""

    @classmethod
    def process(cls, ae_title: str, host: str) -> "Participant":
        """This process of the node."""
        return cls(user_id=str(os.getpid()), alternative=ae_title, address=host, role=APPLICATION)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Instances of one study that came, went, or were deleted."""

    study_instance_uid: str
    patient_id: str = field(repr=False)
    #: how many instances of each SOP class
    sop_classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One audit message before it is written."""

    event: Code
    kind: Code | None = None
    action: Action
    outcome: Outcome = Outcome.SUCCESS
    #: what happened, in words; for a failure
    description: str = ""
    participants: Sequence[Participant]
    transfer: Transfer | None = None
    #: the node that an alert is about
    subject: str = ""


def as_xml(event: Event, *, at: float, source: str) -> str:
    """The AuditMessage of `event`, which happened at `at` (seconds since the epoch), as `source` tells it."""
    root = Element("AuditMessage")
    identification = SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action.value,
        EventDateTime=datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        EventOutcomeIndicator=str(event.outcome.value),
    )
    _code(identification, "EventID", event.event)
    if event.kind is not None:
        _code(identification, "EventTypeCode", event.kind)
    if event.description:
        SubElement(identification, "EventOutcomeDescription").text = _plain(event.description)
    for participant in event.participants:
        _participant(root, participant)
    told_by = SubElement(root, "AuditSourceIdentification", AuditSourceID=_plain(source))
    SubElement(told_by, "AuditSourceTypeCode", {"csd-code": "4"})
    if event.transfer is not None:
        _study(root, event.transfer)
        _patient(root, event.transfer)
    if event.subject:
        _subject(root, event)
    return tostring(root, encoding="unicode")


def _code(parent: Element, name: str, code: Code) -> None:
    SubElement(
        parent,
        name,
        {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning},
    )


def _participant(root: Element, participant: Participant) -> None:
    attributes = {
        "UserID": _plain(participant.user_id),
        "UserIsRequestor": "true" if participant.is_requestor else "false",
    }
    if participant.alternative:
        attributes["AlternativeUserID"] = _plain(participant.alternative)
    if participant.address:
        attributes["NetworkAccessPointID"] = _plain(participant.address)
        # PS3.15 A.5.2.1: 1 a machine's name, 2 an IP address
        attributes["NetworkAccessPointTypeCode"] = "2" if _is_address(participant.address) else "1"
    element = SubElement(root, "ActiveParticipant", attributes)
    if participant.role is not None:
        _code(element, "RoleIDCode", participant.role)


def _study(root: Element, transfer: Transfer) -> None:
    element = _object(root, transfer.study_instance_uid, _STUDY_INSTANCE_UID, type_code="2", role="3")
    if not transfer.sop_classes:
        return
    description = SubElement(element, "ParticipantObjectDescription")
    for uid, count in sorted(transfer.sop_classes.items()):
        SubElement(description, "SOPClass", UID=_plain(uid), NumberOfInstances=str(count))


def _patient(root: Element, transfer: Transfer) -> None:
    _object(root, transfer.patient_id, _PATIENT_NUMBER, type_code="1", role="1")


def _subject(root: Element, event: Event) -> None:
    element = _object(root, event.subject, _NODE_ID, type_code="2", role="13")
    value = base64.b64encode(event.description.encode()).decode("ascii")
    SubElement(element, "ParticipantObjectDetail", type="Alert Description", value=value)


def _object(root: Element, identifier: str, kind: Code, *, type_code: str, role: str) -> Element:
    element = SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_plain(identifier),
        ParticipantObjectTypeCode=type_code,
        ParticipantObjectTypeCodeRole=role,
    )
    _code(element, "ParticipantObjectIDTypeCode", kind)
    # the schema asks for a name or a query; a patient's name is none of what this node keeps
    SubElement(element, "ParticipantObjectName").text = _plain(identifier)
    return element


def _is_address(text: str) -> bool:
    return ":" in text or text.replace(".", "").isdigit()


def _plain(text: str) -> str:
    """XML 1.0 has no place for control characters, and peers choose their AE titles."""
    return "".join(character if character.isprintable() else "?" for character in text)
