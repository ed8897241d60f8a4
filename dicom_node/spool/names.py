"""Names that are durable before their bytes come: empty files, several made at a time, their folder flushed once.

Whoever writes an object takes such a file, writes it and flushes it alone: no rename, no flush of a folder. An empty
file that no row names means nothing, whoever finds it: this process forgets its own when it ends, and what a killed
one left is an orphan like any other.
"""

import contextlib
import os
import secrets
import threading
import time
from pathlib import Path

from dicom_node.spool.faults import fsync_folder, raise_fault

#: folders that objects fan out over, by the first two digits of their key
FANS = tuple(f"{number:02x}" for number in range(256))
#: hexadecimal digits of a key
KEY_LENGTH = 32
#: seconds after which a name is not used any more: far below the age at which a sweep takes it for an orphan
STALE = 3600.0
#: names that are made at a time: one where nothing came lately, each time more, up to this
_MOST = 64
_MORE = 4


class Names:
    """The names of one process, in the folder `objects`. Its methods may be called from many threads."""

    def __init__(self, objects: Path) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._keys: list[str] = []
        self._next = 1

    def take(self) -> tuple[str, int]:
        """A key and its file, empty and open for writing; the name of it is durable.

        Where none is left, one flush makes the next ones durable, and whoever comes meanwhile waits for that flush
        and not for one of its own. Raises OutOfRoom, StorageFault.
        """
        while True:
            with self._lock:
                if not self._keys:
                    self._keys = self._make()
                key = self._keys.pop()
            file = self._open(key)
            if file is not None:
                return key, file

    def forget(self) -> None:
        """Remove the names that were not used: at the end of a process."""
        with self._lock:
            keys, self._keys = self._keys, []
        for key in keys:
            self._remove(key)

    def _make(self) -> list[str]:
        folder = self._objects / secrets.choice(FANS)
        made: list[str] = []
        try:
            for _ in range(self._next):
                key = folder.name + secrets.token_hex(KEY_LENGTH // 2 - 1)
                os.close(os.open(folder / key, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
                made.append(key)
            fsync_folder(folder)
        except OSError as error:
            # a flush that failed may falsely succeed when tried again: none of these names is used
            for key in made:
                self._remove(key)
            raise_fault(error, f"making names in {folder}")
        self._next = min(self._next * _MORE, _MOST)
        return made

    def _open(self, key: str) -> int | None:
        """The file of a name that may be used; None for one that is stale, or was removed behind our back."""
        path = self._objects / key[:2] / key
        try:
            file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise_fault(error, f"opening {path}")
        # by the very clock that a sweep goes by: a machine that slept, or was set to another time, changes nothing
        if time.time() - os.fstat(file).st_mtime < STALE:
            return file
        os.close(file)
        self._remove(key)
        self._next = 1
        return None

    def _remove(self, key: str) -> None:
        with contextlib.suppress(OSError):  # an orphan, then
            (self._objects / key[:2] / key).unlink(missing_ok=True)
