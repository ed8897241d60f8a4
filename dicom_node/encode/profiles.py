"""The table of output profiles: which objects a destination gets, and in which form."""

from collections.abc import Mapping
from dataclasses import dataclass

from dicom_node.domain import Kind, Profile


@dataclass(frozen=True, kw_only=True)
class ProfileRow:
    """What one profile is made of."""

    #: in the order in which they are made and sent
    kinds: tuple[Kind, ...]
    #: invent a frame of reference, plane and spacing for the SEG.
    #: A radiograph has no place in the patient (PS3.3 A.51.5.1 lets its SEG be pixel for pixel on the source
    #: through Derivation Image alone), but OHIF and dcmqi open no SEG without them.
    invented_geometry: bool


PROFILES: Mapping[Profile, ProfileRow] = {
    Profile.STRICT: ProfileRow(kinds=(Kind.SEG, Kind.SC), invented_geometry=False),
    Profile.OHIF: ProfileRow(kinds=(Kind.SEG, Kind.SC), invented_geometry=True),
    Profile.SC_ONLY: ProfileRow(kinds=(Kind.SC,), invented_geometry=False),
}

#: kinds that say "nothing found" too; a SEG without a segment says nothing
_SPEAKS_OF_NOTHING = frozenset({Kind.SC})


def kinds_for(profile: Profile, *, any_findings: bool) -> tuple[Kind, ...]:
    """The objects of one image for `profile`; without a finding to show only those that can say so."""
    return tuple(kind for kind in PROFILES[profile].kinds if any_findings or kind in _SPEAKS_OF_NOTHING)
