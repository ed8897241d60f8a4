"""The sections of the configuration, one a room; `config.py` reads them and holds what spans them."""

import ipaddress
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from dicom_node.addresses import is_loopback, may_carry_secrets, require_service_url
from dicom_node.domain import Clean, Mode, Profile

#: PS3.5 6.2, VR AE: at most 16 characters of the default repertoire, no backslash, no control characters
AETitle = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[ -\[\]-~]{1,16}$")]
AETitleOrNone = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^([ -\[\]-~]{1,16})?$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0)]
Network = Annotated[str, StringConstraints(strip_whitespace=True)]


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


class Transport(StrEnum):
    """How results reach a destination."""

    C_STORE = "c-store"
    STOW_RS = "stow-rs"


class Ask(StrEnum):
    """How an archive is asked what it holds."""

    OFF = "off"
    FIND = "find"
    QIDO = "qido"


class PeerSection(Section):
    """One AE that sends to the node, receives from it, or both."""

    #: how the configuration, `status` and the logs call it
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
    #: the AE title that it calls from and is called by; may be left out where it is reached by DICOMweb alone
    ae_title: AETitleOrNone = ""
    #: where it listens: needed of a destination that takes C-STORE
    host: str = ""
    #: the port at which it listens
    port: Port = 104
    #: it may send images to the node
    sends: bool = False
    #: addresses or networks it may call from; none: its `host`
    allow_from: tuple[Network, ...] = ()
    #: names of the destinations that get the results of what it sends
    results_to: tuple[str, ...] = ()
    #: confidence from which a finding on what it sends is drawn; none: model.threshold
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    #: most findings drawn on one image that it sends; none: model.most_findings
    most_findings: Annotated[int, Field(ge=1, le=50)] | None = None
    #: what is done with results for it: send, hold (until `chexnode release`), off; none: it is no destination
    mode: Mode | None = None
    #: which objects it gets, and in which form: see docs/results.md
    profile: Profile = Profile.STRICT
    #: how results reach it: C-STORE at host and port, or STOW-RS at dicomweb_url
    transport: Transport = Transport.C_STORE
    #: associations (or web sessions) that results go to it over at a time; each takes whole studies. An archive that
    #: is slow with each object takes more in all: ask its administrator how many it allows
    associations: Annotated[int, Field(ge=1, le=16)] = 1
    #: C-STORE and queries to it go over TLS
    tls: bool = False
    #: names that its certificate may bear (common name, DNS name or address); none: its ae_title or host where it
    #: calls, its host where it is called
    certificate_names: tuple[str, ...] = ()
    #: user that it must give when it calls (User Identity Negotiation, PS3.7 D.3.3.7); none: it need not
    user: str = ""
    #: where that user's passcode is read, at each association: env:NAME or file:PATH
    user_secret: str = Field(default="", repr=False)
    #: user that the node gives when it calls this peer by DICOM; none: it gives none
    own_user: str = ""
    #: where that user's passcode is read, at each association: env:NAME or file:PATH
    own_user_secret: str = Field(default="", repr=False)
    #: ask it to commit to keeping what it stored (Storage Commitment, PS3.4 Annex J); until it has, nothing of it is
    #: deleted here. It must know the node's address and port, for it may call back with its report
    commitment: bool = False
    #: seconds that its report may take; then it is asked again
    commitment_timeout: Annotated[float, Field(gt=0)] = 3600
    #: it may ask the node to commit to keeping what it sent (Storage Commitment): the report goes to its host and port.
    #: What was pledged is not deleted before one of its results_to with commitment has committed to it too
    asks_commitment: bool = False
    #: the last look before each delivery: is the image there, under the patient, study and accession number that it
    #: came with? `find` asks by C-FIND at host and port, `qido` at dicomweb_url, `off` not at all
    ask: Ask = Ask.OFF
    #: name of the peer that is asked where it is not this one: a gateway stores, the archive behind it is asked
    ask_peer: str = ""
    #: send pictures in a lossless compressed transfer syntax where it takes one; the pixel values are the same
    compress: bool = True
    #: its DICOMweb service, such as https://pacs.example.org/dicom-web; also where `doctor --handshake` reads back
    dicomweb_url: str = ""
    #: how the node identifies itself there; a client certificate may come on top
    dicomweb_authentication: Literal["none", "basic", "bearer"] = "none"
    #: the user of basic authentication
    dicomweb_user: str = ""
    #: where the password or the bearer token is read, at each connection: env:NAME or file:PATH
    dicomweb_secret: str = Field(default="", repr=False)
    #: PEM file with the node's client certificate, and its key where dicomweb_key names none
    dicomweb_certificate: Path | None = None
    #: PEM file with the key of the client certificate
    dicomweb_key: Path | None = None
    #: PEM file with the CAs that its certificate must come from; none: the public ones. It is always verified
    dicomweb_ca: Path | None = None

    @field_validator("dicomweb_url")
    @classmethod
    def _must_be_a_url(cls, url: str) -> str:
        return require_service_url(url) if url else url

    @field_validator("allow_from")
    @classmethod
    def _must_be_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ipaddress.ip_network(network, strict=False)
        return networks

    @model_validator(mode="after")
    def _must_be_reachable(self) -> "PeerSection":
        if self.transport is Transport.STOW_RS and not self.dicomweb_url:
            raise ValueError(f"peer {self.name!r} is sent to by STOW-RS but has no dicomweb_url")
        if self.mode is not None and self.transport is Transport.C_STORE and not self.host:
            raise ValueError(f"peer {self.name!r} is a destination (it has a mode) but has no host")
        if (self.sends or self.host) and not self.ae_title:
            raise ValueError(f"peer {self.name!r} has no ae_title: it is needed of whoever sends or has a host")
        if self.sends and not self.results_to:
            raise ValueError(f"peer {self.name!r} sends, but results_to names no destination")
        if not self.sends and (self.threshold, self.most_findings) != (None, None):
            raise ValueError(f"peer {self.name!r} has a threshold or most_findings of its own, but does not send")
        if (self.commitment or self.asks_commitment) and not self.host:
            raise ValueError(f"peer {self.name!r}: Storage Commitment needs its host and port, also beside DICOMweb")
        if self.commitment and self.mode is None:
            raise ValueError(f"peer {self.name!r} is asked for commitment, but is no destination (it has no mode)")
        if self.asks_commitment and not self.sends:
            raise ValueError(f"peer {self.name!r} asks for commitment, but sends nothing")
        if self.sends and not self.allow_from and not self.host:
            raise ValueError(f"peer {self.name!r} sends: give allow_from (or host), the addresses it calls from")
        return self

    @property
    def calls(self) -> bool:
        """It may open associations to the node: to send, or to report on a commitment."""
        return self.sends or self.commitment

    @model_validator(mode="after")
    def _must_be_authenticated(self) -> "PeerSection":
        how = self.dicomweb_authentication
        if how != "none" and not self.dicomweb_secret.startswith(("env:", "file:")):
            raise ValueError(f"peer {self.name!r}: {how} authentication needs dicomweb_secret, env:NAME or file:PATH")
        if how == "basic" and not self.dicomweb_user:
            raise ValueError(f"peer {self.name!r}: basic authentication needs dicomweb_user")
        if how != "none" and not may_carry_secrets(self.dicomweb_url):
            raise ValueError(
                f"peer {self.name!r}: dicomweb_url must be https://, or everyone on the way reads the secret"
            )
        if self.dicomweb_key is not None and self.dicomweb_certificate is None:
            raise ValueError(f"peer {self.name!r}: dicomweb_key without dicomweb_certificate")
        return self

    @model_validator(mode="after")
    def _users_must_have_passcodes(self) -> "PeerSection":
        for key in ("user", "own_user"):
            user, secret = getattr(self, key), getattr(self, f"{key}_secret")
            if bool(user) != bool(secret):
                raise ValueError(f"peer {self.name!r}: {key} and {key}_secret belong together")
            if secret and not secret.startswith(("env:", "file:")):
                raise ValueError(
                    f"peer {self.name!r}: {key}_secret is env:NAME or file:PATH, never the passcode itself"
                )
        if self.own_user and not self.tls and not is_loopback(self.host):
            raise ValueError(
                f"peer {self.name!r}: own_user needs tls = true, or everyone on the way reads the passcode"
            )
        return self


class Role(StrEnum):
    """What one process does."""

    RECEIVE = "receive"
    ANALYSE = "analyse"
    CONCLUDE = "conclude"
    DELIVER = "deliver"
