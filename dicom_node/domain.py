"""The nouns of the node and the transitions between their states. Standard library and numpy's type only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Reason(StrEnum):
    """Why something was not analysed; stable codes, seen by users and in findings.json."""

    # declined: not ours to read
    NOT_A_RADIOGRAPH = "not_a_radiograph"
    NOT_A_CHEST = "not_a_chest"
    LATERAL_VIEW = "lateral_view"
    FOR_PROCESSING = "for_processing"
    COMPANION_IMAGE = "companion_image"
    MULTI_FRAME = "multi_frame"
    NOT_GREYSCALE = "not_greyscale"
    UNDER_AGE = "under_age"
    AGE_UNKNOWN = "age_unknown"
    STUDY_TOO_OLD = "study_too_old"
    EXCLUDED_BY_RULE = "excluded_by_rule"
    LOOKS_UNLIKE_A_FRONTAL_CHEST = "looks_unlike_a_frontal_chest"
    REJECTED = "rejected"
    REJECTION_NOTE = "rejection_note"
    # unreadable: never retried
    NOT_DICOM = "not_dicom"
    NO_PIXELS = "no_pixels"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    DECODE_FAILED = "decode_failed"
    DECODE_LIMIT = "decode_limit"
    # quarantined: a person decides
    DIFFERENT_PICTURE = "different_picture"
    # failed: attempts spent
    ATTEMPTS_SPENT = "attempts_spent"


class Mode(StrEnum):
    """What is done with results for a destination."""

    SEND = "send"
    HOLD = "hold"
    OFF = "off"


class Kind(StrEnum):
    """What sort of object a Result is."""

    # of one image
    SEG = "seg"
    SC = "sc"
    GSPS = "gsps"
    # of one study revision
    SR = "sr"
    # of results that are withdrawn: a Key Object Selection
    KOS = "kos"


class Profile(StrEnum):
    """Which objects a destination gets, and in which form."""

    STRICT = "strict"
    AIR = "air"
    OHIF = "ohif"
    SLICER = "slicer"
    CLASSIC_PACS = "classic-pacs"
    SC_ONLY = "sc-only"


class Clean(StrEnum):
    """What is written about an image or a study in which nothing was found."""

    ONCE = "once"
    EVERYWHERE = "everywhere"
    NOTHING = "nothing"


class RejectionTitle(StrEnum):
    """Document titles of rejection notes, by their code of DCM (PS3.16 CID 7010; IHE RAD, Imaging Object Change
    Management): why objects are withdrawn."""

    QUALITY = "113001"
    PATIENT_SAFETY = "113037"
    WORKLIST = "113038"
    RETENTION = "113039"


class RecallReason(StrEnum):
    """Why results of ours are withdrawn: the document title of the rejection note, in a word.

    IHE's Imaging Object Change Management asks an archive to hide what is rejected for quality, though it may show it
    where somebody asks for it, and never to show again what is rejected for the patient's safety.
    """

    QUALITY = "quality"
    PATIENT_SAFETY = "patient-safety"
    WORKLIST = "worklist"

    @property
    def document_title(self) -> RejectionTitle:
        """The title itself."""
        return RejectionTitle[self.name]


class StudyState(StrEnum):
    OPEN = "open"
    COMPLETE = "complete"
    CONCLUDED = "concluded"


class InstanceState(StrEnum):
    RECEIVED = "received"
    QUARANTINED = "quarantined"
    PURGED = "purged"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DECLINED = "declined"
    UNREADABLE = "unreadable"
    FAILED = "failed"


class ResultState(StrEnum):
    KEPT = "kept"
    PURGED = "purged"


class DeliveryState(StrEnum):
    HELD = "held"
    PENDING = "pending"
    SENDING = "sending"
    #: the end, where no commitment is asked for
    STORED = "stored"
    #: stored, and the destination has not yet committed to keep it
    UNCOMMITTED = "uncommitted"
    COMMITTED = "committed"
    FAILED = "failed"
    ABANDONED = "abandoned"


class CommitmentState(StrEnum):
    """How far a Storage Commitment transaction has come (PS3.4 Annex J)."""

    # asked for by the node
    AWAITED = "awaited"
    ANSWERED = "answered"
    LAPSED = "lapsed"
    # asked for by a peer
    OWED = "owed"
    REPORTED = "reported"
    UNREPORTED = "unreported"


State = StudyState | InstanceState | JobState | ResultState | DeliveryState | CommitmentState

#: a destination said that it stored it
ARRIVED = (DeliveryState.STORED, DeliveryState.UNCOMMITTED, DeliveryState.COMMITTED)

#: every move that the ledger will make, a table a noun; anything else is a programming error
TRANSITIONS: Mapping[type[State], Mapping[State, frozenset[State]]] = {
    StudyState: {
        StudyState.OPEN: frozenset({StudyState.COMPLETE}),
        StudyState.COMPLETE: frozenset({StudyState.CONCLUDED, StudyState.OPEN}),
        StudyState.CONCLUDED: frozenset({StudyState.OPEN}),
    },
    InstanceState: {
        InstanceState.RECEIVED: frozenset({InstanceState.QUARANTINED, InstanceState.PURGED}),
        InstanceState.QUARANTINED: frozenset({InstanceState.RECEIVED, InstanceState.PURGED}),
        InstanceState.PURGED: frozenset(),
    },
    JobState: {
        # to DECLINED from whatever it is: its image was rejected
        JobState.QUEUED: frozenset({JobState.RUNNING, JobState.DECLINED}),
        JobState.RUNNING: frozenset(
            {JobState.QUEUED, JobState.DONE, JobState.DECLINED, JobState.UNREADABLE, JobState.FAILED}
        ),
        JobState.DONE: frozenset({JobState.DECLINED}),
        JobState.DECLINED: frozenset(),
        JobState.UNREADABLE: frozenset(),
        JobState.FAILED: frozenset({JobState.QUEUED, JobState.DECLINED}),
    },
    ResultState: {
        ResultState.KEPT: frozenset({ResultState.PURGED}),
        ResultState.PURGED: frozenset(),
    },
    DeliveryState: {
        DeliveryState.HELD: frozenset({DeliveryState.PENDING, DeliveryState.ABANDONED}),
        DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.HELD, DeliveryState.ABANDONED}),
        # to HELD: the archive has its image elsewhere now
        DeliveryState.SENDING: frozenset(
            {
                DeliveryState.PENDING,
                DeliveryState.STORED,
                DeliveryState.UNCOMMITTED,
                DeliveryState.FAILED,
                DeliveryState.HELD,
            }
        ),
        DeliveryState.STORED: frozenset(),
        # to STORED: nobody waits for the commitment any more
        DeliveryState.UNCOMMITTED: frozenset(
            {DeliveryState.COMMITTED, DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.STORED}
        ),
        DeliveryState.COMMITTED: frozenset(),
        # to COMMITTED: its report came late
        DeliveryState.FAILED: frozenset({DeliveryState.PENDING, DeliveryState.ABANDONED, DeliveryState.COMMITTED}),
        DeliveryState.ABANDONED: frozenset(),
    },
    CommitmentState: {
        CommitmentState.AWAITED: frozenset({CommitmentState.ANSWERED, CommitmentState.LAPSED}),
        CommitmentState.ANSWERED: frozenset(),
        # the report came late
        CommitmentState.LAPSED: frozenset({CommitmentState.ANSWERED}),
        CommitmentState.OWED: frozenset({CommitmentState.REPORTED, CommitmentState.UNREPORTED}),
        CommitmentState.REPORTED: frozenset({CommitmentState.OWED}),
        CommitmentState.UNREPORTED: frozenset({CommitmentState.OWED}),
    },
}

JOB_ENDED = frozenset({JobState.DONE, JobState.DECLINED, JobState.UNREADABLE, JobState.FAILED})


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the receiver reads of a data set: top-level elements up to Study Instance UID, and what says how urgent
    it is where that lies among the first bytes."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    accession_number: str = ""
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    #: (0008,0070); with manufacturer_model_name the mark by which a chexnode's own results are known
    manufacturer: str = ""
    manufacturer_model_name: str = ""
    study_description: str = field(default="", repr=False)
    series_description: str = field(default="", repr=False)
    #: (0032,1060)
    requested_procedure_description: str = field(default="", repr=False)
    #: (0040,1003): STAT, HIGH, ROUTINE, MEDIUM, LOW; empty: it does not say, or not early enough
    requested_procedure_priority: str = ""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One data set whose bytes are durable in the spool, not yet in the ledger."""

    head: Head
    transfer_syntax_uid: str
    #: SHA-256 of the data set as received (no preamble, no file meta), 64 hex digits
    digest: str
    #: bytes of the data set
    size: int
    calling_ae_title: str
    spool_key: str
    #: seconds since the epoch, UTC
    received_at: float
    #: more is sooner, 0 is routine
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A region that a model marked, in pixels of the source image: x along columns, origin top left."""

    #: x0, y0, x1, y1
    box: tuple[float, float, float, float]
    #: calibrated, 0..1
    confidence: float
    #: first row and first column of `mask` in the source image
    mask_origin: tuple[int, int]
    #: (rows, columns) bool: the smallest rectangle that holds the mask
    mask: "NDArray[np.bool_]"
    #: area of the mask; None where the image does not say its spacing
    area_mm2: float | None = None


@dataclass(frozen=True, kw_only=True)
class EncodedResult:
    """One object of one Job for one Profile; the bytes are frozen when they are first committed."""

    kind: Kind
    profile: Profile
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    encoder_version: str
    #: a complete DICOM file (PS3.10), preamble and file meta included
    data: bytes = field(repr=False)
