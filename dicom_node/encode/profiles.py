"""The table of output profiles: which objects a destination gets, and in which form."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dicom_node.domain import Clean, Kind, Profile


class Segments(StrEnum):
    """What a segment of a SEG stands for."""

    #: one segment in one frame: all findings united. The only SEG of an X-ray that every viewer with SEG shows
    UNITED = "united"
    #: one segment and one frame a finding, each with its own tracking UID
    A_FINDING = "a finding"


#: JPEG-LS lossless, JPEG 2000 lossless, JPEG Lossless SV1, RLE. On films the first two take 0.26 to 0.31 of the room,
#: SV1, the classic one, 0.38 to 0.42, RLE 0.91 to 0.97; JPEG-LS first, for Orthanc's viewer was seen to show it where
#: JPEG 2000 stayed black. Written out, for this table is read by processes that encode nothing, and pydicom would be
#: 30 MB of theirs
_LOSSLESS = (
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.5",
)


#: Comprehensive SR, which more viewers open; Comprehensive 3D SR
_SR, _SR_3D = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.34"


@dataclass(frozen=True, kw_only=True)
class ProfileRow:
    """What one profile is made of."""

    #: objects of one image, in the order in which they are made and sent
    kinds: tuple[Kind, ...]
    #: objects of one study revision
    study_kinds: tuple[Kind, ...] = ()
    #: invent a frame of reference, plane and spacing for the SEG.
    #: A radiograph has no place in the patient (PS3.3 A.51.5.1 lets its SEG be pixel for pixel on the source
    #: through Derivation Image alone), but OHIF and dcmqi open no SEG without them.
    invented_geometry: bool = False
    segments: Segments = Segments.UNITED
    #: outlines of the SC in colour (RGB); else for grey monitors (MONOCHROME2)
    sc_colour: bool = False
    #: lossless transfer syntaxes that the SC is offered in before the uncompressed one that it is kept in
    sc_syntaxes: tuple[str, ...] = _LOSSLESS
    #: SOP class of the report, whose content is the same in each
    sr_class: str = _SR
    #: its viewers show the words of an SR. OHIF draws what one measures, and of "no finding" an empty viewport
    sr_is_read: bool = True


PROFILES: Mapping[Profile, ProfileRow] = {
    Profile.STRICT: ProfileRow(kinds=(Kind.SEG, Kind.SC)),
    # IHE AI Results covers these two and no others; its SR is a 3D one, whose regions may lie in the image all the same
    Profile.AIR: ProfileRow(kinds=(Kind.SEG,), study_kinds=(Kind.SR,), segments=Segments.A_FINDING, sr_class=_SR_3D),
    Profile.OHIF: ProfileRow(
        kinds=(Kind.SEG, Kind.SC),
        study_kinds=(Kind.SR,),
        invented_geometry=True,
        sc_colour=True,
        sr_is_read=False,
    ),
    Profile.SLICER: ProfileRow(
        kinds=(Kind.SEG,), study_kinds=(Kind.SR,), invented_geometry=True, segments=Segments.A_FINDING
    ),
    Profile.CLASSIC_PACS: ProfileRow(kinds=(Kind.SC, Kind.GSPS), study_kinds=(Kind.SR,)),
    Profile.SC_ONLY: ProfileRow(kinds=(Kind.SC,)),
}

#: image kinds that can say "nothing found"; a SEG without a segment says nothing, nor does a GSPS without a line
_SPEAKS_OF_NOTHING = frozenset({Kind.SC})


def kinds_for(profile: Profile, *, any_findings: bool, clean: Clean = Clean.ONCE) -> tuple[Kind, ...]:
    """The objects of one image for `profile`; without a finding to show those that say so, as far as `clean` wants.

    Said once, it is said by the SR of the study where the profile has one that is read, else by the SC of the image.
    """
    row = PROFILES[profile]
    if any_findings:
        return row.kinds
    if clean is Clean.NOTHING or (clean is Clean.ONCE and row.study_kinds and row.sr_is_read):
        return ()
    return tuple(kind for kind in row.kinds if kind in _SPEAKS_OF_NOTHING)


def study_kinds_for(profile: Profile, *, any_findings: bool, clean: Clean = Clean.ONCE) -> tuple[Kind, ...]:
    """The objects of one study revision for `profile`; `any_findings` on any of its images."""
    if not any_findings and clean is Clean.NOTHING:
        return ()
    return PROFILES[profile].study_kinds
