"""Who may call: addresses before a byte is read; AE titles bound to addresses, certificates and users once told."""

import hmac
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from dicom_node.config import PeerSection
from dicom_node.credentials import read_secret
from dicom_node.dimse.requests import (
    CALLED_NOT_RECOGNISED,
    CALLING_NOT_RECOGNISED,
    CERTIFICATE_OF_ANOTHER,
    USER_NOT_AUTHENTICATED,
    AssociationRequest,
    Rejection,
)
from dicom_node.dimse.tls import names_it
from dicom_node.errors import ConfigurationError

_log = structlog.get_logger(__name__)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True)
class _Caller:
    ae_title: str
    networks: tuple[_Network, ...]
    #: names of which its certificate must bear one
    certificate_names: tuple[str, ...]
    #: empty: it need not say who it is
    user: str
    #: where the passcode is read
    user_secret: str
    #: how the configuration calls it
    name: str
    #: images are taken from it; otherwise only its reports on commitments are
    sends: bool


class Callers:
    """The peers that may call, as the configuration names them. Host names are looked up when it is made."""

    def __init__(self, peers: Sequence[PeerSection], *, ae_title: str, certificates: bool = False) -> None:
        """`certificates`: each must have shown one that was verified, and that names it."""
        self._ae_title = ae_title
        self._certificates = certificates
        self._callers = tuple(_caller(peer) for peer in peers if peer.calls)

    def admits(self, address: str) -> bool:
        """Whether any peer may call from `address`: asked before a byte of it is read."""
        return any(_contains(caller.networks, address) for caller in self._callers)

    def judge(self, request: AssociationRequest) -> Rejection | None:
        """None where the called AE is this node and the calling AE may call from its address, as who it says it is."""
        if request.called_ae_title != self._ae_title:
            return CALLED_NOT_RECOGNISED
        rejection = CALLING_NOT_RECOGNISED
        for caller in self._callers:
            if caller.ae_title == request.calling_ae_title and _contains(caller.networks, request.address):
                if self._certificates and not names_it(request.certificate, caller.certificate_names):
                    rejection = CERTIFICATE_OF_ANOTHER
                elif caller.user and not _authenticated(caller, request):
                    rejection = USER_NOT_AUTHENTICATED
                else:
                    return None
        return rejection

    def may_store(self, calling_ae_title: str) -> bool:
        """Whether images are taken from who calls by this AE title."""
        return any(caller.sends and caller.ae_title == calling_ae_title for caller in self._callers)

    def asks_for_user(self, calling_ae_title: str) -> bool:
        """Whether who calls by this AE title has to say which user it is: then it is told that it was believed."""
        return any(caller.user and caller.ae_title == calling_ae_title for caller in self._callers)


def _caller(peer: PeerSection) -> _Caller:
    return _Caller(
        ae_title=peer.ae_title,
        networks=_networks(peer),
        certificate_names=peer.certificate_names or tuple(filter(None, (peer.ae_title, peer.host))),
        user=peer.user,
        user_secret=peer.user_secret,
        name=peer.name,
        sends=peer.sends,
    )


def _authenticated(caller: _Caller, request: AssociationRequest) -> bool:
    if request.user is None:
        return False
    try:
        passcode = read_secret(caller.user_secret, key=f"peers.{caller.name}.user_secret")
    except ConfigurationError as error:
        _log.error("a peer is turned away, since its passcode cannot be read", peer=caller.name, why=str(error))
        return False
    told = f"{request.user.user}\0{request.user.passcode}".encode()
    return hmac.compare_digest(told, f"{caller.user}\0{passcode}".encode())


def _contains(networks: tuple[_Network, ...], address: str) -> bool:
    # fe80::1%eth0: the scope says which cable, not who
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed.version == network.version and parsed in network for network in networks)


def _networks(peer: PeerSection) -> tuple[_Network, ...]:
    if peer.allow_from:
        return tuple(ipaddress.ip_network(network, strict=False) for network in peer.allow_from)
    try:
        found = socket.getaddrinfo(peer.host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        _log.error(
            "a peer's host has no address, so it cannot send: mend its name, or give allow_from, and restart",
            peer=peer.name,
            error=str(error),
        )
        return ()
    return tuple(ipaddress.ip_network(str(entry[4][0]).partition("%")[0]) for entry in found)
