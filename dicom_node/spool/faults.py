"""What the disk says, in the node's own errors; and how a name is made durable."""

import errno
import os
from pathlib import Path
from typing import NoReturn

from dicom_node.errors import OutOfRoom, StorageFault

#: what the system says where nothing more fits
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def raise_fault(error: OSError, doing: str) -> NoReturn:
    """Raise OutOfRoom or StorageFault for what went wrong while `doing`."""
    if error.errno in NO_ROOM:
        raise OutOfRoom(f"no room while {doing} ({error.strerror}): make room on that disk") from error
    raise StorageFault(f"{doing} failed ({error.strerror}): check the disk and its mount") from error
