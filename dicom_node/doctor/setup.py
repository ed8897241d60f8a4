"""Whether the configuration, which loads, makes sense for the site."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from dicom_node.config import PeerSection, Settings, require_routes
from dicom_node.doctor.check import Check, failed, ok, warning
from dicom_node.domain import Mode
from dicom_node.errors import ConfigurationError

WHAT = "configuration"


def checks(config: Path, settings: Settings) -> Iterator[Check]:
    """Routes, and whether those who send can reach the node."""
    try:
        require_routes(settings)
    except ConfigurationError as error:
        yield failed(WHAT, str(error), f"`chexnode serve` refuses to start until {config} says so")
        return
    modes = ", ".join(f"{peer.name}: {peer.mode}" for peer in settings.destinations)
    yield ok(WHAT, f"{config}: {settings.node.ae_title}, results go to {modes}")
    for peer in settings.peers:
        if not peer.sends:
            continue
        if not settings.route(peer.ae_title):
            wanted = ", ".join(peer.results_to)
            advice = "set a mode of send or hold under [[peers]]"
            yield warning(WHAT, f"results of what {peer.name} sends go nowhere: {wanted} is off", advice)
        if _is_loopback(settings.receive.host) and _is_elsewhere(peer):
            said = f"the node listens at {settings.receive.host} only, where {peer.name} cannot reach it"
            yield warning(WHAT, said, "set host of [receive] to this machine's address")
    yield from _open_secrets(settings)
    if all(peer.mode is not Mode.SEND for peer in settings.destinations):
        said = "no destination has mode send: results wait for `chexnode release`"
        yield warning(WHAT, said, 'that is how to begin; to go live write mode = "send" under [[peers]]')


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_elsewhere(peer: PeerSection) -> bool:
    """Whether the peer calls from other hosts only."""
    from_where = peer.allow_from or (peer.host,)
    return not any(_is_loopback(network.partition("/")[0]) for network in from_where)


def _open_secrets(settings: Settings) -> Iterator[Check]:
    """Files with secrets that other users of this machine may read."""
    for peer in settings.peers:
        kind, _, where = peer.dicomweb_secret.partition(":")
        files = [Path(where)] if kind == "file" else []
        if key := peer.dicomweb_key or peer.dicomweb_certificate:
            files.append(key)
        for path in files:
            if path.is_file() and path.stat().st_mode & 0o077:
                said = f"{path}, with which {peer.name} knows us, can be read by other users of this machine"
                yield warning(WHAT, said, f"chmod 600 {path}")
