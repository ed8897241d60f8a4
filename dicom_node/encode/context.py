"""All that a builder is told besides header, film and findings."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class EncodeContext:
    """The algorithm, the settings and the moment of one result. Plain values only; texts are written in ASCII."""

    algorithm_name: str
    algorithm_version: str
    #: code value, scheme designator, meaning, of CID 7162
    algorithm_family: tuple[str, str, str]
    #: SHA-256 of the model's manifest, 64 hex digits
    model_digest: str
    #: digest of the settings that change what is read and marked, 64 hex digits
    parameters: str
    #: confidence from which a finding is marked
    threshold: float
    #: findings at or above the threshold that are not marked, because only the most confident are
    not_shown: int = 0
    #: SHA-256 of the source's data set as received, 64 hex digits
    input_digest: str
    #: when the result is made, with its time zone; written in the source's zone where that is told
    content_time: datetime
    #: version of chexnode
    software_version: str
    seg_description: str = "AI RESEARCH chexnode SEG"
    sc_description: str = "AI RESEARCH chexnode overlay"
    gsps_description: str = "AI RESEARCH chexnode presentation"
    seg_series_number: int = 9901
    sc_series_number: int = 9902
    gsps_series_number: int = 9904

    def __post_init__(self) -> None:
        if self.content_time.tzinfo is None:
            raise ValueError("content_time has no time zone: give an aware datetime")
