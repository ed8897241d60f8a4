"""The seam between who wants to know and the ways to ask an archive."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class HeldInstance:
    """One SOP instance that an archive says it has."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    #: empty where the archive does not tell it
    sop_class_uid: str


class Archive(Protocol):
    """One way to ask one archive."""

    def instances(self, study_instance_uid: str) -> tuple[HeldInstance, ...]:
        """Every instance of a study; none where the archive has no such study.

        Raises Refused where it cannot be asked in this way, PeerUnavailable where it does not answer.
        """
        ...
