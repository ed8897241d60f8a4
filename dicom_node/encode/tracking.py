"""What follows one finding through every object that names it: the same in SEG and SR, in every profile."""

from dataclasses import dataclass

from dicom_node.encode.uids import derived_uid


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """Tracking ID (0062,0020) and Tracking UID (0062,0021); in an SR the concepts DCM 112039 and DCM 112040."""

    identifier: str
    uid: str


def tracking(number: int | None, *, input_digest: str, model_digest: str, parameters: str) -> Tracking:
    """That of finding `number` of one image, numbered from 1 as the outlines are; None: of all findings as one.

    The digests are those of an EncodeContext. Neither the profile nor the encoder goes in: the finding is the same.
    """
    which = "all" if number is None else str(number)
    return Tracking(
        identifier=f"chexnode {input_digest[:12]} {which}",
        uid=derived_uid("tracking", input_digest, model_digest, parameters, which),
    )
