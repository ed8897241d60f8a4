"""The seam between who wants to know and the ways to ask an archive."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class HeldInstance:
    """One SOP instance that an archive says it has."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    #: empty where the archive does not tell it
    sop_class_uid: str


@dataclass(frozen=True, kw_only=True)
class HeldStudy:
    """One study that an archive says it has; of the identifying values, None is what it does not tell."""

    study_instance_uid: str
    patient_id: str | None = field(repr=False)
    issuer_of_patient_id: str | None = field(repr=False)
    accession_number: str | None = field(repr=False)
    #: as the standard writes them (VR DA, TM); empty where it does not tell
    study_date: str = ""
    study_time: str = ""
    #: of its series; empty where it does not tell
    modalities: tuple[str, ...] = ()


class Archive(Protocol):
    """One way to ask one archive. Each question raises Refused where the archive cannot be asked in this way,
    PeerUnavailable where it does not answer."""

    def study(self, study_instance_uid: str) -> HeldStudy | None:
        """A study; None where the archive has no such study."""
        ...

    def instances(self, study_instance_uid: str) -> tuple[HeldInstance, ...]:
        """Every instance of a study; none where the archive has no such study."""
        ...

    def whereabouts(self, sop_instance_uid: str) -> tuple[HeldInstance, ...]:
        """Where an instance is, in whichever study; none where it is in none, or the archive does not say."""
        ...

    def studies(self, first_day: str, last_day: str) -> tuple[HeldStudy, ...]:
        """Every study of these days, both included (VR DA: 20260301)."""
        ...
