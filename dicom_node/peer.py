"""The section of the configuration that says who sends to the node, who receives from it, and how each is reached."""

import ipaddress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from dicom_node.addresses import is_loopback, may_carry_secrets, require_service_url
from dicom_node.domain import Mode, Profile
from dicom_node.sections import Port, Section

#: an AE title (see sections.AETitle), or none
AETitleOrNone = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^([ -\[\]-~]{1,16})?$")]
Network = Annotated[str, StringConstraints(strip_whitespace=True)]


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
