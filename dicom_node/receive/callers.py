"""Who may send: addresses before a byte is read, AE titles bound to addresses once they are told."""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from dicom_node.config import PeerSection
from dicom_node.dimse.requests import (
    CALLED_NOT_RECOGNISED,
    CALLING_NOT_RECOGNISED,
    AssociationRequest,
    Rejection,
)

_log = structlog.get_logger(__name__)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True)
class _Caller:
    ae_title: str
    networks: tuple[_Network, ...]


class Callers:
    """The peers that may send, as the configuration names them. Host names are looked up when it is made."""

    def __init__(self, peers: Sequence[PeerSection], *, ae_title: str) -> None:
        self._ae_title = ae_title
        self._callers = tuple(_Caller(ae_title=peer.ae_title, networks=_networks(peer)) for peer in peers if peer.sends)

    def admits(self, address: str) -> bool:
        """Whether any peer may call from `address`: asked before a byte of it is read."""
        return any(_contains(caller.networks, address) for caller in self._callers)

    def judge(self, request: AssociationRequest) -> Rejection | None:
        """None where the called AE is this node and the calling AE may call from its address."""
        if request.called_ae_title != self._ae_title:
            return CALLED_NOT_RECOGNISED
        for caller in self._callers:
            if caller.ae_title == request.calling_ae_title and _contains(caller.networks, request.address):
                return None
        return CALLING_NOT_RECOGNISED


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
