"""DICOM over TLS 1.2 and 1.3, and nothing older (PS3.15 B.12: BCP 195 with RFC 8996 and RFC 9325), both ways.

A certificate says who shows it by its subject's common name and its subject alternative names (DNS, IP address);
`names_it` tells whether it bears a name that is wanted of it.
"""

import ipaddress
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dicom_node.credentials import read_secret
from dicom_node.dimse.requests import UserIdentity
from dicom_node.errors import ConfigurationError
from dicom_node.peer import PeerSection
from dicom_node.security import TLSSection

#: of TLS 1.2: authenticated encryption under a key that nobody can find out later (RFC 9325 4.2); 1.3 has no others
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: what getpeercert() says of a certificate
Certificate = Mapping[str, Any]


class Wraps(Protocol):
    """What a client needs of an SSLContext."""

    def wrap_socket(self, sock: socket.socket, /, *, server_hostname: str | None) -> ssl.SSLSocket: ...


@dataclass(frozen=True, kw_only=True)
class Security:
    """How an association is asked for: over which TLS, if any, and as which user."""

    tls: Wraps | None = None
    user: UserIdentity | None = None


def security_of(peer: PeerSection, tls: TLSSection) -> Security:
    """As the node calls `peer`; files and secrets are read now, so that new ones need no restart.

    Raises ConfigurationError naming the setting that does not hold.
    """
    key = f"peers.{peer.name}.own_user_secret"
    user = peer.own_user and UserIdentity(user=peer.own_user, passcode=read_secret(peer.own_user_secret, key=key))
    return Security(tls=client(tls, names=peer.certificate_names) if peer.tls else None, user=user or None)


def server_context(section: TLSSection) -> ssl.SSLContext:
    """For whoever connects to the node. Raises ConfigurationError naming the file that does not hold."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _bcp_195(context)
    _show(context, section)
    if section.mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        _believe(context, section.ca)
    return context


def client(section: TLSSection, *, names: tuple[str, ...] = (), ca: Path | None = None) -> Wraps:
    """For whomever the node connects to: its certificate is always verified, and must bear the host's name.

    `names`: it must bear one of these instead. `ca` goes before tls.ca; where there is neither, the public CAs are
    believed. Raises ConfigurationError naming the file that does not hold.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _bcp_195(context)
    if section.certificate is not None:
        _show(context, section)
    if trusted := ca or section.ca:
        _believe(context, trusted)
    else:
        context.load_default_certs()
    return _Named(context, names) if names else context


def names_it(certificate: Certificate | None, wanted: Iterable[str]) -> bool:
    """Whether a certificate that was verified bears one of the names that are `wanted`.

    Common names are compared as they stand, for an AE title may be one; DNS names whatever their case.
    """
    if not certificate:
        return False
    names = set(wanted)
    hosts = {name.lower().rstrip(".") for name in names}
    addresses = {address for name in names if (address := _address(name)) is not None}
    common = (value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName")
    return any(value in names for value in common) or any(
        (kind == "DNS" and value.lower().rstrip(".") in hosts)
        or (kind == "IP Address" and _address(value) in addresses)
        for kind, value in certificate.get("subjectAltName", ())
    )


def name_of(certificate: Certificate | None) -> str:
    """What a log says of a certificate: its common name, or its first other name."""
    if not certificate:
        return ""
    common = [value for part in certificate.get("subject", ()) for kind, value in part if kind == "commonName"]
    return str(next(iter([*common, *(value for _, value in certificate.get("subjectAltName", ()))]), ""))


class _Named:
    """A context that asks for other names than the host's."""

    def __init__(self, context: ssl.SSLContext, names: tuple[str, ...]) -> None:
        context.check_hostname = False
        self._context = context
        self._names = names

    def wrap_socket(self, sock: socket.socket, /, *, server_hostname: str | None) -> ssl.SSLSocket:
        """See SSLContext.wrap_socket. Raises SSLCertVerificationError where the certificate bears none of the names."""
        wrapped = self._context.wrap_socket(sock, server_hostname=server_hostname)
        certificate = wrapped.getpeercert()
        if not names_it(certificate, self._names):
            wrapped.close()
            raise ssl.SSLCertVerificationError(
                ssl.SSL_ERROR_SSL, f"its certificate names {name_of(certificate)}, not {' or '.join(self._names)}"
            )
        return wrapped


def _bcp_195(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _show(context: ssl.SSLContext, section: TLSSection) -> None:
    """Load the node's certificate and key."""
    if section.certificate is None:
        raise ConfigurationError("tls.certificate: it is needed, and not set")
    for name, path in (("certificate", section.certificate), ("key", section.key)):
        if path is not None and not path.is_file():
            raise ConfigurationError(f"tls.{name}: {path} is not there")
    try:
        # a key that wants a passphrase would ask for it on the terminal, and wait there
        context.load_cert_chain(section.certificate, section.key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"tls.certificate, tls.key: {section.certificate} and its key cannot be used ({_why(error)}); both are "
            "PEM, the key has no passphrase and belongs to the certificate"
        ) from error


def _believe(context: ssl.SSLContext, ca: Path | None) -> None:
    if ca is None:
        raise ConfigurationError("tls.ca: it is needed, and not set")
    if not ca.is_file():
        raise ConfigurationError(f"tls.ca: {ca} is not there")
    try:
        context.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"tls.ca: {ca} is no PEM file with certificates ({_why(error)})") from error


def _why(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        return None
