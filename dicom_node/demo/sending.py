"""Sending as a modality or an archive does it, for the demonstration's own peers."""

from collections.abc import Sequence
from pathlib import Path

from dicom_node.dimse.sending import send_files
from dicom_node.errors import Refused


def send_all(paths: Sequence[Path], host: str, port: int, *, called: str, calling: str) -> None:
    """C-STORE files as they are. Raises Refused, naming each file that the peer does not take, PeerUnavailable."""
    sent = list(send_files(paths, host, port, called=called, calling=calling))
    if refused := [f"{each.path.name} ({each.detail})" for each in sent if not each.stored]:
        raise Refused(f"{called} at {host}:{port} did not take {', '.join(refused)}")
