"""What the node accepts, proposes and answers on the network, from the very tables that it uses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.config import PeerSection, Settings
from dicom_node.conformance.objects import Made
from dicom_node.deliver.dicom import wanted_syntaxes
from dicom_node.dimse import requests
from dicom_node.dimse.contexts import (
    ACCEPTED_TRANSFER_SYNTAXES,
    accepted_contexts,
    commitment_contexts,
    move_contexts,
    query_contexts,
    retrieval_contexts,
    verification_contexts,
)
from dicom_node.dimse.requests import Rejection
from dicom_node.domain import Kind, Profile
from dicom_node.encode.profiles import PROFILES


@dataclass(frozen=True, kw_only=True)
class Context:
    """One SOP class, and the transfer syntaxes that go with it, the most wanted first."""

    sop_class_uid: str
    transfer_syntax_uids: tuple[str, ...]

    @property
    def name(self) -> str:
        """As PS3.6 has it."""
        return UID(self.sop_class_uid).name


def accepted() -> tuple[Context, ...]:
    """As SCP."""
    return tuple(
        Context(
            sop_class_uid=str(context.abstract_syntax),
            transfer_syntax_uids=tuple(map(str, context.transfer_syntax)),
        )
        for context in accepted_contexts()
    )


def storage() -> tuple[Context, ...]:
    """Those of `accepted` that come in every transfer syntax of Storage."""
    every = tuple(map(str, ACCEPTED_TRANSFER_SYNTAXES))
    return tuple(each for each in accepted() if each.transfer_syntax_uids == every)


def beside_storage() -> tuple[Context, ...]:
    """The others, Verification first of all."""
    stored = {each.sop_class_uid for each in storage()}
    return tuple(each for each in accepted() if each.sop_class_uid not in stored)


def proposed(peer: PeerSection, made: Sequence[Made]) -> tuple[Context, ...]:
    """As SCU of Storage, to one destination: `made` says which SOP class each kind of object has."""
    return proposed_for(peer.profile, made, compress=peer.compress)


def proposed_for(profile: Profile, made: Sequence[Made], *, compress: bool = True) -> tuple[Context, ...]:
    """To any destination of `profile`."""
    classes = {each.kind: each.sop_class_uid for each in made if profile in each.profiles}
    kept = str(ExplicitVRLittleEndian)
    return tuple(
        Context(
            sop_class_uid=classes[kind],
            transfer_syntax_uids=wanted_syntaxes(kind, profile, kept, compress=compress),
        )
        for kind in kinds_of(profile)
    )


def asked() -> tuple[Context, ...]:
    """As SCU of all but Storage."""
    return tuple(
        Context(
            sop_class_uid=str(context.abstract_syntax),
            transfer_syntax_uids=tuple(map(str, context.transfer_syntax)),
        )
        for context in (
            *verification_contexts(),
            *query_contexts(),
            *retrieval_contexts(()),
            *move_contexts(),
            *commitment_contexts(),
        )
    )


def kinds_of(profile: Profile) -> tuple[Kind, ...]:
    """All that a destination of `profile` may be sent; a rejection note where results are recalled."""
    row = PROFILES[profile]
    return (*row.kinds, *row.study_kinds, Kind.KOS)


def profiles_of(settings: Settings) -> tuple[Profile, ...]:
    """Those that are in use; where no destination is configured, all that there are."""
    return settings.profiles or tuple(Profile)


def rejections() -> Iterator[tuple[Rejection, str]]:
    """Each A-ASSOCIATE-RJ that the node sends, and when."""
    yield requests.CALLING_NOT_RECOGNISED, "the calling AE title is not configured, or calls from another address"
    yield requests.CERTIFICATE_OF_ANOTHER, "`tls.mutual`: the certificate that was shown does not name the calling AE"
    yield requests.USER_NOT_AUTHENTICATED, "the peer must say which user it is, and did not, or not rightly"
    yield requests.CALLED_NOT_RECOGNISED, "the called AE title is not the node's"
    yield requests.TEMPORARY_CONGESTION, "the disk is at `receive.low_watermark`"
    yield requests.LOCAL_LIMIT_EXCEEDED, "`receive.max_associations`, or that of one peer, is reached"
