"""Settings from a TOML file and the environment (CHEXNODE_SECTION__KEY); refuses nonsense at start, naming the key."""

import ipaddress
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from dicom_node.domain import Mode, Profile
from dicom_node.errors import ConfigurationError

#: PS3.5 6.2, VR AE: at most 16 characters of the default repertoire, no backslash, no control characters
AETitle = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[ -\[\]-~]{1,16}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0)]
Network = Annotated[str, StringConstraints(strip_whitespace=True)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeSection(Section):
    #: the AE title that peers call, and that the node calls itself when it sends
    ae_title: AETitle = "CHEXNODE"
    #: where the spool, the embedded ledger, the run folder and the logs live
    folder: Path = Path("chexnode-data")
    #: SQLAlchemy URL of a PostgreSQL ledger; empty: SQLite in `folder`
    ledger_url: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class ReceiveSection(Section):
    #: the address to listen at; loopback until a site says otherwise
    host: str = "127.0.0.1"
    port: Port = 11112
    #: associations at one time, and of one peer
    max_associations: Annotated[int, Field(ge=1)] = 64
    max_associations_per_peer: Annotated[int, Field(ge=1)] = 16
    #: largest PDU that the node offers to take, bytes (PS3.8 D.1)
    max_pdu: Annotated[int, Field(ge=16384, le=1048576)] = 131072
    #: largest data set that is taken, bytes
    max_object_size: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    #: seconds that a peer may take for its next bytes, for one message, for an idle association
    io_timeout: Seconds = 15
    message_timeout: Seconds = 300
    idle_timeout: Seconds = 120
    #: free bytes below which new associations are refused as transient
    low_watermark: Annotated[int, Field(ge=0)] = 2 << 30


class SelectSection(Section):
    """Which images the node reads; judged by headers, before a pixel is touched."""

    modalities: tuple[str, ...] = ("CR", "DX")
    #: words of BodyPartExamined that mean a chest; an image that names another part is declined
    body_parts: tuple[str, ...] = ("CHEST", "THORAX", "LUNG", "RIBS AND CHEST", "CHEST AP", "CHEST PA")
    #: what to do with an image that names no body part anywhere: read it (the gate still looks) or decline it
    unknown_body_part: Literal["read", "decline"] = "read"
    #: calling AE titles whose images are never read
    exclude_calling_ae_titles: tuple[str, ...] = ()
    #: regular expressions; an image whose study, series or protocol description matches one is declined
    exclude_descriptions: tuple[str, ...] = ()
    #: years; the model was validated on adults
    min_age: Annotated[int, Field(ge=0)] = 18
    unknown_age: Literal["read", "decline"] = "read"
    #: days between StudyDate and arrival beyond which an image is a prior that was routed along; 0: no limit
    max_study_age: Annotated[int, Field(ge=0)] = 0

    @field_validator("exclude_descriptions")
    @classmethod
    def _must_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return patterns


class ModelSection(Section):
    #: a folder with a manifest and its weights; empty: the model that ships with chexnode
    folder: Path | None = None
    device: Literal["auto", "cuda", "cpu"] = "auto"
    #: confidence from which a finding is drawn; none: the manifest's operating point
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    #: most findings drawn on one image, the most confident first
    most_findings: Annotated[int, Field(ge=1, le=50)] = 10


class AnalyseSection(Section):
    #: child processes that parse and decode
    decoders: Annotated[int, Field(ge=1, le=64)] = 1
    #: most images in one batch
    batch_size: Annotated[int, Field(ge=1, le=256)] = 4
    #: limits of one decode: seconds of the clock, seconds of CPU, bytes of address space
    decode_timeout: Seconds = 60
    decode_cpu_seconds: Annotated[int, Field(ge=1)] = 40
    decode_memory: Annotated[int, Field(ge=256 << 20)] = 2 << 30
    #: seconds that a worker may hold a job before another may take it
    lease: Seconds = 120
    #: times that a job is tried
    attempts: Annotated[int, Field(ge=1)] = 4


class ConcludeSection(Section):
    #: seconds without a new image after which a study counts as complete
    quiet_period: Seconds = 10
    #: seconds after which a complete study is concluded although some of its jobs have not ended
    conclude_after: Seconds = 600


class DeliverSection(Section):
    #: first wait after a failed attempt, and the longest; doubled each time, with jitter
    retry_first: Annotated[float, Field(gt=0)] = 5
    retry_longest: Annotated[float, Field(gt=0)] = 900
    #: seconds for a connection, for a peer's next answer
    connect_timeout: Seconds = 10
    response_timeout: Seconds = 60
    #: seconds after which `status` and `doctor` call a destination dead
    dead_after: Seconds = 3600


class ResultsSection(Section):
    """How result series are called and numbered."""

    seg_description: str = "AI RESEARCH chexnode SEG"
    sc_description: str = "AI RESEARCH chexnode overlay"
    #: series numbers, high so that viewers sort the originals first
    seg_series_number: Annotated[int, Field(ge=1, le=2147483647)] = 9901
    sc_series_number: Annotated[int, Field(ge=1, le=2147483647)] = 9902

    @field_validator("seg_description", "sc_description")
    @classmethod
    def _must_say_research(cls, description: str) -> str:
        if not description.startswith("AI RESEARCH") or len(description) > 64:
            raise ValueError("must begin with 'AI RESEARCH' and have at most 64 characters (VR LO)")
        return description


class PeerSection(Section):
    """One AE that sends to the node, receives from it, or both."""

    #: how the configuration, `status` and the logs call it
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
    ae_title: AETitle
    #: where it listens: needed of a destination
    host: str = ""
    port: Port = 104
    #: it may send images to the node
    sends: bool = False
    #: addresses or networks it may call from; none: its `host`
    allow_from: tuple[Network, ...] = ()
    #: names of the destinations that get the results of what it sends
    results_to: tuple[str, ...] = ()
    #: none: it is no destination
    mode: Mode | None = None
    profile: Profile = Profile.STRICT

    @field_validator("allow_from")
    @classmethod
    def _must_be_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ipaddress.ip_network(network, strict=False)
        return networks

    @model_validator(mode="after")
    def _must_be_reachable(self) -> "PeerSection":
        if self.mode is not None and not self.host:
            raise ValueError(f"peer {self.name!r} is a destination (it has a mode) but has no host")
        if self.sends and not self.results_to:
            raise ValueError(f"peer {self.name!r} sends, but results_to names no destination")
        if self.sends and not self.allow_from and not self.host:
            raise ValueError(
                f"peer {self.name!r} sends: give allow_from (or host), the addresses it calls from"
            )
        return self


class Role(StrEnum):
    """What one process does."""

    RECEIVE = "receive"
    ANALYSE = "analyse"
    CONCLUDE = "conclude"
    DELIVER = "deliver"


class Settings(BaseSettings):
    """The whole configuration; a room gets its own section."""

    model_config = SettingsConfigDict(
        env_prefix="CHEXNODE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    node: NodeSection = NodeSection()
    receive: ReceiveSection = ReceiveSection()
    select: SelectSection = SelectSection()
    model: ModelSection = ModelSection()
    analyse: AnalyseSection = AnalyseSection()
    conclude: ConcludeSection = ConcludeSection()
    deliver: DeliverSection = DeliverSection()
    results: ResultsSection = ResultsSection()
    peers: tuple[PeerSection, ...] = ()

    @model_validator(mode="after")
    def _peers_must_fit_together(self) -> "Settings":
        names = [peer.name for peer in self.peers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"peers: two peers are called {name!r}")
        destinations = {peer.name for peer in self.peers if peer.mode is not None}
        for peer in self.peers:
            for wanted in peer.results_to:
                if wanted not in destinations:
                    raise ValueError(
                        f"peers.{peer.name}.results_to: {wanted!r} is no destination; "
                        "give that peer a host and a mode (send, hold or off)"
                    )
        return self

    @property
    def destinations(self) -> tuple[PeerSection, ...]:
        """Every peer that receives results (its mode may be `off`)."""
        return tuple(peer for peer in self.peers if peer.mode is not None)

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The profiles that image results are encoded for, each once, in a stable order."""
        wanted = {peer.profile for peer in self.destinations if peer.mode is not Mode.OFF}
        return tuple(profile for profile in Profile if profile in wanted)

    def route(self, calling_ae_title: str) -> tuple[PeerSection, ...]:
        """The destinations of what `calling_ae_title` sends, those that are `off` left out."""
        wanted = {
            name
            for peer in self.peers
            if peer.sends and peer.ae_title == calling_ae_title
            for name in peer.results_to
        }
        return tuple(peer for peer in self.destinations if peer.name in wanted and peer.mode is not Mode.OFF)


def load_settings(path: Path) -> Settings:
    """Read `path` (TOML) and the environment, which wins. Raises ConfigurationError naming each bad key."""
    if not path.is_file():
        raise ConfigurationError(f"{path} does not exist; `chexnode init` writes it, --config names another")

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path))

    try:
        return FromFile()
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, e['loc'])) or 'peers'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise ConfigurationError(f"{path} is not usable:\n" + "\n".join(lines)) from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error


def require_routes(settings: Settings) -> None:
    """Refuse a node that could receive nothing or whose results would go nowhere. Raises ConfigurationError."""
    if not any(peer.sends for peer in settings.peers):
        raise ConfigurationError(
            "no peer has sends = true, so nothing could be received; add one under [[peers]]"
        )
    if not settings.destinations:
        raise ConfigurationError(
            "no peer has a mode (send, hold, off), so results would go nowhere; add one under [[peers]]"
        )
