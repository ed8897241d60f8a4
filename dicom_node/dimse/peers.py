"""Calling a peer as the configuration describes it: its address, its AE title, TLS and user identity where wanted."""

import contextlib
import time
from collections.abc import Iterator, Sequence

from pynetdicom.presentation import PresentationContext

from dicom_node.dimse.association import OpenAssociation, Timeouts, open_association
from dicom_node.dimse.contexts import verification_contexts
from dicom_node.dimse.tls import security_of
from dicom_node.errors import ConfigurationError, PeerUnavailable
from dicom_node.peer import PeerSection
from dicom_node.security import TLSSection


@contextlib.contextmanager
def open_peer(
    peer: PeerSection,
    *,
    calling: str,
    contexts: Sequence[PresentationContext],
    tls: TLSSection,
    provides: Sequence[str] = (),
    timeouts: Timeouts | None = None,
) -> Iterator[OpenAssociation]:
    """See open_association. Certificates and secrets are read now; where they do not hold: PeerUnavailable."""
    try:
        security = security_of(peer, tls)
    except ConfigurationError as error:
        raise PeerUnavailable(f"{peer.name} cannot be called: {error}") from error
    with open_association(
        peer.host,
        peer.port,
        called=peer.ae_title,
        calling=calling,
        contexts=contexts,
        provides=provides,
        timeouts=timeouts,
        tls=security.tls,
        user=security.user,
    ) as opened:
        yield opened


def echo_peer(peer: PeerSection, *, calling: str, tls: TLSSection, timeouts: Timeouts | None = None) -> float:
    """C-ECHO over an association of its own; seconds that all of it took. Raises PeerUnavailable, Refused."""
    started = time.monotonic()
    with open_peer(peer, calling=calling, contexts=verification_contexts(), tls=tls, timeouts=timeouts) as opened:
        opened.echo()
    return time.monotonic() - started
