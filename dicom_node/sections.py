"""The sections of the configuration, one a room; `config.py` reads them and holds what spans them."""

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from dicom_node.domain import Clean

#: PS3.5 6.2, VR AE: at most 16 characters of the default repertoire, no backslash, no control characters
AETitle = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[ -\[\]-~]{1,16}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def require_expressions(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """`patterns`. Raises ValueError where one is no regular expression."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return patterns


class NodeSection(Section):
    """Who the node is and where its data live."""

    #: the AE title that peers call, and that the node calls itself when it sends
    ae_title: AETitle = "CHEXNODE"
    #: where the spool, the embedded ledger, the run folder and the logs live
    folder: Path = Path("chexnode-data")
    #: SQLAlchemy URL of a PostgreSQL ledger; empty: SQLite in `folder`
    ledger_url: str = ""
    #: how much the log says; identifying values never stand in it
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class ReceiveSection(Section):
    """What the node takes, from whom, and how much of it at one time."""

    #: the address to listen at; loopback until a site says otherwise
    host: str = "127.0.0.1"
    #: the TCP port to listen at
    port: Port = 11112
    #: associations at one time
    max_associations: Annotated[int, Field(ge=1)] = 64
    #: associations of one peer at one time
    max_associations_per_peer: Annotated[int, Field(ge=1)] = 16
    #: largest PDU that the node offers to take, bytes (PS3.8 D.1)
    max_pdu: Annotated[int, Field(ge=16384, le=1048576)] = 131072
    #: largest data set that is taken, bytes
    max_object_size: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    #: seconds that a peer may take for its next bytes
    io_timeout: Seconds = 15
    #: seconds that one message may take as a whole
    message_timeout: Seconds = 300
    #: seconds after which an idle association is ended
    idle_timeout: Seconds = 120
    #: free bytes below which new associations are refused as transient
    low_watermark: Annotated[int, Field(ge=0)] = 2 << 30


class SelectSection(Section):
    """Which images the node reads; judged by headers, before a pixel is touched."""

    #: SOP classes that are read: CR, DX, Secondary Capture and its multi-frame greyscale forms of one frame
    sop_classes: tuple[str, ...] = (
        "1.2.840.10008.5.1.4.1.1.1",
        "1.2.840.10008.5.1.4.1.1.1.1",
        "1.2.840.10008.5.1.4.1.1.1.1.1",
        "1.2.840.10008.5.1.4.1.1.7",
        "1.2.840.10008.5.1.4.1.1.7.2",
        "1.2.840.10008.5.1.4.1.1.7.3",
    )
    #: values of Modality that are read
    modalities: tuple[str, ...] = ("CR", "DX")
    #: words of BodyPartExamined that mean a chest; an image that names another part is declined
    body_parts: tuple[str, ...] = ("CHEST", "THORAX", "LUNG", "RIBS AND CHEST", "CHEST AP", "CHEST PA")
    #: what to do with an image that names no body part anywhere: read it (the gate still looks) or decline it
    unknown_body_part: Literal["read", "decline"] = "read"
    #: what to do with an image that names no view; lateral and oblique views are always declined
    unknown_view: Literal["read", "decline"] = "read"
    #: calling AE titles whose images are never read
    exclude_calling_ae_titles: tuple[str, ...] = ()
    #: regular expressions; an image whose study, series or protocol description matches one is declined
    exclude_descriptions: tuple[str, ...] = ()
    #: years below which a patient is not read: the model was validated on adults
    min_age: Annotated[int, Field(ge=0)] = 18
    #: what to do with an image that says neither an age nor a birth date
    unknown_age: Literal["read", "decline"] = "read"
    #: days between StudyDate and arrival beyond which an image is a prior that was routed along; 0: no limit
    max_study_age: Annotated[int, Field(ge=0)] = 0

    @field_validator("exclude_descriptions")
    @classmethod
    def _must_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return require_expressions(patterns)


class ModelSection(Section):
    """Which model reads, on what, and what of its findings is drawn."""

    #: a folder with a manifest and its weights; none: the model that ships with chexnode
    folder: Path | None = None
    #: where it runs; auto: a GPU when there is one
    device: Literal["auto", "cuda", "cpu"] = "auto"
    #: confidence from which a finding is drawn; none: the manifest's operating point
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    #: most findings drawn on one image, the most confident first
    most_findings: Annotated[int, Field(ge=1, le=50)] = 10


class AnalyseSection(Section):
    """How images are decoded and batched."""

    #: child processes that parse and decode; 0: by the number of cores
    decoders: Annotated[int, Field(ge=0, le=64)] = 0
    #: processes that make the objects of results; 0: by the number of cores
    encoders: Annotated[int, Field(ge=0, le=64)] = 0
    #: most images in one batch, fewer where fewer wait, since no image waits for another; 0: 4 on a CPU, 16 on a GPU
    batch_size: Annotated[int, Field(ge=0, le=256)] = 0
    #: seconds of the clock that one decode may take
    decode_timeout: Seconds = 60
    #: seconds of CPU time that one decode may take
    decode_cpu_seconds: Annotated[int, Field(ge=1)] = 40
    #: bytes of address space that a decoding child may have
    decode_memory: Annotated[int, Field(ge=256 << 20)] = 2 << 30
    #: JPEG 2000, HTJ2K and JPEG Baseline images of 4,096 pixels and more on their long side are decoded at a half of
    #: their resolution, which is all that the network and the Secondary Capture need; false: in full
    reduced_resolution: bool = True
    #: seconds that a worker may hold a job before another may take it
    lease: Seconds = 120
    #: times that a job is tried
    attempts: Annotated[int, Field(ge=1)] = 4

    @property
    def decoders_used(self) -> int:
        """Child processes that decode: one for each two cores where the site says nothing."""
        return self.decoders or _for_cores(each=2, most=16)

    @property
    def encoders_used(self) -> int:
        """Processes that encode: one for each two cores where the site says nothing."""
        return self.encoders or _for_cores(each=2, most=16)


def _for_cores(*, each: int, most: int) -> int:
    # what this process may run on: a container's share, not the host's cores
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(most, max(1, cores // each))


class ConcludeSection(Section):
    """When a study counts as complete."""

    #: seconds without a new image after which a study counts as complete
    quiet_period: Seconds = 10
    #: seconds after which a complete study is concluded although some of its jobs have not ended
    conclude_after: Seconds = 600


class DeliverSection(Section):
    """How results are sent, and sent again."""

    #: seconds to wait after the first failed attempt; doubled each time, with jitter
    retry_first: Annotated[float, Field(gt=0)] = 5
    #: seconds that the wait between two attempts never exceeds
    retry_longest: Annotated[float, Field(gt=0)] = 900
    #: seconds for a connection
    connect_timeout: Seconds = 10
    #: seconds for a peer's next answer
    response_timeout: Seconds = 60
    #: seconds after which `status` and `doctor` call a destination dead
    dead_after: Seconds = 3600
    #: seconds after which a result that has not been delivered is held until `chexnode release`: an old mark on a
    #: study that was reported meanwhile helps nobody; 0: never
    deliver_within: Seconds = 14400


class RetentionSection(Section):
    """When images and results are deleted; what is not delivered never is."""

    #: days that a study's images and results stay after its last delivery ended
    days: Annotated[float, Field(ge=0)] = 7
    #: free bytes below which delivered studies go before their days are over, the longest concluded first; 0: never
    watermark: Annotated[int, Field(ge=0)] = 4 << 30
    #: seconds between two looks
    every: Annotated[float, Field(gt=0)] = 600


class ResultsSection(Section):
    """How result series are called and numbered."""

    #: SeriesDescription of segmentations; begins with AI RESEARCH
    seg_description: str = "AI RESEARCH chexnode SEG"
    #: SeriesDescription of overlay pictures; begins with AI RESEARCH
    sc_description: str = "AI RESEARCH chexnode overlay"
    #: SeriesNumber of segmentations, high so that viewers sort the originals first
    seg_series_number: Annotated[int, Field(ge=1, le=2147483647)] = 9901
    #: SeriesNumber of overlay pictures
    sc_series_number: Annotated[int, Field(ge=1, le=2147483647)] = 9902
    #: SeriesDescription of study reports; begins with AI RESEARCH
    sr_description: str = "AI RESEARCH chexnode report"
    #: SeriesNumber of study reports
    sr_series_number: Annotated[int, Field(ge=1, le=2147483647)] = 9903
    #: SeriesDescription of presentation states; begins with AI RESEARCH
    gsps_description: str = "AI RESEARCH chexnode presentation"
    #: SeriesNumber of presentation states
    gsps_series_number: Annotated[int, Field(ge=1, le=2147483647)] = 9904
    #: what is written where nothing was found: `once`, the profile's SR says so, or its SC where it has no SR;
    #: `everywhere`, the SC beside the SR too; `nothing`
    clean: Clean = Clean.ONCE

    @field_validator("seg_description", "sc_description", "sr_description", "gsps_description")
    @classmethod
    def _must_say_research(cls, description: str) -> str:
        if not description.startswith("AI RESEARCH") or len(description) > 64:
            raise ValueError("must begin with 'AI RESEARCH' and have at most 64 characters (VR LO)")
        return description


class Role(StrEnum):
    """What one process does."""

    RECEIVE = "receive"
    ANALYSE = "analyse"
    CONCLUDE = "conclude"
    DELIVER = "deliver"
