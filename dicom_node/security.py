"""The sections of the configuration that say whom DICOM over TLS believes, and what is written down of who came."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from dicom_node.sections import Port, Section


class TLSSection(Section):
    """Who the node is and whom it believes where DICOM goes over TLS 1.2 or 1.3 (PS3.15 B.12, BCP 195)."""

    #: associations are taken over TLS only; a peer that sends without it is turned away
    receive: bool = False
    #: PEM file with the node's certificate, and those between it and its CA
    certificate: Path | None = None
    #: PEM file with its key; none: the key stands in the certificate's file
    key: Path | None = None
    #: PEM file with the CAs that peers' certificates must come from
    ca: Path | None = None
    #: whoever sends must show a certificate, one that names it (see peers.certificate_names)
    mutual: bool = True
    #: days before a certificate ends from which `status`, `doctor` and the log say so
    warn_before: Annotated[float, Field(ge=0)] = 30

    @model_validator(mode="after")
    def _must_be_whole(self) -> "TLSSection":
        if self.receive and self.certificate is None:
            raise ValueError("receive = true needs certificate, the PEM file that the node shows")
        if self.receive and self.mutual and self.ca is None:
            raise ValueError("mutual = true needs ca, the PEM file with the CAs of those who send")
        if self.key is not None and self.certificate is None:
            raise ValueError("key without certificate")
        return self


class AuditSection(Section):
    """Audit messages (PS3.15 A.5): who connected, what came, what was sent. They name patients by their ID."""

    #: file that each message is appended to, one a line, for its owner's eyes only; none: no file
    file: Path | None = None
    #: host of an audit repository that takes syslog over TLS (PS3.15 A.6, RFC 5425); empty: none
    syslog_host: str = ""
    #: its port
    syslog_port: Port = 6514
    #: PEM file with the CAs that its certificate must come from; none: tls.ca, and where there is none the public ones
    syslog_ca: Path | None = None
    #: study UIDs and patient IDs as they are, or as the keyed hashes of the log
    identifiers: Literal["plain", "hashed"] = "plain"
    #: how the messages call this node (AuditSourceID); empty: its AE title and host
    source: str = ""
