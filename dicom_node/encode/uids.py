"""Every UID of a result, derived from what it was made of: same inputs, same UIDs, on every host and day."""

import hashlib
from uuid import UUID

from dicom_node.domain import Kind, Profile
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.marks import ENCODER_VERSION


def derived_uid(*parts: str) -> str:
    """A UID under 2.25 (PS3.5 B.2) from SHA-256 of `parts`; its number is a well-formed UUID (RFC 9562, version 8)."""
    digest = hashlib.sha256()
    for part in parts:
        octets = part.encode()
        # lengths keep ("ab", "c") and ("a", "bc") apart
        digest.update(len(octets).to_bytes(8, "big") + octets)
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & ~(0xF << 76) | 0x8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return f"2.25.{UUID(int=number).int}"


def image_uid(role: str, *, kind: Kind, profile: Profile, context: EncodeContext) -> str:
    """A UID that belongs to one image's result: its instance, its SEG's series, what it tracks."""
    return derived_uid(role, context.input_digest, *_maker(kind, profile, context))


def study_series_uid(identity: str, *, kind: Kind, profile: Profile, context: EncodeContext) -> str:
    """The series that all images of a study share.

    A late image joins it: nothing of the image goes in. `identity` (study, patient, issuer, accession: see
    `identity.identity_key`) does, for a series belongs to one patient: when a study is corrected, the images
    of the corrected one must not join the series of the old.
    """
    return derived_uid("series", identity, *_maker(kind, profile, context))


def frame_of_reference_uid(source_sop_instance_uid: str) -> str:
    """The invented frame of reference of one image; the same for all results on it."""
    return derived_uid("frame of reference", source_sop_instance_uid)


def _maker(kind: Kind, profile: Profile, context: EncodeContext) -> tuple[str, ...]:
    """Who made it and what it is called: all that is written into a result beside what was found, times apart."""
    called = (getattr(context, f"{kind}_description"), str(getattr(context, f"{kind}_series_number")))
    return (context.model_digest, context.parameters, context.software_version, *called, kind, profile, ENCODER_VERSION)
