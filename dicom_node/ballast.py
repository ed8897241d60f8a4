"""A file that takes room so that it can be given up: on a full disk not even an UPDATE or a DELETE finds any.

The ledger drops it when nothing else is left, and job states go on moving; nothing is received until there is room to
lay it again. A dropped ballast is an empty file, one that was never laid is none.
"""

import contextlib
import os
from pathlib import Path

#: bytes: twice what SQLite's journal grows to before it is written back and begins anew
SIZE = 8 << 20
#: free bytes below which it is dropped before a transaction begins
_LOW = 1 << 20


class Ballast:
    """The ballast of one node's folder. Its methods may be called from every process of the node, at any time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    @property
    def is_dropped(self) -> bool:
        """It was given up, and there was no room to lay it again yet."""
        try:
            return self._path.stat().st_size == 0
        except OSError:
            return False

    def drop_if_low(self) -> bool:
        """Drop it where hardly anything is free; whether it was dropped now."""
        with contextlib.suppress(OSError):
            return self._free() < _LOW and self.drop()
        return False

    def drop(self) -> bool:
        """Give its room to whoever needs it; False where there was none to give."""
        try:
            if self._path.stat().st_size == 0:
                return False
            # an open file that shrinks needs no room, a name that goes may
            with self._path.open("r+b") as file:
                file.truncate(0)
                os.fsync(file.fileno())
        except OSError:
            return False
        return True

    def lay(self, *, beside: int) -> bool:
        """Take the room, if `beside` bytes are free besides; whether the ballast is there now."""
        try:
            if self._path.exists() and self._path.stat().st_size >= SIZE:
                return True
            if self._free() < SIZE * 2 + beside:
                return False
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # written, not only reserved: a file system may promise one block to many
                for at in range(0, SIZE, _LOW):
                    os.pwrite(handle, os.urandom(_LOW), at)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError:
            self.drop()
            return False
        return True

    def _free(self) -> int:
        status = os.statvfs(self._path.parent)
        return status.f_bavail * status.f_frsize
