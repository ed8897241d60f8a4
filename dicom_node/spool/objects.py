"""The objects of a spool: written once, read often, swept where no row names them."""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from dicom_node.errors import OutOfRoom
from dicom_node.spool.faults import fsync_folder, raise_fault
from dicom_node.spool.names import FANS, KEY_LENGTH, Names
from dicom_node.spool.part import Part

_KEY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")
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
        self._names = Names(self._objects)
        try:
            for made in (folder, self._parts, self._objects):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            missing = [fan for fan in FANS if not (self._objects / fan).is_dir()]
            for fan in missing:
                (self._objects / fan).mkdir(mode=0o700, exist_ok=True)
            if missing:
                for made in (self._objects, folder, folder.parent):
                    fsync_folder(made)
        except OSError as error:
            raise_fault(error, f"making the spool {folder}")

    def close(self) -> None:
        """Remove the names that were made ahead of time and not used; the spool may still be used afterwards."""
        self._names.forget()

    def new(self, *, expected: int | None = None) -> Part:
        """A file to write to, under a name that is durable already (`names`).

        Raises OutOfRoom where `expected` bytes would not fit, or none at all; StorageFault.
        """
        if (expected or 0) + RESERVE > (free := self.free_bytes()):
            raise OutOfRoom(
                f"{expected or 'more'} bytes do not fit the {free} that are free at {self._objects} "
                f"({RESERVE} of them are the ledger's): make room there"
            )
        key, file = self._names.take()
        return Part(key, file, self.path(key))

    def put(self, data: bytes) -> str:
        """Keep one whole object; its key once it is durable. Raises OutOfRoom, StorageFault."""
        with self.new(expected=len(data)) as part:
            part.write(data)
            return part.keep()

    def take(self, source: Path, key: str) -> int:
        """Keep a copy of an object of another spool under the same key; its bytes. For backups and what mends by them.

        Its name is one that rows name already, so it appears whole or not at all: a part file, renamed at the end.
        Raises FileNotFoundError where `source` is none, OutOfRoom, StorageFault.
        """
        final = self.path(key)
        part_path = self._parts / key
        with source.open("rb") as file, self._begun(part_path, final) as part:
            while chunk := file.read(_CHUNK):
                part.write(chunk)
            part.keep()
        return part.size

    def _begun(self, path: Path, final: Path) -> Part:
        try:
            path.unlink(missing_ok=True)  # of a copy that was killed
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise_fault(error, f"opening {path}")
        return Part(path.name, file, path, final=final)

    def set_aside(self, key: str) -> Path:
        """Move an object whose bytes are damaged out of the way, for a person to look at; where it is now."""
        aside = self._objects.parent / "damaged"
        try:
            aside.mkdir(mode=0o700, exist_ok=True)
            moved = self.path(key).rename(aside / key)
            fsync_folder(aside)
        except OSError as error:
            raise_fault(error, f"setting {key} aside")
        return moved

    def orphans(self, known: Collection[str]) -> list[Path]:
        """Files with bytes in them that no row names, those included that are being written at this moment.

        Empty ones are names that were made ahead of time: they hold nothing, and sweep() takes those that were left.
        """
        return [path for path in self._files() if path.name not in known and _size(path)]

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
            raise_fault(error, f"reading {path}")

    def remove(self, key: str) -> None:
        """Remove an object; one that is gone already is fine. For retention only."""
        path = self.path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise_fault(error, f"removing {path}")

    def free_bytes(self) -> int:
        """Bytes that this process may still write."""
        status = os.statvfs(self._objects)
        return status.f_bavail * status.f_frsize

    def sweep(self, known: Collection[str], *, older_than: float, now: float) -> list[str]:
        """Remove files that no row names: objects, parts of copies, names that were never used; those that had bytes.

        `older_than` is an age in seconds at `now`: it must exceed the time from a file's last byte to the commit of
        the row that names it, and names.STALE by far, or a sweep would take bytes from under their record.
        """
        removed = []
        for path in self._files():
            if path.name in known:
                continue
            try:
                status = path.stat()
                if status.st_mtime < now - older_than:
                    path.unlink()
                    if status.st_size:
                        removed.append(path.name)
            except FileNotFoundError:
                continue  # kept, or swept by another process, since it was listed
            except OSError as error:
                raise_fault(error, f"sweeping {path}")
        return removed

    def _files(self) -> Iterator[Path]:
        yield from self._parts.iterdir()
        for fan in FANS:
            yield from (self._objects / fan).iterdir()


def _size(path: Path) -> int:
    """Bytes of a file; 0 of one that has gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
