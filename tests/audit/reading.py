"""Audit messages as a test looks at them."""

from dataclasses import dataclass
from xml.etree import ElementTree


@dataclass(frozen=True, kw_only=True)
class Told:
    """One audit message, the parts that tests ask for."""

    event: str
    kind: str
    action: str
    outcome: str
    #: (user id, role, requestor) of each participant
    participants: list[tuple[str, str, bool]]
    #: ParticipantObjectID of each object by its type
    objects: dict[str, str]
    #: SOP class → instances
    sop_classes: dict[str, int]
    root: ElementTree.Element


def told(text: str) -> Told:
    """Parse one message. Fails where the order of its elements is not the schema's (PS3.15 A.5.1)."""
    root = ElementTree.fromstring(text)
    order = ["EventIdentification", "ActiveParticipant", "AuditSourceIdentification", "ParticipantObjectIdentification"]
    places = [order.index(child.tag) for child in root]
    assert places == sorted(places)
    assert places.count(0) == places.count(2) == 1
    assert places.count(1) >= 1
    (identification,) = root.findall("EventIdentification")
    return Told(
        event=_code(identification, "EventID"),
        kind=_code(identification, "EventTypeCode"),
        action=identification.attrib["EventActionCode"],
        outcome=identification.attrib["EventOutcomeIndicator"],
        participants=[
            (each.attrib["UserID"], _code(each, "RoleIDCode"), each.attrib["UserIsRequestor"] == "true")
            for each in root.findall("ActiveParticipant")
        ],
        objects={
            _code(each, "ParticipantObjectIDTypeCode"): each.attrib["ParticipantObjectID"]
            for each in root.findall("ParticipantObjectIdentification")
        },
        sop_classes={each.attrib["UID"]: int(each.attrib["NumberOfInstances"]) for each in root.iter("SOPClass")},
        root=root,
    )


def _code(parent: ElementTree.Element, name: str) -> str:
    found = parent.find(name)
    if found is None:
        return ""
    assert found.attrib["originalText"]
    assert found.attrib["codeSystemName"]
    return found.attrib["csd-code"]
