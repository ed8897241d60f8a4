"""What one file is, and what the model says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.analyse.decoded import Decoded
from dicom_node.domain import Finding, Reason
from model.contract import Film, Manifest, Prediction

#: reasons of images that can be read but are not ours to read
_DECLINES = frozenset(
    {
        Reason.NOT_A_RADIOGRAPH,
        Reason.NOT_A_CHEST,
        Reason.LATERAL_VIEW,
        Reason.FOR_PROCESSING,
        Reason.COMPANION_IMAGE,
        Reason.MULTI_FRAME,
        Reason.NOT_GREYSCALE,
        Reason.UNDER_AGE,
        Reason.AGE_UNKNOWN,
        Reason.STUDY_TOO_OLD,
        Reason.EXCLUDED_BY_RULE,
        Reason.LOOKS_UNLIKE_A_FRONTAL_CHEST,
        Reason.REJECTION_NOTE,
    }
)


class Status(StrEnum):
    """How an examination ended."""

    ANALYSED = "analysed"
    #: not ours to read
    DECLINED = "declined"
    #: the bytes cannot be used
    UNREADABLE = "unreadable"
    #: read, and whoever asked wanted no prediction
    READ = "read"


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What one file is, and what the model says of it."""

    path: Path
    status: Status
    #: None: ANALYSED or READ
    reason: Reason | None
    #: says more than the reason, or what the header lacked; no identifier
    detail: str
    #: what the child told of it: header, film, digest, UIDs, spacing
    decoded: Decoded
    #: None: nothing was predicted
    prediction: Prediction | None = None
    #: every candidate down to the model's floor, by falling confidence
    findings: tuple[Finding, ...] = ()
    #: stage -> seconds: where its time went (see `examine`)
    spent: Mapping[str, float] = field(default_factory=dict)

    @property
    def header(self) -> Dataset | None:
        """The attributes that results copy, without pixels; None where the file has no header."""
        return self.decoded.header

    @property
    def film(self) -> Film | None:
        """The film; None unless it was read."""
        return self.decoded.film

    @property
    def picture_digest(self) -> str | None:
        """SHA-256 of the film as displayed, 64 hex digits; None unless it was read."""
        return self.decoded.picture_digest

    @property
    def sop_instance_uid(self) -> str | None:
        """As it stands in the file, well-formed or not; None where it does not."""
        return self.decoded.sop_instance_uid

    @property
    def series_instance_uid(self) -> str | None:
        """As it stands in the file; None where it does not."""
        return self.decoded.series_instance_uid

    @property
    def study_instance_uid(self) -> str | None:
        """As it stands in the file; None where it does not."""
        return self.decoded.study_instance_uid

    @property
    def transient(self) -> bool:
        """UNREADABLE, but not by the file's fault: the same file may be read later."""
        return self.decoded.transient


def unpredicted(path: Path, decoded: Decoded) -> Examination:
    """The examination of what was declined, cannot be used, or was read with no prediction wanted."""
    if decoded.reason is None:
        status = Status.READ
    else:
        status = Status.DECLINED if decoded.reason in _DECLINES else Status.UNREADABLE
    return Examination(path=path, status=status, reason=decoded.reason, detail=decoded.detail, decoded=decoded)


def judged(path: Path, decoded: Decoded, prediction: Prediction, manifest: Manifest) -> Examination:
    """The examination of a film: the gate, then findings, with areas in mm² where the header tells a spacing.

    See parse.spacing_mm for which spacing, and how far one that was measured at the detector overstates them.
    """
    if prediction.frontal_chest < manifest.gate:
        detail = f"{prediction.frontal_chest:.3f} like an upright frontal chest, the model asks for {manifest.gate:.3f}"
        return Examination(
            path=path,
            status=Status.DECLINED,
            reason=Reason.LOOKS_UNLIKE_A_FRONTAL_CHEST,
            detail=detail,
            decoded=decoded,
            prediction=prediction,
        )
    return Examination(
        path=path,
        status=Status.ANALYSED,
        reason=None,
        detail=decoded.detail,
        decoded=decoded,
        prediction=prediction,
        findings=_findings(prediction, decoded.spacing_mm),
    )


def _findings(prediction: Prediction, spacing_mm: tuple[float, float] | None) -> tuple[Finding, ...]:
    pixel_mm2 = None if spacing_mm is None else spacing_mm[0] * spacing_mm[1]
    return tuple(
        Finding(
            box=candidate.box,
            confidence=candidate.confidence,
            mask_origin=candidate.mask_origin,
            mask=candidate.mask,
            area_mm2=None if pixel_mm2 is None else float(candidate.mask.sum()) * pixel_mm2,
        )
        for candidate in prediction.candidates
    )
