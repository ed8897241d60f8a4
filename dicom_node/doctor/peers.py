"""Every peer that has an address is asked: with C-ECHO, with an empty search where it is a DICOMweb service."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from dicom_node.config import Ask, PeerSection, Settings
from dicom_node.dimse.association import Timeouts
from dicom_node.dimse.peers import echo_peer
from dicom_node.doctor.check import Check, failed, ok, warning
from dicom_node.doctor.specimen import STUDY_INSTANCE_UID
from dicom_node.domain import Mode
from dicom_node.errors import ConfigurationError, PeerUnavailable, Refused
from dicom_node.query.asking import archive_of, asked_of
from dicom_node.query.web import WebArchive

#: peers that are asked at the same time
_AT_ONCE = 8


def checks(settings: Settings) -> Iterator[Check]:
    """One check an address, in the configuration's order."""
    asked = [(ask, peer) for peer in settings.peers for ask in (*_ways(peer), *_looks(peer))]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda each: each[0](each[1], settings), asked)


def _ways(peer: PeerSection) -> Iterator[Callable[[PeerSection, Settings], Check]]:
    if peer.host:
        yield _ask
    if peer.dicomweb_url:
        yield web


def _looks(peer: PeerSection) -> Iterator[Callable[[PeerSection, Settings], Check]]:
    if peer.mode in (Mode.SEND, Mode.HOLD) and peer.ask is not Ask.OFF:
        yield _look


def _look(peer: PeerSection, settings: Settings) -> Check:
    """Whether the archive behind `peer` answers the last look: it is asked for a study that no patient has."""
    what = f"last look {peer.name}"
    asked = asked_of(peer, settings.peers)
    calling, section = settings.node.ae_title, settings.deliver
    archive = archive_of(asked, peer.ask, calling=calling, section=section, tls=settings.tls)
    try:
        archive.study(STUDY_INSTANCE_UID)
        archive.instances(STUDY_INSTANCE_UID)
    except (Refused, PeerUnavailable, ConfigurationError) as error:
        return failed(what, str(error), 'results for it wait until it can be asked; or set ask = "off"')
    return ok(what, f"{asked.name} answers {'C-FIND' if peer.ask is Ask.FIND else 'QIDO-RS'}")


def web(peer: PeerSection, settings: Settings) -> Check:
    """Whether the DICOMweb service of `peer` lets us in: it is asked for a study that no patient has."""
    what = f"DICOMweb {peer.name}"
    archive = WebArchive(
        peer,
        connect_timeout=settings.deliver.connect_timeout,
        response_timeout=settings.deliver.response_timeout,
    )
    try:
        archive.instances(STUDY_INSTANCE_UID)
    except Refused as error:
        return warning(what, str(error), "it cannot be searched (QIDO-RS); is dicomweb_url right?")
    except (PeerUnavailable, ConfigurationError) as error:
        return failed(what, str(error), "check dicomweb_url, authentication and certificates")
    return ok(what, f"{peer.dicomweb_url} answers searches")


def _ask(peer: PeerSection, settings: Settings) -> Check:
    what = f"peer {peer.name}"
    timeouts = Timeouts(connect=settings.deliver.connect_timeout, response=settings.deliver.response_timeout)
    try:
        took = echo_peer(peer, calling=settings.node.ae_title, tls=settings.tls, timeouts=timeouts)
    except (PeerUnavailable, Refused) as error:
        if peer.mode in (Mode.SEND, Mode.HOLD):
            return failed(what, str(error), "results for it wait until it answers; check host, port and AE titles")
        return warning(what, str(error), "nothing is sent to it; it may send all the same")
    return ok(what, f"{peer.ae_title} at {peer.host}:{peer.port} answered C-ECHO in {took * 1000:.0f} ms")
