"""Certificates and keys: whether they can be used, who may read them, and when they end; the node's and its peers'."""

import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dicom_node.certificates import own, until
from dicom_node.config import PeerSection, Settings
from dicom_node.dimse.tls import client, server_context
from dicom_node.doctor.check import Check, failed, ok, warning
from dicom_node.errors import ConfigurationError

#: peers that are asked at the same time
_AT_ONCE = 8
_DAY = 86400.0


def checks(settings: Settings) -> Iterator[Check]:
    """The node's own, then one check for each peer that is reached over TLS; none where there is no TLS."""
    now = time.time()
    if settings.tls.certificate is not None or settings.tls.ca is not None:
        yield from _own(settings, now=now)
    over_tls = [peer for peer in settings.peers if peer.tls and peer.host]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda peer: _shown_by(peer, settings, now=now), over_tls)
    yield from _open_to_others(settings)


def _own(settings: Settings, *, now: float) -> Iterator[Check]:
    what = "TLS"
    try:
        if settings.tls.receive:
            server_context(settings.tls)
        client(settings.tls)
        found = own(settings.tls)
    except ConfigurationError as error:
        yield failed(what, str(error), "nobody can be spoken with over TLS until it holds")
        return
    for each in found:
        said = each.says(now=now)
        if each.ends < now:
            yield failed(what, said, "put the new one in its place, then send `chexnode serve` SIGHUP")
        elif each.ends - now < settings.tls.warn_before * _DAY:
            yield warning(what, said, "put a new one in its place, then send `chexnode serve` SIGHUP")
        else:
            yield ok(what, said)


def _shown_by(peer: PeerSection, settings: Settings, *, now: float) -> Check:
    """What `peer` shows, whatever is spoken after that."""
    what = f"TLS {peer.name}"
    seconds = settings.deliver.connect_timeout
    try:
        tls = client(settings.tls, names=peer.certificate_names)
        with (
            socket.create_connection((peer.host, peer.port), timeout=seconds) as plain,
            tls.wrap_socket(plain, server_hostname=peer.host) as wrapped,
        ):
            certificate = wrapped.getpeercert() or {}
            version = wrapped.version()
    except ConfigurationError as error:
        return failed(what, str(error), "results for it wait until it holds")
    except ssl.SSLError as error:
        said = f"no TLS with {peer.host}:{peer.port} ({getattr(error, 'verify_message', '') or error.reason})"
        return failed(what, said, "does tls.ca hold its CA, does its certificate name its host or certificate_names?")
    except OSError as error:
        return warning(what, f"no connection to {peer.host}:{peer.port} ({error})", "its certificate was not seen")
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    said = f"{version}; its certificate {until(ends, now=now)}"
    if ends - now < settings.tls.warn_before * _DAY:
        return warning(what, said, "tell its administrator: after that day nothing is sent to it")
    return ok(what, said)


def _open_to_others(settings: Settings) -> Iterator[Check]:
    """Keys and passcodes that other users of this machine may read."""
    files = {settings.tls.key or settings.tls.certificate: "the node's TLS key"} if settings.tls.certificate else {}
    for peer in settings.peers:
        for key in ("user_secret", "own_user_secret"):
            kind, _, where = getattr(peer, key).partition(":")
            if kind == "file":
                files[Path(where)] = f"{key} of {peer.name}"
    for path, what in files.items():
        if path is not None and path.is_file() and path.stat().st_mode & 0o077:
            yield warning("TLS", f"{path}, {what}, can be read by other users of this machine", f"chmod 600 {path}")
