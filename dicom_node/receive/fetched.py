"""Files that the node fetched itself, over DICOMweb: taken in as if whoever gave them had sent them."""

from collections.abc import Callable

from dicom_node.config import PeerSection, Settings
from dicom_node.dimse.part10 import LONGEST_META, read_file_meta
from dicom_node.dimse.status import Status
from dicom_node.errors import OutOfRoom, Refused
from dicom_node.ledger import Ledger, instances
from dicom_node.parameters import parameters_by_source, parameters_digest
from dicom_node.receive.intake import Intake
from dicom_node.spool import Spool

#: priority of DIMSE (PS3.7 9.1.1.1.6): behind whatever arrives
_LOW = 2


def taking_in(settings: Settings, ledger: Ledger, peer: PeerSection) -> Callable[[bytes], None]:
    """What takes in one PS3.10 file that `peer` gave, as law 1 has it.

    An image that is known already stays with whoever sent it first: its results are routed by that. It raises
    Unreadable for what is no such file, Refused for what the node does not keep, OutOfRoom.
    """
    intake = Intake(
        Spool(settings.node.folder / "spool"),
        ledger,
        parameters=parameters_digest(settings),
        parameters_by_source=parameters_by_source(settings),
        low_watermark=settings.receive.low_watermark,
        max_object_size=settings.receive.max_object_size,
        priority=settings.priority,
    )

    def take_in(file: bytes) -> None:
        meta = read_file_meta(memoryview(file)[:LONGEST_META])
        with ledger.reading() as tx:
            known = instances.current(tx, meta.sop_instance_uid)
        incoming = intake.begin(
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
            transfer_syntax_uid=meta.transfer_syntax_uid,
            calling_ae_title=peer.ae_title or settings.node.ae_title if known is None else known.calling_ae_title,
            priority=_LOW,
        )
        incoming.write(memoryview(file)[meta.data_set_offset :])
        status, why = incoming.finish()
        if status is Status.OUT_OF_RESOURCES:
            raise OutOfRoom(f"an image that was fetched could not be kept: {why}")
        if status is not Status.SUCCESS:
            raise Refused(f"what {peer.name} gave is not kept: {why}")

    return take_in
