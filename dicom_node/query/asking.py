"""Which archive a destination is asked at, and in which way."""

from collections.abc import Iterable

from dicom_node.dimse.association import Timeouts
from dicom_node.peer import Ask, PeerSection
from dicom_node.query.archive import Archive
from dicom_node.query.dimse import DicomArchive
from dicom_node.query.web import WebArchive
from dicom_node.sections import DeliverSection
from dicom_node.security import TLSSection


def asked_of(peer: PeerSection, peers: Iterable[PeerSection]) -> PeerSection:
    """The peer that is asked for what `peer` has: itself, unless it names another."""
    return next((each for each in peers if each.name == peer.ask_peer), peer)


def archive_of(peer: PeerSection, way: Ask, *, calling: str, section: DeliverSection, tls: TLSSection) -> Archive:
    """The way to ask `peer`; `calling` is the node's AE title, `tls` who it is over TLS. Not for Ask.OFF."""
    if way is Ask.QIDO:
        return WebArchive(peer, connect_timeout=section.connect_timeout, response_timeout=section.response_timeout)
    return dicom_archive_of(peer, calling=calling, section=section, tls=tls)


def dicom_archive_of(peer: PeerSection, *, calling: str, section: DeliverSection, tls: TLSSection) -> DicomArchive:
    """The way to ask `peer` by DIMSE, whichever way it is asked otherwise."""
    timeouts = Timeouts(connect=section.connect_timeout, response=section.response_timeout)
    return DicomArchive(peer, calling=calling, timeouts=timeouts, tls=tls)
