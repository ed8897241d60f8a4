"""Immutable bytes on disk, under names of our own: a part file, fsync, rename, fsync of the folder."""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from dicom_node.errors import OutOfRoom, StorageFault

_KEY = re.compile(r"[0-9a-f]{32}")
#: folders that objects fan out over, by the first two digits of their key
_FANS = tuple(f"{number:02x}" for number in range(256))
#: what the system says where nothing more fits
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: bytes of the disk that no object is begun with: a ledger beside the spool moves states with them
RESERVE = 4 << 20
_CHUNK = 1 << 20


class Spool:
    """Objects that are written once, read often and removed by retention alone.

    A key is 32 hexadecimal digits drawn at random: nothing that a peer sent ever stands in a path.
    Raises StorageFault where the folder can't be made.
    """

    def __init__(self, folder: Path) -> None:
        self._parts = folder / "parts"
        self._objects = folder / "objects"
        try:
            for made in (folder, self._parts, self._objects):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            missing = [fan for fan in _FANS if not (self._objects / fan).is_dir()]
            for fan in missing:
                (self._objects / fan).mkdir(mode=0o700, exist_ok=True)
            if missing:
                for made in (self._objects, folder, folder.parent):
                    fsync_folder(made)
        except OSError as error:
            _raise(error, f"making the spool {folder}")

    def new(self, *, expected: int | None = None) -> "Part":
        """A part file to write to. Raises OutOfRoom where `expected` bytes would not fit, or none at all."""
        if (expected or 0) + RESERVE > (free := self.free_bytes()):
            raise OutOfRoom(
                f"{expected or 'more'} bytes do not fit the {free} that are free at {self._objects} "
                f"({RESERVE} of them are the ledger's): make room there"
            )
        return Part(self._parts, self._objects)

    def put(self, data: bytes) -> str:
        """Keep one whole object; its key once it is durable. Raises OutOfRoom, StorageFault."""
        with self.new(expected=len(data)) as part:
            part.write(data)
            return part.keep()

    def take(self, source: Path, key: str) -> int:
        """Keep a copy of an object of another spool under the same key; its bytes. For backups and what mends by them.

        Raises FileNotFoundError where `source` is none, OutOfRoom, StorageFault.
        """
        (self._parts / self.path(key).name).unlink(missing_ok=True)  # of a copy that was killed
        with source.open("rb") as file, Part(self._parts, self._objects, key=key) as part:
            while chunk := file.read(_CHUNK):
                part.write(chunk)
            part.keep()
        return part.size

    def set_aside(self, key: str) -> Path:
        """Move an object whose bytes are damaged out of the way, for a person to look at; where it is now."""
        aside = self._objects.parent / "damaged"
        try:
            aside.mkdir(mode=0o700, exist_ok=True)
            moved = self.path(key).rename(aside / key)
            fsync_folder(aside)
        except OSError as error:
            _raise(error, f"setting {key} aside")
        return moved

    def orphans(self, known: Collection[str]) -> list[Path]:
        """Files of the spool that no row names, those included that are being written at this moment."""
        return [path for path in self._files() if path.name not in known]

    def path(self, key: str) -> Path:
        """Where a durable object stands. Raises ValueError for a key that this spool never gave out."""
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key[:64]!r} is no key of a spool (32 hexadecimal digits)")
        return self._objects / key[:2] / key

    def read(self, key: str) -> bytes:
        """The bytes of an object. Raises StorageFault where they can't be had."""
        path = self.path(key)
        try:
            return path.read_bytes()
        except OSError as error:
            _raise(error, f"reading {path}")

    def remove(self, key: str) -> None:
        """Remove an object; one that is gone already is fine. For retention only."""
        path = self.path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _raise(error, f"removing {path}")

    def free_bytes(self) -> int:
        """Bytes that this process may still write."""
        status = os.statvfs(self._objects)
        return status.f_bavail * status.f_frsize

    def sweep(self, known: Collection[str], *, older_than: float, now: float) -> list[str]:
        """Remove part files and objects that no row names; the names of what went.

        `older_than` is an age in seconds at `now`: it must exceed the time from a part file's last byte
        to the commit of the row that names it, or a sweep would take bytes from under their record.
        """
        removed = []
        for path in self._files():
            if path.name in known:
                continue
            try:
                if path.stat().st_mtime < now - older_than:
                    path.unlink()
                    removed.append(path.name)
            except FileNotFoundError:
                continue  # kept, or swept by another process, since it was listed
            except OSError as error:
                _raise(error, f"sweeping {path}")
        return removed

    def _files(self) -> Iterator[Path]:
        yield from self._parts.iterdir()
        for fan in _FANS:
            yield from (self._objects / fan).iterdir()


class Part:
    """An object that is being written; leaving the context without keep() removes it."""

    def __init__(self, parts: Path, objects: Path, *, key: str | None = None) -> None:
        self.key = key or secrets.token_hex(16)
        self._path = parts / self.key
        self._final = objects / self.key[:2] / self.key
        self._hash: hashlib._Hash | None = None
        self._kept = False
        #: bytes written so far, all of them
        self.size = 0
        #: bytes written since start_digest()
        self.digested = 0
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            _raise(error, f"opening {self._path}")

    def start_digest(self) -> None:
        """From here on the bytes count for `digest`: what stands before is not the data set."""
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of what was written since start_digest(), 64 hexadecimal digits."""
        if self._hash is None:
            raise ValueError("start_digest() was not called, so there is no digest")
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Append. Raises OutOfRoom, StorageFault; what was written before then is removed on leaving."""
        view = memoryview(data).cast("B")
        if self._hash is not None:
            self._hash.update(view)
            self.digested += len(view)
        self.size += len(view)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            _raise(error, f"writing {self._path}")

    def keep(self) -> str:
        """Make the object durable (law 1) and return its key.

        The order is fsync of the file, rename, fsync of the folder that holds the new name. An fsync that
        failed once may falsely succeed when tried again, so a fault ends this object: nothing is kept.
        Raises OutOfRoom, StorageFault.
        """
        try:
            os.fsync(self._file)
            self._close()
            self._path.rename(self._final)
            try:
                fsync_folder(self._final.parent)
            except OSError:
                self._final.unlink(missing_ok=True)
                raise
        except OSError as error:
            _raise(error, f"keeping {self._final}")
        self._kept = True
        return self.key

    def __enter__(self) -> "Part":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._kept:
            return
        try:
            self._close()
        except OSError as fault:
            _raise(fault, f"closing {self._path}")
        finally:
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file >= 0:
            # after an error of close() the descriptor is gone all the same (close(2))
            closing, self._file = self._file, -1
            os.close(closing)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _raise(error: OSError, doing: str) -> NoReturn:
    if error.errno in NO_ROOM:
        raise OutOfRoom(f"no room while {doing} ({error.strerror}): make room on that disk") from error
    raise StorageFault(f"{doing} failed ({error.strerror}): check the disk and its mount") from error
