"""Which kind of destination a peer is."""

from dicom_node.deliver.destination import Destination
from dicom_node.deliver.dicom import DicomDestination
from dicom_node.deliver.stow import StowDestination
from dicom_node.dimse.association import Timeouts
from dicom_node.peer import PeerSection, Transport
from dicom_node.sections import DeliverSection
from dicom_node.security import TLSSection
from dicom_node.spool import Spool


def destination_of(
    peer: PeerSection, *, calling: str, section: DeliverSection, spool: Spool, tls: TLSSection | None = None
) -> Destination:
    """The way to `peer`; `calling` is the node's AE title, files are read from `spool`, `tls` is who it is over TLS."""
    if peer.transport is Transport.STOW_RS:
        return StowDestination(
            peer, connect_timeout=section.connect_timeout, response_timeout=section.response_timeout, spool=spool
        )
    timeouts = Timeouts(connect=section.connect_timeout, response=section.response_timeout)
    return DicomDestination(peer, calling=calling, timeouts=timeouts, spool=spool, tls=tls)
