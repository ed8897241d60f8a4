"""Settings from a TOML file and the environment (CHEXNODE_SECTION__KEY); refuses nonsense at start, naming the key."""

from pathlib import Path

from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from dicom_node.addresses import is_loopback
from dicom_node.domain import Mode, Profile
from dicom_node.errors import ConfigurationError
from dicom_node.peer import Ask, PeerSection
from dicom_node.precedence import PrioritySection
from dicom_node.sections import (
    AETitle,
    AnalyseSection,
    ConcludeSection,
    DeliverSection,
    ModelSection,
    NodeSection,
    ReceiveSection,
    ResultsSection,
    RetentionSection,
    Role,
    SelectSection,
)
from dicom_node.security import AuditSection, TLSSection

__all__ = [
    "AETitle",
    "AnalyseSection",
    "Ask",
    "AuditSection",
    "ConcludeSection",
    "DeliverSection",
    "ModelSection",
    "NodeSection",
    "PeerSection",
    "PrioritySection",
    "ReceiveSection",
    "ResultsSection",
    "RetentionSection",
    "Role",
    "SelectSection",
    "Settings",
    "TLSSection",
    "load_settings",
    "require_routes",
]


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
    priority: PrioritySection = PrioritySection()
    tls: TLSSection = TLSSection()
    audit: AuditSection = AuditSection()
    select: SelectSection = SelectSection()
    model: ModelSection = ModelSection()
    analyse: AnalyseSection = AnalyseSection()
    conclude: ConcludeSection = ConcludeSection()
    deliver: DeliverSection = DeliverSection()
    retention: RetentionSection = RetentionSection()
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

    @model_validator(mode="after")
    def _archives_must_be_askable(self) -> "Settings":
        by_name = {peer.name: peer for peer in self.peers}
        for peer in self.peers:
            if peer.ask_peer and peer.ask_peer not in by_name:
                raise ValueError(f"peers.{peer.name}.ask_peer: no peer is called {peer.ask_peer!r}")
            asked = by_name.get(peer.ask_peer, peer)
            if peer.ask is Ask.FIND and not asked.host:
                raise ValueError(f"peers.{peer.name}.ask: {asked.name!r} has no host, so it cannot be asked by C-FIND")
            if peer.ask is Ask.QIDO and not asked.dicomweb_url:
                raise ValueError(f"peers.{peer.name}.ask: {asked.name!r} has no dicomweb_url to ask by QIDO-RS")
        return self

    @model_validator(mode="after")
    def _passcodes_must_be_encrypted(self) -> "Settings":
        if not self.tls.receive and not is_loopback(self.receive.host):
            for peer in self.peers:
                if peer.calls and peer.user:
                    raise ValueError(
                        f"peers.{peer.name}.user: its passcode would come unencrypted; set receive = true under [tls]"
                    )
        return self

    @model_validator(mode="after")
    def _sources_must_agree(self) -> "Settings":
        for peer in self.sources:
            for other in self.sources:
                if other.ae_title == peer.ae_title and (other.threshold, other.most_findings) != (
                    peer.threshold,
                    peer.most_findings,
                ):
                    raise ValueError(
                        f"peers.{peer.name}.threshold: {peer.name!r} and {other.name!r} send as {peer.ae_title!r}; "
                        "give both the same threshold and most_findings"
                    )
        return self

    @property
    def sources(self) -> tuple[PeerSection, ...]:
        """Every peer that sends."""
        return tuple(peer for peer in self.peers if peer.sends)

    @property
    def destinations(self) -> tuple[PeerSection, ...]:
        """Every peer that receives results (its mode may be `off`)."""
        return tuple(peer for peer in self.peers if peer.mode is not None)

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """The profiles that image results are encoded for, each once, in a stable order."""
        wanted = {peer.profile for peer in self.destinations if peer.mode is not Mode.OFF}
        return tuple(profile for profile in Profile if profile in wanted)

    def model_for(self, calling_ae_title: str) -> ModelSection:
        """[model] as it holds for what `calling_ae_title` sends: what its peer says of its own goes first."""
        for peer in self.sources:
            if peer.ae_title == calling_ae_title:
                own = {"threshold": peer.threshold, "most_findings": peer.most_findings}
                return self.model.model_copy(update={key: value for key, value in own.items() if value is not None})
        return self.model

    def route(self, calling_ae_title: str) -> tuple[PeerSection, ...]:
        """The destinations of what `calling_ae_title` sends, those that are `off` left out."""
        wanted = {
            name for peer in self.peers if peer.sends and peer.ae_title == calling_ae_title for name in peer.results_to
        }
        return tuple(peer for peer in self.destinations if peer.name in wanted and peer.mode is not Mode.OFF)

    def named(self, destination: str) -> tuple[PeerSection, ...]:
        """The destination of that name, unless it is `off`; none: there is none."""
        return tuple(peer for peer in self.destinations if peer.name == destination and peer.mode is not Mode.OFF)


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
        raise ConfigurationError("no peer has sends = true, so nothing could be received; add one under [[peers]]")
    if not settings.destinations:
        raise ConfigurationError(
            "no peer has a mode (send, hold, off), so results would go nowhere; add one under [[peers]]"
        )
