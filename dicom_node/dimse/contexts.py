"""Presentation contexts: what the node accepts, and what it proposes when it sends (PS3.8 7.1.1.13)."""

from collections.abc import Iterable, Sequence

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AllStoragePresentationContexts, build_context
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

#: what the node takes, the cheapest to decode first: an acceptor's first match wins. Never Deflated: a
#: megabyte of it inflates to a gigabyte, and no modality needs it
ACCEPTED_TRANSFER_SYNTAXES: tuple[UID, ...] = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEGLosslessSV1,
    JPEGLossless,
    RLELossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLSNearLossless,
    HTJ2K,
    JPEG2000,
    JPEGExtended12Bit,
    JPEGBaseline8Bit,
    ExplicitVRBigEndian,
)

#: most contexts that one association may propose: odd numbers from 1 to 255 (PS3.8 9.3.2.2)
MOST_CONTEXTS = 128


def accepted_contexts() -> list[PresentationContext]:
    """Every storage class, Verification and Storage Commitment, as an acceptor.

    Every class, not just X-rays: an archive that routes a whole study fails its job, X-rays included, when
    one class of it is refused. What is not ours to read is kept until retention, and declined by selection.
    """
    classes = [context.abstract_syntax for context in AllStoragePresentationContexts]
    storage = [build_context(uid, list(ACCEPTED_TRANSFER_SYNTAXES)) for uid in classes]
    return [build_context(Verification), _commitment_context(), *storage]


def commitment_contexts() -> list[PresentationContext]:
    """What asking for commitment, and reporting on it, needs (PS3.4 Annex J)."""
    return [_commitment_context()]


def _commitment_context() -> PresentationContext:
    context = build_context(StorageCommitmentPushModel, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    # who calls may ask us, or bring the report that we asked for (SCP/SCU Role Selection, PS3.7 D.3.3.4)
    context.scu_role = context.scp_role = True
    return context


def verification_contexts() -> list[PresentationContext]:
    """What a C-ECHO needs."""
    return [build_context(Verification)]


def query_contexts() -> list[PresentationContext]:
    """What asking an archive for what it holds needs: C-FIND in the Study Root model (PS3.4 C.6.2)."""
    syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    return [build_context(StudyRootQueryRetrieveInformationModelFind, syntaxes)]


def move_contexts() -> list[PresentationContext]:
    """What having an archive send objects needs: C-MOVE in the Study Root model (PS3.4 C.6.2)."""
    syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    return [build_context(StudyRootQueryRetrieveInformationModelMove, syntaxes)]


def retrieval_contexts(objects: Iterable[tuple[str, str]]) -> list[PresentationContext]:
    """What getting objects back needs: C-GET, and each (SOP class UID, transfer syntax UID) with us as its SCP.

    Pass their SOP classes to open_association as `provides`, which says so to the peer.
    """
    syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    return [build_context(StudyRootQueryRetrieveInformationModelGet, syntaxes), *proposed_contexts(objects)]


def proposed_contexts(objects: Iterable[tuple[str, str]]) -> list[PresentationContext]:
    """One context for each different (SOP class UID, transfer syntax UID), in order, at most MOST_CONTEXTS.

    Each syntax in a context of its own: an acceptor picks one syntax of a context, and frozen bytes go out as
    they are or not at all. Raises ValueError for more than fit one association.
    """
    wanted = list(dict.fromkeys(objects))
    if len(wanted) > MOST_CONTEXTS:
        raise ValueError(f"{len(wanted)} contexts are wanted, an association takes {MOST_CONTEXTS}: split the send")
    return [build_context(sop_class, transfer_syntax) for sop_class, transfer_syntax in wanted]


def accepts(
    accepted: Sequence[PresentationContext], sop_class_uid: str, transfer_syntax_uid: str
) -> PresentationContext | None:
    """The accepted context for exactly this class and syntax; None where the peer took neither."""
    for context in accepted:
        if context.abstract_syntax == sop_class_uid and context.transfer_syntax[0] == transfer_syntax_uid:
            return context
    return None
