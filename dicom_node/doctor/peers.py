"""Every peer that has an address is asked with C-ECHO."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from dicom_node.config import PeerSection, Settings
from dicom_node.dimse.association import Timeouts, echo
from dicom_node.doctor.check import Check, failed, ok, warning
from dicom_node.domain import Mode
from dicom_node.errors import PeerUnavailable, Refused

#: peers that are asked at the same time
_AT_ONCE = 8


def checks(settings: Settings) -> Iterator[Check]:
    """One check a peer, in the configuration's order."""
    asked = [peer for peer in settings.peers if peer.host]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda peer: _ask(peer, settings), asked)


def _ask(peer: PeerSection, settings: Settings) -> Check:
    what = f"peer {peer.name}"
    timeouts = Timeouts(connect=settings.deliver.connect_timeout, response=settings.deliver.response_timeout)
    try:
        took = echo(peer.host, peer.port, called=peer.ae_title, calling=settings.node.ae_title, timeouts=timeouts)
    except (PeerUnavailable, Refused) as error:
        if peer.mode in (Mode.SEND, Mode.HOLD):
            return failed(what, str(error), "results for it wait until it answers; check host, port and AE titles")
        return warning(what, str(error), "nothing is sent to it; it may send all the same")
    return ok(what, f"{peer.ae_title} at {peer.host}:{peer.port} answered C-ECHO in {took * 1000:.0f} ms")
