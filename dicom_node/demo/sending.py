"""Sending as a modality or an archive does it, for the demonstration's own peers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dicom_node.dimse.contexts import proposed_contexts, verification_contexts
from dicom_node.dimse.status import is_stored
from dicom_node.errors import NodeError, PeerUnavailable, Refused

#: seconds for a connection, and for a peer's next answer
_TIMEOUT = 30.0


def send(calling: str, called: str, host: str, port: int, paths: Sequence[Path]) -> None:
    """C-STORE files (PS3.10) as they are, in one association.

    Raises PeerUnavailable where there is no association, Refused, naming the file, for what the peer will not have.
    """
    metas = [read_file_meta_info(path) for path in paths]
    objects = [(str(m.MediaStorageSOPClassUID), str(m.TransferSyntaxUID)) for m in metas]
    with _association(calling, called, host, port, proposed_contexts(objects)) as association:
        for path in paths:
            try:
                status = association.send_c_store(dcmread(path)).get("Status")
            except ValueError as error:
                raise Refused(f"{called} at {host}:{port} takes no such object as {path.name}: {error}") from error
            if status is None:
                raise PeerUnavailable(f"{called} at {host}:{port} stopped answering at {path.name}")
            if not is_stored(status):
                raise Refused(f"{called} at {host}:{port} answered {status:04X} to {path.name}")


def answers(calling: str, called: str, host: str, port: int) -> str:
    """C-ECHO: empty when the peer answers, else why it does not."""
    try:
        with _association(calling, called, host, port, verification_contexts()) as association:
            return "" if association.send_c_echo().get("Status") == 0 else "no answer to a C-ECHO"
    except NodeError as error:
        return str(error)


@contextmanager
def _association(
    calling: str, called: str, host: str, port: int, contexts: list[PresentationContext]
) -> Iterator[Association]:
    ae = AE(calling)
    ae.requested_contexts = contexts
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = _TIMEOUT
    association = ae.associate(host, port, ae_title=called)
    if not association.is_established:
        how = "rejected the association" if association.is_rejected else "cannot be reached"
        raise PeerUnavailable(f"{called} at {host}:{port} {how}")
    try:
        yield association
    finally:
        association.release()
